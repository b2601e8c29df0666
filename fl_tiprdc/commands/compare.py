"""One page across runs: their frontiers in one figure, two of them side by side, all tables together.

fl-tiprdc compare results/RUN results/RUN ... --output page.html

A run is a folder with metrics.csv at least; rounds.csv, summary.json, config.toml, figures/ and publication/ are taken
where they are. Of a single run, its own page is made anew. The page needs no network and no other file.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.screen import Screen, say

if TYPE_CHECKING:
    from fl_tiprdc.report.run_tables import RunTables


def compare_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(description=__doc__ or "")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--output",
        type=Path,
        help="page to write (default: report.html in the folder of a single run, comparison.html beside several)",
    )
    return parser


def read_runs(folders: Sequence[Path]) -> "list[RunTables]":
    """Read runs, named by their folders: by as much of the path as tells them apart.

    Raises:
        InputError: a folder is no run, or is named twice.
    """
    from fl_tiprdc.report.run_tables import read_run  # takes seconds, which the help needn't

    places = [folder.resolve() for folder in folders]
    if twice := [place for place, times in Counter(places).items() if times > 1]:
        raise InputError(f"run '{twice[0]}' is named twice")
    depth = 1
    while len({place.parts[-depth:] for place in places}) < len(places):
        depth += 1
    for place in places:
        if not (place / "metrics.csv").is_file():
            raise InputError(f"'{place}' is no folder of a run: it has no metrics.csv")
    return [read_run(place, "/".join(place.parts[-depth:])) for place in places]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write, print."""
    parsed = compare_parser().parse_args(arguments)
    runs = read_runs(parsed.runs)
    from fl_tiprdc.report.page import write_page

    place = parsed.runs[0].resolve()
    output = parsed.output or (place / "report.html" if len(runs) == 1 else place.parent / "comparison.html")
    try:
        write_page(output, runs)
    except OSError as error:
        raise InputError(f"cannot write to output '{output}': {error.strerror}") from None
    say(Screen(), f"page: {output}")
