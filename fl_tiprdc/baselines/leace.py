"""LEACE: the least change of the record after which no linear attacker finds the private attributes."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fl_tiprdc.baselines.baseline_release import BaselineRelease
from fl_tiprdc.data.crowd import Crowd, Floats, Ints
from fl_tiprdc.data.principal_components import narrow_features
from fl_tiprdc.seeding import numpy_generator

Doubles = npt.NDArray[np.float64]

SUPPORT = 1e-9  # share of the largest eigenvalue below which x doesn't vary


def fit_leace(x: Floats, private: Ints) -> Callable[[Floats], Doubles]:
    """Fit the eraser of Belrose et al. (NeurIPS 2023, arXiv 2306.03819, theorem 4.3), in closed form.

    r(x) = x - W⁺ P W (x - E[x]), W = (Σxx^½)⁺ whitens x on its support, P projects onto the columns of W Σxz, z
    being the private attributes one-hot.

    Args:
        x: [n, k].
        private: [n, attributes] int64.

    Returns:
        A function from [m, k] to [m, k].
    """
    wide = x.astype(np.float64)
    mean = wide.mean(0)
    z = np.concatenate([private[:, [a]] == np.unique(private[:, a]) for a in range(private.shape[1])], axis=1)
    values, vectors = np.linalg.eigh((wide - mean).T @ (wide - mean) / len(x))
    there = values > SUPPORT * values[-1]
    root, vectors = np.sqrt(values[there]), vectors[:, there]
    # in the eigenvectors' coordinates W is a division by the root, W⁺ a multiplication
    whitened = (vectors.T @ ((wide - mean).T @ (z - z.mean(0)))) / len(x) / root[:, None]
    left, strengths, _ = np.linalg.svd(whitened, full_matrices=False)
    left = left[:, strengths > SUPPORT * max(1.0, strengths[0])]
    into, back = (vectors / root) @ left, left.T @ (vectors * root).T
    return lambda record: record - (record - mean) @ into @ back


def leace(contributors: Crowd, held_out: Crowd, seed: int) -> Callable[[float], BaselineRelease]:
    """Release x through LEACE: [n, k] and [m, k]; dial from 0 (raw) over 1 (erased) to more (noise as well).

    Up to 1: x + dial · (LEACE(x) - x). From 1 on: LEACE(x) + (dial - 1) · ε, ε ~ N(0, I).

    Without noise this is no protection of a table. Below 1 the map can be inverted, so that even a linear attacker
    loses nothing. At 1 no linear function of x tells the private attributes apart, but a column that is 0 or 1, or
    0 for nearly everybody, shows by its last digits how much was taken away, which is the very score that was to be
    hidden: trees, and also logistic regression on a sample in which a rare category doesn't occur, read it off.
    """
    known, unknown = narrow_features(contributors, held_out, seed)
    erase = fit_leace(known, contributors.private)
    pairs = [(x, erase(x)) for x in (known, unknown)]

    def release(dial: float) -> BaselineRelease:
        share, sigma = min(dial, 1.0), max(dial - 1.0, 0.0)
        generator = numpy_generator(seed, "leace", str(dial))

        def noisy(erased: Doubles) -> Floats:
            return (erased + sigma * generator.standard_normal(erased.shape)).astype(np.float32)

        ours, theirs = (x + share * (without - x) for x, without in pairs)
        return BaselineRelease(noisy(ours), noisy(theirs), ours.astype(np.float32), sigma)

    return release
