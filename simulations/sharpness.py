"""Measure how sharp the certificate is: bounds of simulated counts against the attack, which is known there.

python simulations/sharpness.py --output results/reference/sharpness
"""

from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.studies.sharpness import DELTA, study_sharpness
from simulations.tables import show


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, simulate, print."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--draws", type=int, default=40, help="draws of counts for each row (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/sharpness"), help="folder (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    if parsed.draws < 1:
        raise InputError(f"--draws {parsed.draws}: at least 1")
    open_folder(parsed.output)
    with Stages(console := Screen()) as stages:
        table = study_sharpness(parsed.draws, parsed.output, stages)
    console.print(show(table, f"bounds on A* that fail with probability {DELTA:g}; means of {parsed.draws} draws"))
    console.print(f"results: {parsed.output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
