"""Principal components of a crowd's records, found by sums: subspace iteration (Golub and Van Loan, 8.2.4).

Each step multiplies the crowd's covariance by the current axes, which every client does with its own records, and makes
the result orthonormal. Only the span of the axes matters, since codes depend on distances. A step sends D numbers for
each axis, where the covariance has D² numbers.
"""

from collections.abc import Callable, Generator, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.release.arrays import Arrays
from fl_tiprdc.release.statistics import Request, Sums
from fl_tiprdc.seeding import numpy_generator

Axes = npt.NDArray[np.float64]


def fit_components(width: int, count: int, rounds: int, seed: int) -> Generator[Request, Sums, tuple[Floats, Floats]]:
    """Ask for sums over the crowd until its principal components are known.

    Args:
        width: numbers in a record, D.
        count: number of components, d.
        rounds: steps of the iteration; more of them separate components of similar variance better.
        seed: the experiment's seed, from which the first axes are drawn.

    Returns:
        Orthonormal axes [d, D], zero beyond the first D, and the records' mean [D].
    """
    sums = yield Request("center", {"width": np.array(width, np.float32)}, {"totals": (width,), "counts": (1,)})
    people = max(1.0, float(np.asarray(sums["counts"])[0]))
    center = (np.asarray(sums["totals"], np.float64) / people).astype(np.float32)
    axes = _orthonormal(numpy_generator(seed, "axes").standard_normal((count, width)))
    for _ in range(rounds):
        sums = yield Request("scatter", {"axes": axes, "center": center}, {"scatter": (count, width)})
        axes = _orthonormal(np.asarray(sums["scatter"], np.float64))
    return axes, center


def _orthonormal(rows: Axes) -> Floats:
    """Return orthonormal rows with the span of `rows` [d, D]; rows beyond the first D are zero."""
    basis = np.linalg.qr(rows.T)[0].T
    return np.concatenate([basis, np.zeros((len(rows) - len(basis), rows.shape[1]))]).astype(np.float32)


def add_up_records(pieces: Iterable[Floats], arrays: Arrays) -> Sums:
    """Return the sum of records [m, D] as totals [D], and their number as counts [1]; arrays has width."""
    totals, count = np.zeros(int(arrays["width"])), 0
    for piece in pieces:
        totals += piece.sum(0, dtype=np.float64)
        count += len(piece)
    return {"totals": totals, "counts": np.array([count])}


def add_up_scatter(pieces: Iterable[Floats], arrays: Arrays) -> Sums:
    """Return scatter [d, D], the axes times the records' covariance; arrays has axes [d, D] and center [D]."""
    axes, center = arrays["axes"], arrays["center"]
    scatter = np.zeros(axes.shape)
    for piece in pieces:
        centered = piece - center
        scatter += (centered @ axes.T).T @ centered
    return {"scatter": scatter}


# questions about records themselves, before there is an extractor
COMPONENT_STATISTICS: Mapping[str, Callable[[Iterable[Floats], Arrays], Sums]] = {
    "center": add_up_records,
    "scatter": add_up_scatter,
}
