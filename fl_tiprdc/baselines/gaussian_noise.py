"""Gaussian noise on the raw, scaled record: the simplest thing a client could do."""

from collections.abc import Callable

import numpy as np

from fl_tiprdc.baselines.baseline_release import BaselineRelease
from fl_tiprdc.data.crowd import Crowd, Floats
from fl_tiprdc.data.raw_features import raw_features, raw_shape
from fl_tiprdc.seeding import numpy_generator


def gaussian_noise(contributors: Crowd, held_out: Crowd, seed: int) -> Callable[[float], BaselineRelease]:
    """Return x + dial · ε, ε ~ N(0, I), for both groups of people. `dial` is in units of x (standard deviations)."""
    known, unknown = raw_features(contributors), raw_features(held_out)

    def release(dial: float) -> BaselineRelease:
        generator = numpy_generator(seed, "gaussian-noise", str(dial))

        def noisy(x: Floats) -> Floats:
            return (x + dial * generator.standard_normal(x.shape)).astype(np.float32)

        return BaselineRelease(noisy(known), noisy(unknown), known, dial, raw_shape(contributors.description))

    return release
