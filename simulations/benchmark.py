"""Speed of the runtimes: seconds and memory of a round, by runtime and by number of clients.

python simulations/benchmark.py                 # every runtime and its peers, then more clients
python simulations/benchmark.py --parts scale   # only the second part
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.experiment.run_folder import open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.federated.launch import RUNTIMES
from fl_tiprdc.studies.benchmark import SCALE, study_protections, study_runtimes, study_scale, write_machine
from simulations.tables import show


def _runtimes(parsed: argparse.Namespace, console: Screen) -> None:
    table = study_runtimes(parsed.runtimes.split(","), parsed.rounds, parsed.output, console)
    shown = table[["runtime", "seconds", "clients_per_second", "overhead", "peak_mb"]]
    for workload, rows in shown.groupby(table["workload"], sort=False):
        alone = table.loc[rows.index[0], "pure_compute"]
        console.print(show(rows, f"{workload}: seconds a round (compute alone: {alone:.2f} s)"))


def _scale(parsed: argparse.Namespace, console: Screen) -> None:
    counts = [int(word) for word in parsed.counts.split(",")]
    table = study_scale(counts, parsed.rounds, parsed.output, console)
    shown = table[["clients", "seconds", "question_seconds", "start_seconds", "peak_mb", "data_mb"]]
    console.print(show(shown, "100 clients asked at a time, of more and more"))


def _protection(parsed: argparse.Namespace, console: Screen) -> None:
    table = study_protections(parsed.rounds, parsed.output, console)
    console.print(show(table, "A round of tiprdc+ on Adult: medians of an exchange"))


PARTS: Mapping[str, Callable[[argparse.Namespace, Screen], None]] = {
    "runtimes": _runtimes,
    "scale": _scale,
    "protection": _protection,
}


def benchmark_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure (default: %(default)s)")
    parser.add_argument(
        "--runtimes", default="ray-cohort,flower,inline", help="runtimes to compare (default: %(default)s)"
    )
    parser.add_argument("--counts", default=",".join(map(str, SCALE)), help="numbers of clients (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds timed, after a first one (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/benchmark"), help="folder (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, save."""
    parsed = benchmark_parser().parse_args(arguments)
    for kind, names, known in (("part", parsed.parts, PARTS), ("runtime", parsed.runtimes, RUNTIMES)):
        require_known(kind, names.split(","), known)
        require_once(kind, names.split(","))
    if parsed.rounds < 1:
        raise InputError(f"--rounds {parsed.rounds}: at least 1")
    counts = parsed.counts.split(",")
    for word in counts:
        if not word.isdecimal() or int(word) < 1:
            raise InputError(f"--counts '{word}': give whole numbers from 1 with commas between them")
    open_folder(parsed.output)
    console = Screen()
    for name in parsed.parts.split(","):
        PARTS[name](parsed, console)
    write_machine(parsed.output)
    console.print(f"results: {parsed.output}", highlight=False)


if __name__ == "__main__":
    guard(main)
