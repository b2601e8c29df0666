"""One experiment with several partitions: does it matter which client holds what?

python simulations/partitions.py --seeds 0,1,2

Takes the flags of run.py. Each partition is a run of its own, in a folder under the output; runs that are there
already, with the same settings, are taken as they are. Centralized training and the baselines are done once.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.flags import experiment_parser, given_experiment
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.errors import InputError, require_once
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.studies.cells import Cell, CheckedCells
from fl_tiprdc.studies.partitions import LEVEL, study_partitions
from simulations.tables import show


def partitions_parser() -> Parser:
    """Return the parser of the flags."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument(
        "--partitions",
        default="iid,dirichlet:0.3,by-private",
        help="partitions to compare, in place of --partition (default: %(default)s)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run or take every partition, compare, print, save."""
    parsed = partitions_parser().parse_args(arguments)
    if parsed.partition is not None:
        raise InputError(f"--partition '{parsed.partition}': name all that are to be compared with --partitions")
    specs = some_words(parsed.partitions, "partitions")
    require_once("partition", specs)
    checked = CheckedCells()
    cells: dict[str, Cell] = {}
    for spec in specs:
        one = argparse.Namespace(**{**vars(parsed), "partition": spec})
        if cells:
            one.settings = "federated"
        cells[spec.replace(":", "-")] = checked.check(given_experiment(one))
    first = next(iter(cells.values())).experiment
    name = f"{first.dataset}-{'+'.join(first.private)}-partitions-{first.clients}"
    output = parsed.output or Path.cwd() / "results" / name
    console = Screen()
    table = study_partitions(cells, output, console, parsed.resume)
    shown = table[table["setting"] != "raw"].drop(columns=["setting", "area"])
    console.print(
        show(shown, f"worst attack AUC and retention at an attack of {LEVEL:g}; means of {len(first.seeds)} seeds")
    )
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
