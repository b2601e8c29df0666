"""Measure what a federation sends and what it gets: exchanges and megabytes of each method against what tasks keep.

python simulations/exchanges.py --output results/reference/exchanges

Takes the flags of run.py. Each row is a run of its own, in a folder under the output; runs that are there already, with
the same settings, are taken as they are. Everything is counted that one training sends: of codes the questions of the
fit and the publications of all values of λ, which share them; of other methods the training and publication of one λ.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.flags import experiment_parser, given_experiment
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.errors import require_known
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.studies.cells import CheckedCells
from fl_tiprdc.studies.exchanges import LEVEL, TRAININGS, planned, study_exchanges
from simulations.tables import show


def exchanges_parser() -> Parser:
    """Return the parser of the flags."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument("--plans", default=",".join(TRAININGS), help="ways to train (default: all)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run or take every plan, print, draw, save."""
    parsed = exchanges_parser().parse_args(arguments)
    if parsed.config is None:
        parsed.config = "exchanges"
    console = Screen()
    output = parsed.output or Path.cwd() / "results" / "exchanges"
    names = some_words(parsed.plans, "plans")
    require_known("plan", names, TRAININGS)
    checked, cells = CheckedCells(), {}
    for name in names:
        one = argparse.Namespace(**{**vars(parsed), "methods": TRAININGS[name].method})
        cells[name] = checked.check(planned(name, given_experiment(one)))
    table = study_exchanges(cells, output, console, parsed.resume)
    console.print(show(table, f"means over seeds; retention_at: at a worst attack of {LEVEL:g}"))
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
