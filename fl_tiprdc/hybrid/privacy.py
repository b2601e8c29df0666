"""Losses of the adversary, and of the extractor against it."""

from collections.abc import Callable
from functools import lru_cache
from math import log

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fl_tiprdc.data.crowd import Description, Ints


@lru_cache(maxsize=64)
def _class_weights(marginal: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the weight 1/(K p_u) of every class."""
    return 1 / (len(marginal) * torch.tensor(marginal, dtype=dtype, device=device).clamp(min=1e-6))


def balanced_cross_entropy(logits: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Compute the adversary's cross-entropy, in which every private value has the same total weight.

    A record weighs 1/(K p_u), where p are the public shares of the classes. A mean over records is then balanced over
    private values, and so is a mean of clients' gradients weighted by their numbers of records, although no client
    says which values it holds.

    Args:
        logits: [b, sum of classes] the adversary's answers.
        u: [b, attributes] int64 private labels.
        mask: [b], 1 for a record, 0 for padding.
        description: classes of the attributes and their shares.

    Returns:
        A scalar in nats, the sum over attributes: with two of them each is hidden as much as if it were the only one.
    """
    total, start = logits.new_zeros(()), 0
    for a, (k, marginal) in enumerate(zip(description.classes, description.marginals, strict=True)):
        weights = _class_weights(marginal, logits.dtype, logits.device)
        # functional.cross_entropy, mapped over clients, runs in Python and imports torch's compiler
        answer = functional.log_softmax(logits[:, start : start + k], dim=1)
        loss = -answer.gather(1, u[:, a, None])[:, 0]
        total = total + (loss * weights[u[:, a]] * mask).sum() / mask.sum().clamp(min=1)
        start += k
    return total


def negated_cross_entropy(logits: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Return minus the adversary's loss, the paper's objective (KDD 2020, eq. 4), which has no minimum."""
    return -balanced_cross_entropy(logits, u, mask, description)


def maximum_entropy(logits: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Compute how far the adversary's answers are from those of one that knows nothing, summed over attributes.

    The adversary is balanced, so that it answers 1/K where it knows nothing. The loss is the cross-entropy between the
    uniform distribution and its answer, divided by log K, minus 1: zero where the answer is uniform.
    """
    total, start = logits.new_zeros(()), 0
    for k in description.classes:
        answer = functional.log_softmax(logits[:, start : start + k], dim=1).mean(1)
        total = total - (answer * mask).sum() / mask.sum().clamp(min=1) / log(k) - 1
        start += k
    return total


PRIVACY: dict[str, Callable[[Tensor, Tensor, Tensor, Description], Tensor]] = {
    "negated-cross-entropy": negated_cross_entropy,
    "maximum-entropy": maximum_entropy,
}


def balance(private: Ints, description: Description) -> float:
    """Return the mean weight 1/(K p_u) of records with private labels [n, attributes]: 1 for a typical client."""
    weights = [
        (1 / (k * np.maximum(np.array(marginal), 1e-6)))[private[:, a]].mean()
        for a, (k, marginal) in enumerate(zip(description.classes, description.marginals, strict=True))
    ]
    return float(np.mean(weights))
