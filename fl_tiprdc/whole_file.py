"""Files that are whole or not there: written beside their place, made safe on the disk, and only then named."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # clients write files too, and need no pandas
    import pandas as pd


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file, whole or not at all; an earlier one of that name stays until the new one is whole.

    Raises:
        OSError: it can't be written; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename = str(path)
        raise


def write_table(path: Path, table: "pd.DataFrame", digits: int = 4) -> None:
    """Write a table as a CSV file without its index, numbers with so many decimals, as `write_whole` does.

    Raises:
        OSError: it can't be written; it names the file.
    """
    write_whole(path, table.to_csv(index=False, float_format=f"%.{digits}f").encode())


def reserve(path: Path) -> None:
    """Ask the disk for all the room of a file that is written through a memory map.

    Without it a full disk shows only when a page is written, and kills the process.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):  # not on every system
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def new_array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Create a .npy file to be filled through a memory map, with all of its room on the disk reserved.

    Raises:
        OSError: there is no room.
    """
    array: np.memmap[Any, Any] = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    reserve(path)
    return array
