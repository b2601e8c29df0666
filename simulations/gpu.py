"""Measure a GPU on pictures of full size: seconds, memory, and how far that is from the card's limit.

python simulations/gpu.py                  # the paper's VGG16 at one place and federated, then codes of pictures
python simulations/gpu.py --parts codes    # only the last part
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.experiment.run_folder import open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.hybrid.device import training_device
from fl_tiprdc.studies.gpu import PARTS, SIZE, study_gpu
from simulations.tables import show


def gpu_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/gpu"), help="folder (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, save."""
    parsed: argparse.Namespace = gpu_parser().parse_args(arguments)
    names = parsed.parts.split(",")
    require_known("part", names, PARTS)
    require_once("part", names)
    if training_device().type != "cuda" and names != ["codes"]:
        raise InputError("torch sees no GPU here, and these networks need one: only --parts codes runs without")
    open_folder(parsed.output)
    console = Screen()
    card, table = study_gpu(names, parsed.output, console)
    console.print(show(table, f"{card.name}: pictures of {SIZE[0]} x {SIZE[1]}"))
    console.print(f"results: {parsed.output}", highlight=False)


if __name__ == "__main__":
    guard(main)
