"""What a client adds to a sum: its whole update as one row of numbers, weighed and clipped.

Written once for the server that sums in the clear, for clients that mask what they add, and for those who measure
what clipping is worth.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fl_tiprdc.wire.arrays import Arrays, GroupArrays

Rows = npt.NDArray[np.float64]


def clip_factors(norms: Rows, limit: float) -> Rows:
    """By how much rows of these norms shrink so that none has a larger one than `limit`: 1 for the others."""
    return np.asarray(np.minimum(1, limit / np.maximum(norms, 1e-12)))


def flatten(groups: Mapping[str, Arrays]) -> Rows:
    """Arrays [n, ...] of all groups as rows [n, numbers], in the order of groups' and arrays' names."""
    parts = [array.reshape(len(array), -1) for _, group in sorted(groups.items()) for _, array in sorted(group.items())]
    return np.concatenate(parts, axis=1, dtype=np.float64)


def unflatten(row: Rows, like: GroupArrays) -> GroupArrays:
    """A row of `flatten` as arrays with the names and shapes of `like`."""
    found = {group: dict(arrays) for group, arrays in like.items()}  # in their order
    place = 0
    for group, arrays in sorted(like.items()):
        for name, array in sorted(arrays.items()):
            found[group][name] = row[place : place + array.size].reshape(array.shape).astype(np.float32)
            place += array.size
    return found


def stack(replies: Sequence[GroupArrays]) -> GroupArrays:
    """Several clients' arrays with a leading client dimension."""
    return {
        group: {name: np.stack([reply[group][name] for reply in replies]) for name in arrays}
        for group, arrays in replies[0].items()
    }


def update_rows(
    groups: GroupArrays, weights: Sequence[float], origin: GroupArrays | None = None, clip: float | None = None
) -> Rows:
    """What clients add to a sum: [n, numbers].

    Args:
        groups: what they computed, stacked: gradients, or weights.
        weights: of each.
        origin: the weights from which they started; then they add what they changed.
        clip: the largest norm of a row *with* its weight: no client can add more, however often it counts. So a sum
            changes by no more than this when a client's records are taken out of it.
    """
    rows = flatten(groups)
    if origin is not None:
        rows -= flatten({group: {k: v[None] for k, v in origin[group].items()} for group in groups})
    rows *= np.asarray(weights, dtype=np.float64)[:, None]
    if clip is not None:
        rows *= clip_factors(np.sqrt(np.einsum("ij,ij->i", rows, rows)), clip)[:, None]
    return rows
