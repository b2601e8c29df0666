"""Memory of driver and actors, open files and logs over hundreds of rounds: whether a long training stays flat.

python simulations/long_run.py                       # 500 rounds of coded, 100 clients, ray-cohort
python simulations/long_run.py --rounds 100 --method tiprdc+ --runtime inline
"""

from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.errors import InputError, require_known
from fl_tiprdc.experiment.run_folder import open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.federated.launch import RUNTIMES
from fl_tiprdc.methods import METHODS
from fl_tiprdc.studies.long_run import settings, study_long_run
from simulations.tables import show


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, train, print, save."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=500, help="rounds of training (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=100, help="number of clients (default: %(default)s)")
    parser.add_argument("--every", type=int, default=5, help="rounds between samples (default: %(default)s)")
    parser.add_argument("--method", metavar="NAME", default="coded", help="what is trained (default: %(default)s)")
    parser.add_argument("--runtime", default="ray-cohort", help="how clients are run (default: %(default)s)")
    parser.add_argument("--actors", type=int, default=0, help="Ray actors; 0: one for each core (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/long-run"), help="folder (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    require_known("method", [parsed.method], METHODS)
    require_known("runtime", [parsed.runtime], RUNTIMES)
    for name, least in (("rounds", 4), ("clients", 1), ("every", 1), ("actors", 0)):
        if getattr(parsed, name) < least:
            raise InputError(f"--{name} {getattr(parsed, name)}: at least {least}")
    if parsed.every > parsed.rounds // 4:
        raise InputError(f"--every {parsed.every}: at most {parsed.rounds // 4}, a quarter of the rounds")
    open_folder(parsed.output)
    console = Screen()
    experiment = settings(parsed.method, parsed.rounds, parsed.clients)
    grown, seconds = study_long_run(parsed.runtime, experiment, parsed.every, parsed.actors, parsed.output)
    title = f"{parsed.rounds} rounds of {parsed.method}, {parsed.clients} clients, {parsed.runtime}: {seconds:.0f} s"
    console.print(show(grown, title))
    console.print(f"results: {parsed.output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
