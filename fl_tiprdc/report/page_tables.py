"""The tables of the page, from a run's tables: one row a thing, ready to be sorted."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from fl_tiprdc.evaluation.certificate import COVERED
from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.frontier import POINT, best_models, over_seeds
from fl_tiprdc.evaluation.further_summary import (
    KNOWN_HEADING,
    further_tables,
    mean_known,
    summarize_further,
    summarize_known,
)
from fl_tiprdc.evaluation.limits import limit_table
from fl_tiprdc.evaluation.measurable import unmeasured
from fl_tiprdc.report.page_codes import certificate_rows, code_rows
from fl_tiprdc.report.run_tables import RunTables

LINE = ["setting", "method", "lam"]
_RECONSTRUCTIONS = [*POINT, "model", "metric", "value", "low", "high"]  # columns
_SCORES = ("auc", "balanced-accuracy", "accuracy")


@dataclass(frozen=True)
class PageTable:
    """Hold a table of the page.

    Attributes:
        heading: its title.
        note: a sentence on how to read it; may be empty.
        frame: its rows.
        part: of the page, "tables", "codes", "attacks" or "publication".
    """

    heading: str
    note: str
    frame: pd.DataFrame
    part: str


def attacker_rows(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return every attacker on every point: means over seeds, intervals from the lowest to the highest end.

    `chosen` says in how many seeds it is the one that counts.
    """
    mine = metrics[(metrics["kind"] == "attack") & (metrics["model"] != MAJORITY)]
    key = [*LINE, "target", "model"]
    areas = mine[(mine["metric"] == "auc") & mine["value"].notna()]
    table = areas.groupby(key, sort=False).agg(auc=("value", "mean"), low=("low", "min"), high=("high", "max"))
    for name in _SCORES[1:]:
        table[name.replace("-", "_")] = mine[mine["metric"] == name].groupby(key)["value"].mean()
    best = best_models(mine)
    table["chosen"] = best.groupby(key)["seed"].nunique()
    return table.fillna({"chosen": 0}).astype({"chosen": int}).reset_index()


