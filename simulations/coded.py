"""Coded releases on several data sets and partitions: retention, exact attack and certificate of every λ and seed.

python simulations/coded.py --output results/reference/coded

Takes the flags of run.py. Each cell is a run of its own, in a folder under the output; runs that are there already,
with the same settings, are taken as they are. points.csv has a row for each release.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.flags import experiment_parser, given_experiment
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.config import Experiment
from fl_tiprdc.errors import require_known
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.studies.cells import CheckedCells
from fl_tiprdc.studies.coded import PARTS, CodedRun, study_coded
from simulations.tables import show

SHOWN = ["dataset", "private", "partition", "setting", "R", "exact", "certified"]  # fit 80 characters


def coded_parser() -> Parser:
    """Return the parser of the flags."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument("--cells", default=",".join(PARTS), help="parts of the study to run (default: all)")
    return parser


def part_experiment(part: CodedRun, parsed: argparse.Namespace) -> Experiment:
    """Return the settings of a part: its own, over those of the flags."""
    one = argparse.Namespace(**{**vars(parsed), "dataset": part.dataset, "partition": part.partition})
    one.private = part.private or parsed.private
    one.methods = part.methods or parsed.methods
    one.seeds = part.seeds or parsed.seeds
    one.settings = part.settings or parsed.settings or "centralized,federated"
    return given_experiment(one)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run or take every cell, print, save."""
    parsed = coded_parser().parse_args(arguments)
    if parsed.config is None:
        parsed.config = "coded"
    console = Screen()
    output = parsed.output or Path.cwd() / "results" / "coded"
    names = some_words(parsed.cells, "cells")
    require_known("cell", names, PARTS)
    checked = CheckedCells()
    cells = {name: checked.check(part_experiment(PARTS[name], parsed)) for name in names}
    table = study_coded(cells, output, console, parsed.resume)
    console.print(
        show(table.rename(columns={"retention": "R"})[SHOWN], "λ = largest, means over seeds; more in summary.csv")
    )
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
