"""Coded releases on several data sets and partitions: retention, exact attack and certificate of every λ and seed.

python simulations/coded.py --output results/reference/coded

Takes the flags of run.py. Each cell is a run of its own, in a folder under the output; runs that are there already,
with the same settings, are taken as they are. points.csv has a row for each release.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fl_tiprdc.command_line.flags import experiment_parser, read_experiment
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.config import Experiment
from fl_tiprdc.errors import require_known
from fl_tiprdc.evaluation.frontier import POINT
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.whole_file import write_table
from simulations.cells import tabulate
from simulations.tables import show

COLUMNS = ["dataset", "private", "partition", "method", "setting", "seed", "lam"]
COLUMNS += ["codes", "retention", "exact", "certified", "people", "bits", "limit"]


class Cell(NamedTuple):
    """Describe one run of the study; what is empty is as the flags say."""

    dataset: str
    private: str
    partition: str
    settings: str = ""
    methods: str = ""
    seeds: str = ""


CELLS = {
    "adult-sex-iid": Cell("adult", "sex", "iid"),
    "adult-sex-dirichlet": Cell("adult", "sex", "dirichlet:0.3", "federated"),
    "adult-sex-by-private": Cell("adult", "sex", "by-private", "federated"),
    "adult-sex-adversarial": Cell("adult", "sex", "iid", "centralized", "coded-adversarial"),
    "adult-sex-given-marital": Cell("adult", "sex,marital-status", "iid", "centralized"),
    "adult-sex-x": Cell("adult", "sex", "iid", "centralized", "coded-x"),
    "adult-race-iid": Cell("adult", "race", "iid"),
    "digits": Cell("digits", "", "iid"),
    "names": Cell("names", "", "iid"),
}

SHOWN = ["dataset", "private", "partition", "setting", "R", "exact", "certified"]  # fit 80 characters


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


def summarize(points: pd.DataFrame) -> pd.DataFrame:
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


def coded_parser() -> Parser:
    """Return the parser of the flags."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument("--cells", default=",".join(CELLS), help="parts of the study to run (default: all)")
    return parser


def cell_experiment(cell: Cell, parsed: argparse.Namespace) -> Experiment:
    """Return the settings of a cell: its own, over those of the flags."""
    one = argparse.Namespace(**{**vars(parsed), "dataset": cell.dataset, "partition": cell.partition})
    one.private = cell.private or parsed.private
    one.methods = cell.methods or parsed.methods
    one.seeds = cell.seeds or parsed.seeds
    one.settings = cell.settings or parsed.settings or "centralized,federated"
    return read_experiment(one)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run or take every cell, print, save."""
    parsed = coded_parser().parse_args(arguments)
    if parsed.config is None:
        parsed.config = "coded"
    console = Screen()
    output = parsed.output or Path.cwd() / "results" / "coded"
    names = some_words(parsed.cells, "cells")
    require_known("cell", names, CELLS)
    cells = {name: cell_experiment(CELLS[name], parsed) for name in names}
    points = tabulate(cells, coded_points, output, "points.csv", console, parsed.resume)
    table = summarize(points)
    write_table(output / "summary.csv", table)
    console.print(
        show(table.rename(columns={"retention": "R"})[SHOWN], "λ = largest, means over seeds; more in summary.csv")
    )
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
