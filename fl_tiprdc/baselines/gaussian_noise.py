"""Gaussian noise on the raw, scaled record: the simplest thing a client could do."""

import numpy as np

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.seeding import numpy_generator


def gaussian_noise(contributors: Floats, held_out: Floats, dial: float, seed: int) -> tuple[Floats, Floats]:
    """X + dial · ε, ε ~ N(0, I), for both groups of people. `dial` is in units of x (standard deviations)."""
    generator = numpy_generator(seed, "gaussian-noise", str(dial))

    def noisy(x: Floats) -> Floats:
        return (x + dial * generator.standard_normal(x.shape)).astype(np.float32)

    return noisy(contributors), noisy(held_out)
