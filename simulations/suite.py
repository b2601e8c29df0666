"""Every method over every data set: what tasks keep, what attackers get, what is certified, what it costs.

python simulations/suite.py --output results/reference/suite

Takes the flags of run.py. Each data set and method is a run of its own, in a folder under the output; runs that are
there already, with the same settings, data and code, are taken as they are. suite.csv has a row for each λ, means over
seeds; suite.md the same for reading. A crowd that is too small for a method has a row that says so.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.flags import experiment_parser, given_experiment
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.data.datasets import DATASETS
from fl_tiprdc.errors import TooFewPeopleError, require_known
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.methods import METHODS
from fl_tiprdc.studies.cells import CheckedCells
from fl_tiprdc.studies.suite import CLIENTS, CODED, NOISY, refusal, study_suite
from simulations.tables import show

SHOWN = ["dataset", "method", "lam", "retention", "panel", "exact", "certified", "seconds"]  # fit 80 characters


def suite_parser() -> Parser:
    """Return the parser of the flags."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument("--datasets", default=",".join(CLIENTS), help="in place of --dataset (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run or take every cell, print, draw, save."""
    parsed = suite_parser().parse_args(arguments)
    parsed.config = parsed.config or "suite"
    datasets = some_words(parsed.datasets, "datasets")
    methods = some_words(parsed.methods, "methods") or tuple(METHODS)
    require_known("data set", datasets, DATASETS)
    console = Screen()
    checked, cells = CheckedCells(), {}
    refused: list[dict[str, object]] = []
    for method in methods:
        for dataset in datasets:
            one = argparse.Namespace(**{**vars(parsed), "dataset": dataset, "methods": method})
            one.clients = parsed.clients or str(CLIENTS.get(dataset, 100))
            given = given_experiment(one)
            one.lambdas = parsed.lambdas or (CODED if given.method_config(method).coding else NOISY)
            try:
                cells[f"{dataset}-{method}"] = checked.check(given_experiment(one))
            except TooFewPeopleError as error:
                refused.append(refusal(given, error))
                console.print(f"{dataset}-{method}: {error}", highlight=False, soft_wrap=True)
    output = parsed.output or Path.cwd() / "results" / "suite"
    table = study_suite(cells, refused, [*datasets, *methods], output, console, parsed.resume)
    console.print(show(table[SHOWN], "means over seeds"))
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
