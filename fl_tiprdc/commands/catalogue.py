"""List data sets, methods, attackers, presets and all else that can be chosen, a line each.

fl-tiprdc catalogue
fl-tiprdc catalogue methods presets
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

from fl_tiprdc.catalogue import Section, catalogue
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.command_line.subcommands import PROGRAM
from fl_tiprdc.errors import require_known

NARROWEST = 60


def folded(kind: str, section: Section, width: int) -> Iterator[str]:
    """Yield the lines of a section, none wider than `width`."""
    yield f"{kind} ({section.chosen_by})"
    space = max(map(len, section.lines)) + 4
    for name, text in section.lines.items():
        yield textwrap.fill(text, width, initial_indent=f"  {name}".ljust(space), subsequent_indent=" " * space)
    yield ""


def catalogue_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(__doc__ or "")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(catalogue())} (default: all)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and print."""
    sections = catalogue()
    asked = catalogue_parser().parse_args(arguments).kinds
    require_known("kind", asked, sections)
    width = max(NARROWEST, shutil.get_terminal_size().columns)
    try:
        if not asked:
            print(f"Federated TIPRDC: what can be chosen. One kind alone: {PROGRAM} catalogue KIND\n")
        for name in asked or sections:
            print("\n".join(folded(name, sections[name], width)))
        sys.stdout.flush()
    except BrokenPipeError:  # into head; what is left is for nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
