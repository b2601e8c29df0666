"""Aggregations that a share of hostile clients can't lead astray, in place of the weighted mean.

Each function takes the clients' arrays of one group, all with the same names and shapes, and returns one set of arrays.
The arrays are gradients, or updates of weights: the rules of `strategies.aggregation` see to that. Every client counts
once, however many records it says to hold, or a hostile one could buy weight with a number.

Flower has strategies for the same ideas (FedTrimmedAvg, FedMedian, MultiKrum). They aggregate whole messages of a
single record of arrays and can't be applied to a group's gradient, so that only the ideas are shared.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from fl_tiprdc.config import Experiment, FederationConfig
from fl_tiprdc.errors import InputError
from fl_tiprdc.release.arrays import Arrays
from fl_tiprdc.wire.update_rows import clip_factors
from strategies.aggregation import Aggregate, weighted_mean


def hostile_among(count: int, share: float) -> int:
    """Return how many of `count` clients are taken to be hostile: rounded up, and always fewer than half."""
    return min(math.ceil(round(share * count, 9)), (count - 1) // 2)


def _plain_mean(replies: Sequence[Arrays]) -> Arrays:
    return weighted_mean(replies, [1] * len(replies))


def _middle(replies: Sequence[Arrays], cut: int) -> Arrays:
    """Return the mean of each coordinate without its `cut` largest and `cut` smallest values."""
    kept = slice(cut, len(replies) - cut)
    return {
        name: np.sort(np.stack([reply[name] for reply in replies]), axis=0)[kept].mean(axis=0).astype(np.float32)
        for name in replies[0]
    }


def trimmed_mean(replies: Sequence[Arrays], weights: Sequence[float], share: float) -> Arrays:
    """Return each coordinate's mean without its largest and smallest `share` (Yin et al. 2018, arXiv 1803.01498)."""
    return _middle(replies, hostile_among(len(replies), share))


def median(replies: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
    """Return the median of each coordinate (Yin et al. 2018, arXiv 1803.01498).

    A coordinate that most clients leave alone, such as the weight of a rare category, doesn't move.
    """
    return _middle(replies, (len(replies) - 1) // 2)


def _squared_distances(replies: Sequence[Arrays]) -> npt.NDArray[np.float64]:
    products = np.zeros((len(replies), len(replies)))
    for name in replies[0]:
        # in double: a hostile reply's huge norm must not drown the distances between the others
        flat = np.stack([reply[name].reshape(-1) for reply in replies], dtype=np.float64)
        products += flat @ flat.T
    norms = np.diag(products)
    return np.maximum(norms[:, None] + norms[None, :] - 2 * products, 0.0)


def multi_krum(replies: Sequence[Arrays], weights: Sequence[float], share: float) -> Arrays:
    """Return the mean of the replies that are nearest to their neighbors (Blanchard et al. 2017, arXiv 1703.02757).

    f of n replies are taken to be hostile. Each reply is scored by the sum of its squared distances to its n - f - 2
    nearest, and the n - f with the smallest scores are averaged. The guarantee asks for n > 2 f + 2: see
    `check_aggregation`.
    """
    count = len(replies)
    hostile = hostile_among(count, share)
    distances = _squared_distances(replies)
    np.fill_diagonal(distances, np.inf)
    nearest = max(1, count - hostile - 2)
    scores = np.sort(distances, axis=1)[:, :nearest].sum(axis=1)
    kept = np.sort(np.argsort(scores, kind="stable")[: count - hostile])
    return _plain_mean([replies[i] for i in kept])


def clipped_mean(replies: Sequence[Arrays], weights: Sequence[float], limit: float | None = None) -> Arrays:
    """Return the mean of replies whose norms are cut to a limit (Sun et al. 2019, arXiv 1911.07963).

    Args:
        replies: arrays of each client.
        weights: not used, as every client counts once.
        limit: largest norm; None: the median of the replies' norms, which fewer than half can't move far.
    """
    norms = np.sqrt([sum(float(np.vdot(a, a)) for a in reply.values()) for reply in replies])
    factors = clip_factors(norms, float(np.median(norms)) if limit is None else limit).astype(np.float32)
    return _plain_mean(
        [{name: a * factor for name, a in reply.items()} for reply, factor in zip(replies, factors, strict=True)]
    )


# name in FederationConfig.aggregation -> makes the aggregation for an assumed share of hostile clients
AGGREGATIONS: dict[str, Callable[[float], Aggregate]] = {
    "mean": lambda share: weighted_mean,
    "trimmed-mean": lambda share: partial(trimmed_mean, share=share),
    "median": lambda share: median,
    "multi-krum": lambda share: partial(multi_krum, share=share),
    "norm-clipping": lambda share: clipped_mean,
}


def check_aggregation(experiment: Experiment) -> None:
    """Check that the aggregation can withstand the share of hostile clients: multi-Krum asks for n > 2 f + 2 replies.

    n is the number of clients in an exchange, less those that may fail; f of them are taken to be hostile.

    Raises:
        InputError: there are too few clients.
    """
    federation = experiment.federation
    if federation.aggregation not in AGGREGATIONS:
        names = ", ".join(f"'{name}'" for name in AGGREGATIONS)
        raise InputError(f"federation.aggregation is '{federation.aggregation}': must be one of {names}")
    if federation.aggregation != "multi-krum" or "federated" not in experiment.settings:
        return
    for name in experiment.methods:
        gradients = experiment.method_config(name).exchange == "gradients"
        most = min(federation.clients_per_round or experiment.clients, experiment.clients)
        asked = min(most, (gradients and federation.gradient_clients) or most)
        replies = asked - math.floor(federation.allowed_failures * asked)
        hostile = hostile_among(replies, federation.byzantine)
        if replies <= 2 * hostile + 2:
            raise InputError(
                f"multi-krum needs more than 2 f + 2 replies, f of them hostile: {name} may have {replies} in an "
                f"exchange, f = {hostile} (federation.byzantine is {federation.byzantine:g}); ask more clients"
            )


def aggregate_for(federation: FederationConfig) -> Aggregate:
    """Return the aggregation that the settings name."""
    return AGGREGATIONS[federation.aggregation](federation.byzantine)
