"""The release of a baseline."""

from typing import NamedTuple

from fl_tiprdc.data.crowd import Floats


class BaselineRelease(NamedTuple):
    """Representations of both groups of people, and what an attacker who knows the mechanism knows of them.

    contributors [n, k]; held_out [m, k]; clean [n, k] what contributors would release without noise and sigma the
    standard deviation of Gaussian noise on it, the same for every number; None and 0 where there is no such noise.
    shape: of a representation before it was flattened; none: a vector.
    """

    contributors: Floats
    held_out: Floats
    clean: Floats | None = None
    sigma: float = 0.0
    shape: tuple[int, ...] = ()
