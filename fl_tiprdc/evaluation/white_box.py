"""Attackers with the released extractor in hand: they know what it makes of a record, and how much noise is added.

Whoever takes part in the training has the extractor. With labeled records of their own they can release these as
often as they like, where an attacker without it sees one noisy release of each.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.evaluation.mlp import BATCH_SIZE, Perceptron
from fl_tiprdc.seeding import numpy_generator, torch_generator

WhiteBox = Callable[[Floats, float, Ints, Sequence[int], Floats, int], list[Floats]]

STEPS = 1400  # of the perceptron, also with few records: their noise is new each time
MOST_EPOCHS = 200  # passes over fewer than 7,000 records; with 4,000, twice as many found .001 more
BANDWIDTHS = (1.0, 1.3, 1.7, 2.2)  # in units of σ
TRIED_ON = 1000  # records, kept from the centers, on which the bandwidth is chosen
RECORDS_AT_ONCE = 32  # records whose distances to all centers fit a cache


def white_box_mlp(
    clean: Floats, sigma: float, labels: Ints, classes: Sequence[int], test: Floats, seed: int
) -> list[Floats]:
    """Train a multilayer perceptron that sees fresh noise in every pass.

    Args:
        clean: [n, d] what the extractor gives for the attacker's records, before the noise.
        sigma: the noise's standard deviation.
        labels: [n, targets].
        classes: of each target.
        test: [m, d] releases to attack.
        seed: of weights, batches and noise.

    Returns:
        Class probabilities, one [m, classes] a target.
    """
    epochs = min(MOST_EPOCHS, -(-STEPS * BATCH_SIZE // len(clean)))
    return Perceptron(seed, (256, 256), epochs, sigma=sigma).fit_predict(clean, labels, classes, test)


def white_box_kernel(
    clean: Floats, sigma: float, labels: Ints, classes: Sequence[int], test: Floats, seed: int
) -> list[Floats]:
    """Compute the posterior if the attacker's records were all: Σ_i 1[u_i = k] N(z̃; clean_i, (hσ)²), normalized.

    With h = 1 and the crowd itself as the attacker's records this is the Bayes classifier. People who are not among
    the records are met better with a larger bandwidth h, chosen of `BANDWIDTHS` on records kept apart. Arguments and
    result as in `white_box_mlp`.
    """
    shuffled = numpy_generator(seed, "white-box-kernel").permutation(len(clean))
    tried, kept = shuffled[: min(TRIED_ON, len(clean) // 5)], shuffled[min(TRIED_ON, len(clean) // 5) :]
    noise = torch.randn(len(tried), clean.shape[1], generator=torch_generator(seed, "white-box-kernel-noise")).numpy()
    mine = (clean[tried] + sigma * noise).astype(np.float32)
    losses = []
    for bandwidth in BANDWIDTHS:
        answers = _posterior(clean[kept], bandwidth * sigma, labels[kept], classes, mine)
        chosen = [np.take_along_axis(p, labels[tried, i, None], axis=1) for i, p in enumerate(answers)]
        losses.append(-np.mean([np.log(np.maximum(p, 1e-3)).mean() for p in chosen]))
    return _posterior(clean, BANDWIDTHS[int(np.argmin(losses))] * sigma, labels, classes, test)


def _posterior(centers: Floats, spread: float, labels: Ints, classes: Sequence[int], test: Floats) -> list[Floats]:
    points = torch.from_numpy(np.array(centers, dtype=np.float32))
    new = torch.from_numpy(np.array(test, dtype=np.float32))
    hot = torch.cat([torch.nn.functional.one_hot(torch.tensor(labels[:, i]), k) for i, k in enumerate(classes)], 1)
    scale = 1 / spread**2
    shift = -0.5 * scale * points.square().sum(1)
    members = hot.float().T.contiguous()
    shares: list[Tensor] = []
    for piece in new.split(RECORDS_AT_ONCE):
        masses = torch.softmax(torch.addmm(shift, piece, points.T, alpha=scale), dim=1)
        shares.append(members @ masses.T)
    parts = np.split(torch.cat(shares, dim=1).T.numpy(), np.cumsum(classes)[:-1], axis=1)
    return [part / part.sum(1, keepdims=True) for part in parts]


WHITE_BOX: dict[str, WhiteBox] = {"white-box-mlp": white_box_mlp, "white-box-kernel": white_box_kernel}
