"""What there is, a line each: python -m fl_tiprdc, or of one kind: python -m fl_tiprdc methods."""

import shutil
import sys
from collections.abc import Sequence

from fl_tiprdc.catalogue import contents
from fl_tiprdc.errors import InputError, choose

NARROWEST = 60


def main(arguments: Sequence[str]) -> None:
    """Print; lines are cut to a terminal's width, and whole in a file or pipe.

    Raises:
        InputError: there is no such kind.
    """
    sections = contents()
    asked = [word for word in arguments if word not in ("-h", "--help")]
    known = {name.replace(" ", "-"): name for name in sections}
    for word in asked:
        if word not in known:
            raise choose("kind", word, known)
    width = max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
    if not asked:
        print("Federated TIPRDC: what there is. One kind alone: python -m fl_tiprdc KIND")
    for heading in [known[word] for word in asked] or sections:
        section = sections[heading]
        print(f"\n{heading} ({section.chosen_by})")
        space = max(map(len, section.lines)) + 2
        for name, text in section.lines.items():
            line = f"  {name:<{space}}{text}"
            print(line if width is None or len(line) <= width else f"{line[: width - 1]}…")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # into head
        sys.stderr.close()
