"""The study of every method over every data set: what tasks keep, attackers get, is certified, and costs."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.datasets import DATASETS
from fl_tiprdc.errors import TooFewPeopleError
from fl_tiprdc.evaluation.limits import MEAN, limit_table
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.report.style import save
from fl_tiprdc.report.suite_figure import suite_figure
from fl_tiprdc.studies.cells import Cell, tabulate
from fl_tiprdc.studies.exchanges import traffic_of, trainings_of
from fl_tiprdc.whole_file import write_table, write_whole

CLIENTS = {"adult": 100, "bank-marketing": 100, "oulad": 100, "german-credit": 20, "digits": 100, "names": 100}
MEASURED = {"raw": "raw data: an attack of", "limit": "limit:"}
COLUMNS = "| method | seeds | λ | codes | R | panel | exact | certified | s | MB |\n" + "| --- " * 10 + "|"
HEAD = """# Every method over every data set

Command: `python simulations/suite.py`. Federated; means over seeds, R with its range. Panel and exact: AUC of the
best attack. Certified: with 95 % confidence no attacker exceeds it, for one release of people like these. Limit: the
most that a task alone could keep at no leak. Seconds and MB (sent and received, all clients) are of one training."""
WRITTEN = [
    *("dataset", "private", "method", "seeds", "raw", "codes", "limit", "seconds", "megabytes", "note", "lam"),
    *("retention", "retention_low", "retention_high", "panel", "exact", "certified"),
]
CODED, NOISY = "0.8,1", "0.9"  # λ of methods with codes, which share a training, and of those with noise


def suite_rows(name: str, experiment: Experiment, folder: Path, points: pd.DataFrame) -> pd.DataFrame:
    """Return a row of suite.csv for each λ of a finished run of one method."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    limits = limit_table(pd.read_csv(folder / "metrics.csv")).set_index("task")["retention"]
    certificates = summary.get("certificates")
    released = points[points["setting"] == "federated"]
    if "panel" not in released:
        released = released.assign(panel=released["attack"], exact=math.nan, certified=math.nan)
    means = released.groupby("lam", as_index=False).agg(
        retention=("retention", "mean"),
        retention_low=("retention", "min"),
        retention_high=("retention", "max"),
        panel=("panel", "mean"),
        exact=("exact", "mean"),
        certified=("certified", "mean"),
    )
    shared = {
        "dataset": experiment.dataset,
        "private": "+".join(experiment.private),
        "method": experiment.methods[0],
        "seeds": len(experiment.seeds),
        "raw": points.loc[points["setting"] == "raw", "attack"].mean(),
        "codes": certificates[0]["codes"] if certificates else math.nan,
        "limit": limits.get(MEAN, math.nan),
        "seconds": summary["seconds"]["train federated"] / trainings_of(experiment),
        "megabytes": traffic_of(experiment, folder)[1],
        "note": "",
    }
    return pd.DataFrame([shared]).merge(means, how="cross")


def refusal(experiment: Experiment, why: TooFewPeopleError) -> dict[str, object]:
    """Return the row of a method that a crowd is too small for."""
    private = experiment.private or DATASETS[experiment.dataset].private
    named = {"dataset": experiment.dataset, "private": "+".join(private), "method": experiment.methods[0]}
    return {**named, "note": str(why)}


def study_suite(
    cells: Mapping[str, Cell],
    refused: Sequence[Mapping[str, object]],
    order: Sequence[str],
    output: Path,
    console: Screen,
    resume: bool = False,
) -> pd.DataFrame:
    """Run or take every cell and write suite.csv, suite.md and the figure.

    Args:
        cells: name -> what to run, a data set and a method each.
        refused: rows of those whose crowd is too small.
        order: data sets and methods as the table has them.
        output: folder of the study.
        console: for progress.
        resume: go on with an interrupted cell.

    Returns:
        The table, one row for each λ.
    """
    table = tabulate(cells, suite_rows, output, "suite.csv", console, resume)
    table = pd.concat([table, pd.DataFrame(refused)], ignore_index=True).reindex(columns=WRITTEN)
    places = {name: place for place, name in enumerate(order)}
    table = table.sort_values(["dataset", "method"], key=lambda names: names.map(places), kind="stable")
    write_table(output / "suite.csv", table)
    write_whole(output / "suite.md", page(table).encode())
    save(suite_figure(table), output, "suite")
    return table


def page(table: pd.DataFrame) -> str:
    """Return suite.csv as a page of Markdown, a table for each data set and private attribute."""
    lines = [HEAD]
    for (dataset, private), rows in table.groupby(["dataset", "private"], sort=False):
        known = [f"{word} {rows[name].max():.2f}" for name, word in MEASURED.items() if rows[name].notna().any()]
        lines += [f"\n## {dataset}, hiding {private}\n", f"{'; '.join(known)}.\n" if known else "", COLUMNS]
        for _, row in rows.iterrows():
            cells = [row["note"]] + [""] * 8 if row["note"] else _cells(row)
            lines.append(f"| {' | '.join([row['method'], *cells])} |")
    return "\n".join([*lines, ""])


def _cells(row: "pd.Series[float]") -> list[str]:
    """Return the cells of a measured row, without its method."""
    low, high = row["retention_low"], row["retention_high"]
    kept = f"{row['retention']:.3f}" + (f" ({low:.3f} to {high:.3f})" if low < high else "")
    formats = {"codes": ".0f", "panel": ".3f", "exact": ".3f", "certified": ".3f"}
    codes, *attacks = ("" if math.isnan(row[name]) else format(row[name], how) for name, how in formats.items())
    which = [f"{row['seeds']:.0f}", f"{row['lam']:g}", codes, kept]
    return [*which, *attacks, f"{row['seconds']:.0f}", f"{row['megabytes']:,.0f}"]
