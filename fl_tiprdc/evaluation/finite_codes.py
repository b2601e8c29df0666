"""Recognizing a release that takes few values, whoever made it: one that a table attacks better than any model."""

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Floats, Ints

MOST_CODES = 4096
RECORDS_PER_CODE = 20  # a table of fewer is a poor estimate of the best attacker
RECORDS_PER_INTEGER = 2  # of a single column of whole numbers, which is meant as a code: a poor table is still told


def finite_codes(contributors: Floats, held_out: Floats) -> tuple[Ints, Ints, int] | None:
    """Number the distinct rows of a release, if there are so few that it is finite.

    A release is finite if the contributors have at most `MOST_CODES` distinct rows, and at least `RECORDS_PER_CODE`
    records for each on average; `RECORDS_PER_INTEGER` are enough for a single column of whole numbers. A codeword of
    many numbers counts as much as the number of a code, and both side by side as well.

    Args:
        contributors: [n, d].
        held_out: [m, d].

    Returns:
        The contributors' codes [n], the held-out people's [m], and K, the number of distinct rows of contributors.
        Codes are 0 to K - 1, in the order of the rows' numbers; a row that no contributor has is K. None: the release
        is not finite.
    """
    n = len(contributors)
    single = contributors.shape[1] == 1 and bool((contributors == np.floor(contributors)).all())
    limit = min(MOST_CODES, n // (RECORDS_PER_INTEGER if single else RECORDS_PER_CODE))
    # if the first limit + 1 rows all differ, there is no need to sort the others
    if limit == 0 or len(np.unique(_as_items(contributors[: limit + 1]))) > limit:
        return None
    rows = np.concatenate([contributors, held_out])
    _, first, code = np.unique(_as_items(rows), return_index=True, return_inverse=True)
    code = code.reshape(-1)
    of_contributors = np.flatnonzero(first < n)  # `first` is the earliest row, and contributors come first
    if len(of_contributors) > limit:
        return None
    ranked = of_contributors[np.lexsort(rows[first[of_contributors]].T[::-1])]
    number = np.full(len(first), len(ranked), dtype=np.int64)
    number[ranked] = np.arange(len(ranked))
    return number[code[:n]], number[code[n:]], len(ranked)


def _as_items(rows: Floats) -> npt.NDArray[np.void]:
    """Return each row as one item that compares by its bytes, [n]."""
    positive_zeros = np.ascontiguousarray(rows + np.float32(0))  # -0 and 0 are the same number and other bytes
    whole_row = np.dtype((np.void, positive_zeros.dtype.itemsize * positive_zeros.shape[1]))
    items: npt.NDArray[np.void] = positive_zeros.view(whole_row).reshape(-1)
    return items
