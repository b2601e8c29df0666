"""The hybrid architecture of Osia et al.: features, their principal components, noise."""

from collections.abc import Callable

import numpy as np

from fl_tiprdc.baselines.baseline_release import BaselineRelease
from fl_tiprdc.baselines.extractor import extract, train_autoencoder
from fl_tiprdc.data.crowd import Crowd, Floats
from fl_tiprdc.data.principal_components import fit_components, narrow_features
from fl_tiprdc.seeding import numpy_generator

COMPONENTS = 8  # principal components that are released


def hybrid_osia(contributors: Crowd, held_out: Crowd, seed: int) -> Callable[[float], BaselineRelease]:
    """Release the PCA of an encoder's features + dial · ε, ε ~ N(0, I): [n, 8] and [m, 8].

    Osia et al., "A Hybrid Deep Learning Architecture for Privacy-Preserving Mobile Analytics" (IEEE Internet of
    Things Journal 2020, arXiv 1703.02952): a client sends an intermediate layer, reduced by PCA and with noise.
    Their layer comes from a network for a known task, fine-tuned as a Siamese network with that task's labels;
    here no task is known, and it is the code of an autoencoder. `dial` is in units of the root mean variance of
    the components among contributors, the same for all, so that leading components stand out of the noise longest.
    """
    known, unknown = narrow_features(contributors, held_out, seed)
    network = train_autoencoder(known, seed)
    features = extract(network, known)
    components = fit_components(features, COMPONENTS, seed)
    scale = max(float(np.sqrt(components.transform(features).var(0).mean())), 1e-6)
    ours, theirs = (components.transform(codes) / scale for codes in (features, extract(network, unknown)))

    def release(dial: float) -> BaselineRelease:
        generator = numpy_generator(seed, "hybrid-osia", str(dial))

        def noisy(reduced: Floats) -> Floats:
            return np.asarray(reduced + dial * generator.standard_normal(reduced.shape), dtype=np.float32)

        return BaselineRelease(noisy(ours), noisy(theirs), np.asarray(ours, dtype=np.float32), dial)

    return release
