"""Rows of a sum: a client's whole update as one row of numbers, weighed and clipped.

The server that sums in the clear, the clients that mask their rows and the study of clipping all use these functions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fl_tiprdc.release.arrays import Arrays, GroupArrays

Rows = npt.NDArray[np.float64]


def clip_factors(norms: Rows, limit: float) -> Rows:
    """Return the factors [n] that cut rows of these norms [n] to a norm of at most `limit`; 1 keeps a row."""
    return np.asarray(np.minimum(1, limit / np.maximum(norms, 1e-12)))


def flatten(groups: Mapping[str, Arrays]) -> Rows:
    """Return the arrays [n, ...] of all groups as rows [n, numbers], in the order of groups' and arrays' names."""
    parts = [array.reshape(len(array), -1) for _, group in sorted(groups.items()) for _, array in sorted(group.items())]
    return np.concatenate(parts, axis=1, dtype=np.float64)


def unflatten(row: Rows, like: GroupArrays) -> GroupArrays:
    """Return a row of `flatten` as arrays with the names, shapes and order of `like`."""
    groups = {group: dict(arrays) for group, arrays in like.items()}
    place = 0
    for group, arrays in sorted(like.items()):
        for name, array in sorted(arrays.items()):
            groups[group][name] = row[place : place + array.size].reshape(array.shape).astype(np.float32)
            place += array.size
    return groups


def stack(replies: Sequence[GroupArrays]) -> GroupArrays:
    """Return several clients' arrays stacked along a leading client dimension."""
    return {
        group: {name: np.stack([reply[group][name] for reply in replies]) for name in arrays}
        for group, arrays in replies[0].items()
    }


def update_rows(
    groups: GroupArrays, weights: Sequence[float], origin: GroupArrays | None = None, clip: float | None = None
) -> Rows:
    """Return the rows [n, numbers] that n clients add to a sum.

    Args:
        groups: the clients' gradients or weights, stacked.
        weights: weight of each client.
        origin: parameters from which the clients started, which are subtracted from theirs; None: for gradients.
        clip: largest norm of a row *with* its weight; None: any. No client can add more, however often it counts, so
            that a sum changes by no more than this when a client's records are taken out of it.
    """
    rows = flatten(groups)
    if origin is not None:
        rows -= flatten({group: {k: v[None] for k, v in origin[group].items()} for group in groups})
    rows *= np.asarray(weights, dtype=np.float64)[:, None]
    if clip is not None:
        rows *= clip_factors(np.sqrt(np.einsum("ij,ij->i", rows, rows)), clip)[:, None]
    return rows
