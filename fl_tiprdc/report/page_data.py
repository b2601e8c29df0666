"""The data of the page's scripts: a run's tables as plain lists and dictionaries, ready for JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_hex

from fl_tiprdc.evaluation.frontier import over_seeds
from fl_tiprdc.evaluation.limits import MEAN, limit_table
from fl_tiprdc.report.page_codes import placed_codes, told_classes
from fl_tiprdc.report.page_tables import LINE, attacker_rows, mean_of_tasks, task_rows
from fl_tiprdc.report.run_tables import RunTables
from fl_tiprdc.report.style import PARTITION_LOOKS, colors
from fl_tiprdc.report.training_curves import CURVES, serving_all, training_curves


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table; what is no finite number becomes None."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=5))
    return rows


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return nested settings as dotted name -> text."""
    texts: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            texts |= flat(value, f"{before}{name}.")
        else:
            texts[before + name] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return texts


def _points(run: RunTables) -> list[dict[str, Any]]:
    """Return one entry a setting, method and λ: means over seeds, who attacks worst, retention of each task, capacity.

    Those whose attack couldn't be measured have none.
    """
    mean = over_seeds(run.points).dropna(subset=["attack"])
    same = run.points.groupby(LINE, sort=False)
    tasks = mean_of_tasks(run.tasks)
    for column in ("attacker", "attribute"):
        mean = mean.merge(same[column].agg(lambda found: ", ".join(dict.fromkeys(found))).reset_index(), on=LINE)
    mean = mean.merge(same["attack_outside"].mean().reset_index(), on=LINE)
    bits = {(row["method"], row["lam"]): row["bits"] for row in run.summary.get("capacities", [])}
    points = records(mean)
    for point in points:
        where = point["setting"], point["method"], point["lam"]
        point["tasks"] = records(tasks.loc[[where]])[0]
        trained = point["setting"] in ("centralized", "federated")
        point["capacity"] = bits.get(where[1:]) if trained else None
    return points


def _code_tables(run: RunTables) -> list[dict[str, Any]]:
    """Return one entry a method and private class: the share of people and P(class | code) of every code, at each λ.

    Of two classes the rarer is told, since the other mirrors it.
    """
    tables: list[dict[str, Any]] = []
    columns = ["code", "share", "posterior", "low", "high"]
    for setting, method, attribute, name, prior, rows in told_classes(run):
        by_lam = rows.sort_values(["lam", "code"]).groupby("lam")
        tables.append(
            {
                "name": f"{method}, {setting}: {attribute} {name}",
                "class": name,
                "prior": prior,
                "lambdas": [{"lam": lam, "codes": records(of_lam[columns])} for lam, of_lam in by_lam],
                "places": placed_codes(run, setting, method),
            }
        )
    return tables


def _curves(run: RunTables) -> list[dict[str, Any]]:
    """Return the rows of `training_curves`, and whether each is of a training that serves all λ."""
    curves = training_curves(run.rounds)
    one_for_all = serving_all(curves, run.points)
    lines = zip(curves["setting"], curves["method"], strict=True)
    return records(curves.assign(shared=[line in one_for_all for line in lines]))


def _run(run: RunTables) -> dict[str, Any]:
    return {
        "name": run.name,
        "points": _points(run),
        "attackers": records(attacker_rows(run.metrics)),
        "tasks": records(task_rows(run.metrics)),
        "curves": _curves(run) if len(run.rounds) else [],
        "config": flat(run.settings),
        "codes": _code_tables(run),
        "limits": {
            "" if task == MEAN else task: limit
            for task, limit in limit_table(run.metrics)[["task", "retention"]].itertuples(index=False, name=None)
        },
        "areas": {f"{row['setting']}/{row['method']}": row["area"] for row in run.summary.get("frontier_areas", [])},
    }


def _shades(low: float, high: float, count: int) -> list[str]:
    steps = max(1, count - 1)
    return [to_hex(mpl.colormaps["viridis"](low + (high - low) * i / steps)) for i in range(count)]


def page_data(runs: Sequence[RunTables]) -> dict[str, Any]:
    """Return everything that the scripts need.

    A curve's color tells methods apart on the page of one run, and runs on the page of several.
    """
    methods = colors([method for run in runs for method in run.points["method"].unique()])
    lambdas = max([run.rounds["lam"].nunique() for run in runs if len(run.rounds)], default=0)
    looks = [color for color, *_ in PARTITION_LOOKS]
    return {
        "runs": [_run(run) for run in runs],
        "methods": methods,
        "run_colors": [looks[i % len(looks)] for i in range(len(runs))],
        "shades": {"light": _shades(0.0, 0.85, lambdas), "dark": _shades(0.3, 1.0, lambdas)},  # of λ
        "losses": {name: label.replace("\n", " ") for name, label in CURVES.items()},
    }