def task_rows(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return each task's best probe on each point beside the best on raw data, means over seeds, with retention."""
    tasks = metrics[metrics["kind"] == "task"]
    best = best_models(tasks)
    key = [*LINE, "target"]
    table = best.groupby(key, sort=False).agg(
        probe=("model", lambda names: ", ".join(dict.fromkeys(names))),
        auc=("value", "mean"),
        low=("low", "min"),
        high=("high", "max"),
    )
    named = [*POINT, "target", "model"]
    accuracy = tasks.loc[tasks["metric"] == "accuracy", [*named, "value"]].rename(columns={"value": "accuracy"})
    table["accuracy"] = best[named].merge(accuracy, on=named, how="left").groupby(key)["accuracy"].mean()
    table = table.reset_index()
    raw = table[table["setting"] == "raw"].set_index("target")["auc"]
    table["raw_auc"] = table["target"].map(raw)
    gain = table["raw_auc"] - 0.5
    table["retention"] = (table["auc"] - 0.5) / gain.where(gain > 0)
    return table.rename(columns={"target": "task"})


def traffic_rows(rounds: pd.DataFrame) -> pd.DataFrame:
    """Return what federated training sent: exchanges, clients asked, failures, seconds, bytes of every point."""
    if "exchange" not in rounds:
        return pd.DataFrame()
    mine = rounds[(rounds["setting"] == "federated") & rounds["exchange"].notna()]
    return mine.groupby(["method", "lam", "seed"], sort=False, as_index=False).agg(
        exchanges=("exchange", "nunique"),
        clients_an_exchange=("clients", "mean"),
        failures=("failures", "sum"),
        seconds=("seconds", "sum"),
        bytes_to_clients=("bytes_down", "sum"),
        bytes_from_clients=("bytes_up", "sum"),
    )


def _with_capacity(run: RunTables) -> pd.DataFrame:
    """Return the publications, with the channel's capacity in bits; without them the capacities alone."""
    capacities = pd.DataFrame(run.summary.get("capacities", []), columns=["method", "lam", "bits"])
    capacities = capacities.astype({"lam": float, "bits": float}).rename(columns={"bits": "capacity_bits"})
    return capacities if run.releases.empty else run.releases.merge(capacities, on=["method", "lam"], how="left")


def mean_of_tasks(tasks: pd.DataFrame) -> pd.DataFrame:
    """Return the retention of each task, a column each: means over seeds of each setting, method and λ, the index."""
    return tasks.pivot(index=POINT, columns="task", values="retention").groupby(LINE, sort=False).mean()


def _points(run: RunTables) -> pd.DataFrame:
    return over_seeds(run.points).join(mean_of_tasks(run.tasks), on=LINE, rsuffix=" (task)")


def _worst_group(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the task of each point on which a group is furthest below everybody."""
    return rows.loc[rows.groupby(POINT, sort=False)["shortfall"].idxmax()] if len(rows) else rows


def page_tables(run: RunTables) -> list[PageTable]:
    """Return every table that the run has something for, in the order of the page."""

    def noted(name: str) -> pd.DataFrame:
        return pd.DataFrame(run.summary.get(name) or [])

    reconstructions = run.metrics.loc[run.metrics["kind"] == "reconstruction", _RECONSTRUCTIONS]
    seconds = pd.DataFrame(run.summary.get("seconds", {}).items(), columns=["stage", "seconds"])
    tables = [
        PageTable("What is certified of codes", COVERED, certificate_rows(run.summary), "tables"),
        PageTable(
            "Codes",
            "What the decoder of the training says of a code; the share of a private class among those who have it, "
            "with its 95 % interval.",
            code_rows(run),
            "codes",
        ),
        PageTable(
            "Not measured",
            "Left out of all means: there was nobody to learn it from or to test it on, as with a class of one person.",
            unmeasured(run.metrics),
            "tables",
        ),
        PageTable("Points", "Means over seeds; attack: AUC of the worst attack.", _points(run), "tables"),
        PageTable("Federated and centralized", "", noted("comparison"), "tables"),
        PageTable("Federated equals centralized, within a margin", "", noted("equivalence"), "tables"),
        PageTable("Frontier area", "1 is perfect.", noted("frontier_areas"), "tables"),
        PageTable(
            "Attackers",
            "Every attacker of the panel; chosen: in how many seeds it is the one that counts.",
            attacker_rows(run.metrics),
            "tables",
        ),
        PageTable("Unknown tasks", "The best probe of each task.", task_rows(run.metrics), "tables"),
        PageTable(
            "Group that the best probe serves worst, on the task with the largest shortfall",
            "",
            _worst_group(noted("worst_groups")),
            "tables",
        ),
        PageTable("Attackers that nobody trained (estimates; bits)", "", noted("guarantees"), "attacks"),
        *(
            PageTable(heading, "", frame, "attacks")
            for heading, frame in further_tables(summarize_further(run.metrics)).items()
        ),
        PageTable(
            KNOWN_HEADING,
            "Of a release that looks at the private attribute, more than of the record alone.",
            mean_known(summarize_known(run.metrics)),
            "attacks",
        ),
        PageTable(
            "Limit of each task",
            "The most that it can keep if the release tells nothing of the private attributes and serves it alone.",
            limit_table(run.metrics),
            "tables",
        ),
        PageTable("Reconstruction of raw records", "", reconstructions, "attacks"),
        PageTable(
            "What clients published",
            "Capacity bounds what any attacker can learn from one release, whatever it computes.",
            _with_capacity(run),
            "publication",
        ),
        PageTable("What training sent", "", traffic_rows(run.rounds), "publication"),
        PageTable("Where the time went", "", seconds, "publication"),
    ]
    return [table for table in tables if len(table.frame)]


def together(runs: Sequence[RunTables]) -> list[PageTable]:
    """Return the tables of several runs, those with the same heading as one, with a column that names the run."""
    if len(runs) == 1:
        return page_tables(runs[0])
    by_heading: dict[str, list[PageTable]] = {}
    for run in runs:
        for table in page_tables(run):
            frame = table.frame.copy()
            frame.insert(0, "run", run.name)
            by_heading.setdefault(table.heading, []).append(PageTable(table.heading, table.note, frame, table.part))
    return [
        PageTable(first.heading, first.note, pd.concat([table.frame for table in same], ignore_index=True), first.part)
        for same in by_heading.values()
        for first in same[:1]
    ]
