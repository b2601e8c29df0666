"""Try what goes wrong with real processes, each fault in a small deployment on this machine, and write a table.

python simulations/faults.py --output results/faults.csv

Four clients train, each a node with a folder and a key of its own, all of them on 127.0.0.1 (as loopback.py's). The run
is done once undisturbed, and once more for each fault, with the same folders. Compared are the SHA-256 of all parts
that are published: the same sums mean the same model, the same releases, and noise that wasn't drawn anew.
"""

from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.studies.faults import chosen, study_faults


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, try one after the other, write the table after each."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--output", type=Path, default=Path("faults.csv"), help="the table (default: %(default)s)")
    parser.add_argument("--only", help="words in the names of faults to try, with commas (default: all)")
    parser.add_argument("--logs", type=Path, help="folder that keeps the processes' logs (default: none)")
    parsed = parser.parse_args(arguments)
    study_faults(chosen(parsed.only), parsed.output, parsed.logs, lambda row: print(" ; ".join(row), flush=True))


if __name__ == "__main__":
    guard(main)
