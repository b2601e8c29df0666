"""Releases whose arrays are on the disk: a sweep has dozens, and each is looked at by one process at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.evaluation.audit import AuditedRelease
from fl_tiprdc.whole_file import new_array

LEAST_BYTES = 2**20  # smaller arrays stay in memory


def on_disk(release: AuditedRelease, folder: Path) -> AuditedRelease:
    """Return the same release, its large arrays read from files of `folder` where they are needed.

    Args:
        release: the representations.
        folder: there for as long as the release is used.

    Raises:
        OSError: there is no room.
    """
    number = sum(1 for _ in folder.iterdir())

    def moved(name: str, array: Floats) -> Floats:
        if array.nbytes < LEAST_BYTES:
            return array
        path = folder / f"{number}-{name}.npy"
        written = new_array(path, array.dtype, array.shape)
        written[:] = array
        written.flush()
        mapped: Floats = np.load(path, mmap_mode="r")
        return mapped

    return replace(
        release,
        contributors=moved("contributors", release.contributors),
        held_out=moved("held-out", release.held_out),
        clean=None if release.clean is None else moved("clean", release.clean),
    )
