"""Parameters as numpy arrays, by group and name."""

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.float32]]  # one group's parameters by name
GroupArrays = dict[str, Arrays]


def released_groups(groups: Mapping[str, Arrays]) -> GroupArrays:
    """Return those of a training's arrays that make releases: the extractor's, and the codes' where there are any."""
    return {name: arrays for name, arrays in groups.items() if name in ("extractor", "codes")}


def digest_of(arrays: Mapping[str, npt.NDArray[np.float32]]) -> str:
    """Return the SHA-256 of named arrays, of their shapes and numbers; their order has no effect."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{len(name)}:{name}{np.shape(array)}".encode())
        digest.update(np.ascontiguousarray(array, dtype="<f4").data)
    return digest.hexdigest()
