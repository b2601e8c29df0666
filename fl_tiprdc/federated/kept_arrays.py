"""Arrays that clients keep on their disk while a server asks about them: a fit's extractor, and its codes."""

import contextlib
import logging
import os
import re
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from fl_tiprdc.errors import InputError
from fl_tiprdc.release.arrays import Arrays, digest_of

MOST_KEPT = 64  # at a time: an extractor, and the codes of each λ
MOST_IN_MEMORY = 3  # of these: the extractor, the codebook and the codes that a simulation's clients read in turn


class KeptArrays:
    """Keeps groups of arrays in a folder, each under its SHA-256; clients of a simulation share it.

    Args:
        root: path of the folder, which is made when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._in_memory: dict[str, tuple[int | None, Arrays]] = {}  # digest -> the file's inode, and what is in it

    def keep(self, arrays: Arrays) -> str:
        """Keep a group and return its SHA-256; a full disk is no failure, as the group can be sent again."""
        digest = digest_of(arrays)
        path = self._root / f"{digest}.npz"
        partial = path.with_name(f".{digest}.{os.getpid()}")  # clients of several processes may keep the same
        try:
            if not path.exists():
                self._root.mkdir(parents=True, exist_ok=True)
                for old in sorted(self._root.glob("*.npz"), key=lambda file: file.stat().st_mtime)[: 1 - MOST_KEPT]:
                    old.unlink(missing_ok=True)
                with partial.open("wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type]
                partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            logging.getLogger(__name__).warning("arrays can't be kept in '%s': %s", self._root, error.strerror)
        return digest

    def read(self, digest: str) -> Arrays:
        """Return the group of that SHA-256.

        Raises:
            InputError: it isn't here, or is damaged.
        """
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise InputError("the server names what a client keeps by what is no SHA-256")
        path = self._root / f"{digest}.npz"
        try:
            inode = path.stat().st_ino  # what is gone from the disk is lost
            known, arrays = self._in_memory.pop(digest, (None, {}))
            if known != inode:
                with np.load(path, allow_pickle=False) as file:
                    arrays = dict(file)
        except (OSError, ValueError, BadZipFile):
            raise InputError("what the server asks about isn't kept here: send it again") from None
        if known != inode and digest_of(arrays) != digest:
            raise InputError("what is kept here is damaged: send it again")
        self._in_memory[digest] = inode, arrays
        if len(self._in_memory) > MOST_IN_MEMORY:
            self._in_memory.pop(next(iter(self._in_memory)))
        with contextlib.suppress(OSError):
            os.utime(path)  # what is in use isn't the oldest
        return dict(arrays)
