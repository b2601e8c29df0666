"""Kind failures: one line and an exit status."""

import errno
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fl_tiprdc.data.own_table import DataNotice
from fl_tiprdc.errors import InputError, RunFailedError, TooManyFailuresError

WRONG_INPUT, FAILED = 2, 1
# what a disk has against being written to
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def one_line(text: object) -> str:
    """On one line, and with nothing in it that a terminal would obey."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def guard(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run an entry point: status 2 and one line for wrong input, status 1 and one line for a failed run.

    A notice about a person's data is one line too, said once.
    """
    show = warnings.formatwarning
    said: set[str] = set()

    def short(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> str:
        if not issubclass(category, DataNotice):
            return show(message, category, *rest, **named)
        line = f"note: {one_line(message)}\n"
        if line in said:  # a table that is read again; Python's own memory of warnings ends with every catch_warnings
            return ""
        said.add(line)
        return line

    warnings.formatwarning = short
    try:
        main(None)
    except InputError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(WRONG_INPUT)
    except (TooManyFailuresError, TimeoutError, RunFailedError, ConnectionError) as error:
        print(f"failed: {one_line(error)}", file=sys.stderr)
        sys.exit(FAILED)
    except OSError as error:
        if error.errno not in DISK:
            raise
        where = f" '{error.filename}'" if error.filename else ""
        print(f"failed: cannot write{where}: {one_line(error.strerror)}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
