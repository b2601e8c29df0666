"""Measure what a larger crowd buys: R, exact and certified attack of codes over the number of people, limits known.

python simulations/crowd_sizes.py --output results/reference/crowd-sizes

People are generated, so that the best scores are known and as many as one likes can be had. Each size is a run of its
own, at one place, in a folder under the output; runs that are there already are taken as they are.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.studies.crowd_sizes import COLUMNS, SIZES, study_sizes
from simulations.tables import show


def sizes_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of people (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("results/crowd-sizes"), help="folder (default: %(default)s)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run or take every size, print, draw, save."""
    parsed: argparse.Namespace = sizes_parser().parse_args(arguments)
    words = some_words(parsed.sizes, "sizes")
    for word in words:
        if not word.isdecimal() or int(word) < 1:
            raise InputError(f"--sizes '{word}': give whole numbers from 1 with commas between them")
    console = Screen()
    table = study_sizes([int(word) for word in words], parsed.output, console)
    limit = table["limit"].max()
    console.print(
        show(table, f"people of two classes, {COLUMNS} columns; R of the best scores without a leak {limit:.3f}")
    )
    console.print(f"results: {parsed.output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
