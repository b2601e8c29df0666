"""A feature extractor without any privacy: the bottleneck of an autoencoder, and noise."""

from collections.abc import Callable

import numpy as np

from fl_tiprdc.baselines.baseline_release import BaselineRelease
from fl_tiprdc.baselines.extractor import extract, train_autoencoder
from fl_tiprdc.data.crowd import Crowd, Floats
from fl_tiprdc.data.principal_components import narrow_features
from fl_tiprdc.seeding import numpy_generator


def encoder(contributors: Crowd, held_out: Crowd, seed: int) -> Callable[[float], BaselineRelease]:
    """Release standardized codes + dial · ε, ε ~ N(0, I): [n, 32] and [m, 32].

    Training knows no private attribute: at 0 this is the TIPRDC paper's "features without protection". `dial` is
    in standard deviations of each number of the code among contributors.
    """
    known, unknown = narrow_features(contributors, held_out, seed)
    network = train_autoencoder(known, seed)
    codes = extract(network, known)
    mean, std = codes.mean(0), np.maximum(codes.std(0), 1e-6)
    ours, theirs = (codes - mean) / std, (extract(network, unknown) - mean) / std

    def release(dial: float) -> BaselineRelease:
        generator = numpy_generator(seed, "encoder", str(dial))

        def noisy(standard: Floats) -> Floats:
            return np.asarray(standard + dial * generator.standard_normal(standard.shape), dtype=np.float32)

        return BaselineRelease(noisy(ours), noisy(theirs), np.asarray(ours, dtype=np.float32), dial)

    return release
