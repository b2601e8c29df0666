"""Principal components of contributors' vectors: what makes wide records narrow enough to train on."""

from typing import Any

import numpy as np

from fl_tiprdc.data.crowd import Crowd, Floats
from fl_tiprdc.data.raw_features import raw_features
from fl_tiprdc.seeding import derive, numpy_generator

WIDEST_VECTOR = 512  # numbers in a vector that baselines train on
MOST_VECTORS = 4096  # vectors that components are fitted to: images of many people don't fit into memory twice


def fit_components(x: Floats, count: int, seed: int) -> Any:
    """Fit the first `count` principal components (fewer where x has fewer) of x [n, k], as scikit-learn's PCA."""
    from sklearn.decomposition import PCA  # takes a second, which few processes need

    rows = np.sort(numpy_generator(seed, "principal-components").permutation(len(x))[:MOST_VECTORS])
    count = min(count, x.shape[1], len(rows))
    solver = "randomized" if x.shape[1] > WIDEST_VECTOR else "full"
    return PCA(count, svd_solver=solver, random_state=derive(seed, "principal-components") % 2**32).fit(x[rows])


def narrow_features(contributors: Crowd, held_out: Crowd, seed: int) -> tuple[Floats, Floats]:
    """Return both groups' `raw_features`, [n, k] and [m, k]; of more than `WIDEST_VECTOR`, as many components."""
    known, unknown = raw_features(contributors), raw_features(held_out)
    if known.shape[1] <= WIDEST_VECTOR:
        return known, unknown
    components = fit_components(known, WIDEST_VECTOR, seed)
    return components.transform(known).astype(np.float32), components.transform(unknown).astype(np.float32)
