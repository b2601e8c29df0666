"""Real numbers as whole ones modulo 2^64, where masks can be added and taken away without a trace."""

import numpy as np
import numpy.typing as npt

from fl_tiprdc.wire.update_rows import Rows

Words = npt.NDArray[np.uint64]

FRACTION_BITS = 32
LARGEST = 2.0**20  # of a client's number, with its weight: 2^63 holds the sum of MOST_CLIENTS of these
MOST_CLIENTS = 2 ** (63 - 20 - FRACTION_BITS) - 1


def encode(values: Rows) -> Words:
    """Return numbers as words of the same shape, rounded towards zero so that no norm grows.

    Raises:
        ValueError: a number isn't finite, or is too large for a sum.
    """
    if not np.isfinite(values).all():
        raise ValueError("an update has numbers that are not finite")
    if values.size and np.abs(values).max() > LARGEST:
        raise ValueError(f"an update has a number above {LARGEST:.0f}, weighed: too large for a secure sum")
    return np.trunc(values * 2.0**FRACTION_BITS).astype(np.int64).view(np.uint64)


def decode(words: Words, clients: int) -> Rows:
    """Return the sum of `clients` clients' numbers from the sum of their words.

    Raises:
        ValueError: the sum is larger than the clients can have made it, as it is when masks are left in it.
    """
    total = words.view(np.int64) / 2.0**FRACTION_BITS
    if total.size and np.abs(total).max() > clients * LARGEST:
        raise ValueError("the sum is out of range: a client masked something else than it was asked for")
    return np.asarray(total, dtype=np.float64)
