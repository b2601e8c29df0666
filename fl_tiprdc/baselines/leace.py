"""LEACE: the least change of the record after which no linear attacker finds the private attributes."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fl_tiprdc.baselines.principal_components import narrow_features
from fl_tiprdc.data.crowd import Crowd, Floats, Ints

Doubles = npt.NDArray[np.float64]

SUPPORT = 1e-9  # share of the largest eigenvalue below which x doesn't vary


def fit_leace(x: Floats, private: Ints) -> Callable[[Floats], Doubles]:
    """The eraser of Belrose et al. (NeurIPS 2023, arXiv 2306.03819, theorem 4.3), in closed form.

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


def leace(contributors: Crowd, held_out: Crowd, dial: float, seed: int) -> tuple[Floats, Floats]:
    """X + dial · (LEACE(x) - x), LEACE fitted on contributors: [n, k] and [m, k]; dial from 0 (raw) to 1 (erased).

    No noise, and no promise against an attacker who isn't linear.
    """
    known, unknown = narrow_features(contributors, held_out, seed)
    erase = fit_leace(known, contributors.private)

    def erased(x: Floats) -> Floats:
        return (x + dial * (erase(x) - x)).astype(np.float32)

    return erased(known), erased(unknown)
