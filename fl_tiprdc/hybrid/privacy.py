"""What the adversary minimises, and what the extractor minimises against it."""

from collections.abc import Callable, Mapping
from math import log

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fl_tiprdc.data.crowd import Description, Ints


def balanced_cross_entropy(logits: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Cross-entropy of the adversary, every private value with the same total weight.

    A record counts 1/(K p_u), p the public marginals: then a mean over records, and so a plain mean of clients'
    gradients weighted by their numbers of records, is balanced over private values although no client says
    which values it holds.

    Args:
        logits: [b, sum of classes].
        u: [b, attributes] int64.
        mask: [b], 1 for a record, 0 for padding.
        description: classes and marginals.

    Returns:
        Scalar in nats, the sum over attributes: hiding two is no half-hearted hiding of each.
    """
    total, start = logits.new_zeros(()), 0
    for a, (k, marginal) in enumerate(zip(description.classes, description.marginals, strict=True)):
        weights = 1 / (k * torch.tensor(marginal, dtype=logits.dtype, device=logits.device).clamp(min=1e-6))
        loss = functional.cross_entropy(logits[:, start : start + k], u[:, a], reduction="none")
        total = total + (loss * weights[u[:, a]] * mask).sum() / mask.sum().clamp(min=1)
        start += k
    return total


def negated_cross_entropy(logits: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """The paper's objective (KDD 2020, eq. 4): minus the adversary's loss; it has no minimum."""
    return -balanced_cross_entropy(logits, u, mask, description)


def maximum_entropy(logits: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Divergence of the adversary's answer from the uninformed one, the sum over attributes.

    The adversary is balanced, so that an uninformed one says 1/K: cross-entropy of the uniform distribution to
    its answer, in units of log K, less the minimum of 1. Zero when the adversary has no idea.
    """
    total, start = logits.new_zeros(()), 0
    for k in description.classes:
        answer = functional.log_softmax(logits[:, start : start + k], dim=1).mean(1)
        total = total - (answer * mask).sum() / mask.sum().clamp(min=1) / log(k) - 1
        start += k
    return total


PRIVACY: Mapping[str, Callable[[Tensor, Tensor, Tensor, Description], Tensor]] = {
    "negated-cross-entropy": negated_cross_entropy,
    "maximum-entropy": maximum_entropy,
}


def balance(private: Ints, description: Description) -> float:
    """Mean weight 1/(K p_u) of records when every private value counts the same: 1 for a typical client.

    `private` [n, attributes].
    """
    weights = [
        (1 / (k * np.maximum(np.array(marginal), 1e-6)))[private[:, a]].mean()
        for a, (k, marginal) in enumerate(zip(description.classes, description.marginals, strict=True))
    ]
    return float(np.mean(weights))
