"""Files that are there whole or not at all, whenever a process dies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A place to write what `path` will hold; it takes that name when the block ends without an error.

    On the disk before it gets its name: a file of that name is never half-written.

    Raises:
        OSError: it can't be written; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(f".{path.name}.writing")
    try:
        yield writing
        with writing.open("rb") as file:
            os.fsync(file.fileno())
        writing.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        writing.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file, whole or not at all; an earlier one of that name stays until the new one is whole.

    Raises:
        OSError: it can't be written; it names `path`.
    """
    with replaced(path) as writing:
        writing.write_bytes(data)


def reserve(path: Path) -> None:
    """Ask the disk for all the room of a file that is written through a memory map.

    Without it a full disk shows only when a page is written, and kills the process.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):  # not on every system
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
