"""Kind failures: one line and an exit status."""

import errno
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fl_tiprdc.errors import InputError, RunFailedError, TooManyFailuresError
from fl_tiprdc.experiment.screen import never_fail
from fl_tiprdc.notices import DataNotice

WRONG_INPUT, FAILED = 2, 1
# what a disk has against being written to, or a name against being looked up
DISK = {errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def one_line(text: object) -> str:
    """Return the text on one line, and with nothing in it that a terminal would obey."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


class _Unbreakable(io.FileIO):
    """A file descriptor of this process that takes everything: what it can't write any more is dropped."""

    def write(self, data: Any) -> int:
        """Write, or drop what a closed pipe or a full disk doesn't take, and all that follows."""
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno != errno.EPIPE and self.fileno() != sys.__stderr__.fileno():  # type: ignore[union-attr]
                print(f"note: no more is shown: {error.strerror}", file=sys.stderr)
            return len(memoryview(data).cast("B"))


def _secure_streams() -> None:
    """Let nothing that is shown end the work: not a closed stream, nor a pipe that closes, nor an encoding."""
    if None in (sys.stdout, sys.stderr):  # else the next file that is opened becomes what other processes write to
        for descriptor in range(3):
            _open_if_closed(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed before the start
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__"):  # not one that a test or a notebook has put there
            stream.flush()
            raw = io.BufferedWriter(_Unbreakable(stream.fileno(), "w", closefd=False))
            whole_lines = stream.line_buffering or name == "stderr"
            setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=whole_lines))
        never_fail(getattr(sys, name))


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        os.set_inheritable(descriptor, True)


def guard(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run an entry point: status 2 and one line for wrong input, status 1 and one line for a failed run.

    A notice about a person's data is one line too, said once.
    """
    _secure_streams()
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
        # of a temporary file, or of shared memory
        which = " (TMPDIR or /dev/shm)" if error.errno == errno.ENOSPC and not where else ""
        what = "take" if error.errno == errno.ENAMETOOLONG else "write"
        print(f"failed: cannot {what}{where}: {one_line(error.strerror)}{which}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
