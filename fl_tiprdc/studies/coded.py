"""The study of coded releases: its parts, and retention, exact attack and certificate of each λ and seed of a run."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fl_tiprdc.config import Experiment
from fl_tiprdc.evaluation.frontier import POINT
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.studies.cells import Cell, tabulate
from fl_tiprdc.whole_file import write_table

COLUMNS = [
    *("dataset", "private", "partition", "method", "setting", "seed", "lam"),
    *("codes", "retention", "exact", "certified", "people", "bits", "limit"),
]


class CodedRun(NamedTuple):
    """Describe one run of the study; what is empty is as asked for."""

    dataset: str
    private: str
    partition: str
    settings: str = ""
    methods: str = ""
    seeds: str = ""


PARTS = {
    "adult-sex-iid": CodedRun("adult", "sex", "iid"),
    "adult-sex-dirichlet": CodedRun("adult", "sex", "dirichlet:0.3", "federated"),
    "adult-sex-by-private": CodedRun("adult", "sex", "by-private", "federated"),
    "adult-sex-adversarial": CodedRun("adult", "sex", "iid", "centralized", "coded-adversarial"),
    "adult-sex-given-marital": CodedRun("adult", "sex,marital-status", "iid", "centralized"),
    "adult-sex-x": CodedRun("adult", "sex", "iid", "centralized", "coded-x"),
    "adult-race-iid": CodedRun("adult", "race", "iid"),
    "digits": CodedRun("digits", "", "iid"),
    "names": CodedRun("names", "", "iid"),
}


def coded_points(name: str, experiment: Experiment, folder: Path, points: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of points.csv of a finished run."""
    summary = json.loads((folder / "summary.json").read_text())
    facts = pd.DataFrame(
        {
            **{name: one[name] for name in POINT},
            "codes": one["codes"],
            "people": max(sum(of["people"].values()) for of in one["attributes"].values()),
            "bits": round(math.log2(one["codes"]), 2),
        }
        for one in summary["certificates"]
    )
    where = {
        "dataset": experiment.dataset,
        "private": "+".join(summary["certificates"][0]["attributes"]),
        "partition": experiment.partition,
    }
    return points.merge(facts, on=POINT).assign(**where)[COLUMNS]


def best_under(points: pd.DataFrame, column: str, level: float) -> float:
    """Return the mean over seeds of the best retention with `column` at most `level`; NaN if a seed has none."""
    allowed = points[points[column] <= level].groupby("seed")["retention"].max()
    return float(allowed.mean()) if len(allowed) == points["seed"].nunique() else math.nan


def summarize_curves(points: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each curve: what is kept at given exact and certified attacks, means over seeds."""
    rows = []
    for where, curve in points.groupby(["dataset", "private", "partition", "method", "setting"], sort=False):
        strict = curve[curve["lam"] == curve["lam"].max()]
        rows.append(
            {
                **dict(zip(("dataset", "private", "partition", "method", "setting"), where, strict=True)),
                "codes": round(float(curve["codes"].mean())),
                "retention": strict["retention"].mean(),
                "spread": strict["retention"].max() - strict["retention"].min(),
                "exact": strict["exact"].mean(),
                "certified": strict["certified"].mean(),
                "exact<=.53": best_under(curve, "exact", 0.53),
                "exact<=.60": best_under(curve, "exact", 0.60),
                "certified<=.575": best_under(curve, "certified", 0.575),
            }
        )
    return pd.DataFrame(rows)


def study_coded(cells: Mapping[str, Cell], output: Path, console: Screen, resume: bool = False) -> pd.DataFrame:
    """Run or take every cell and write points.csv and summary.csv.

    Args:
        cells: name -> what to run.
        output: folder of the study.
        console: for progress.
        resume: go on with an interrupted cell.

    Returns:
        `summarize_curves`'s table.
    """
    table = summarize_curves(tabulate(cells, coded_points, output, "points.csv", console, resume))
    write_table(output / "summary.csv", table)
    return table
