"""Lower bounds on the information that z keeps about x, given the private attributes u.

Each takes the critic's output, and returns a scalar that training maximises. `mask` is [b], 1 for a record and
0 for padding. They are scaled so that λ weighs alike whatever the estimator: what a record holds counts as 1.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from fl_tiprdc.data.crowd import Description

NEVER = -1e9  # a score that takes a pair out of a softmax; -inf would make gradients NaN

Bound = Callable[[Tensor, Tensor, Tensor, Tensor, Description], Tensor]


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def jsd_rolled(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Jensen-Shannon bound of TIPRDC (KDD 2020, eq. 8): x' is the batch rolled by one.

    mean[-softplus(-T(x, z, u))] - mean[softplus(T(x', z, u))]. A bound up to a shift, not nats of information.
    `scores` [b, b] as TowerCritic gives them; records come before padding.
    """
    size = mask.sum().clamp(min=1)
    rolled = torch.remainder(torch.arange(len(mask), device=mask.device) + 1, size).long()
    other = scores.gather(1, rolled[:, None])[:, 0]
    return _mean(-functional.softplus(-scores.diagonal()) - functional.softplus(other), mask)


def _same_private(u: Tensor, mask: Tensor) -> Tensor:
    """Pairs [b, b] of records with equal private values: negatives of a bound conditional on u."""
    agree = u @ u.transpose(-1, -2)
    return (agree >= agree.diagonal()[:, None] - 0.5) & (mask[None, :] > 0) & (mask[:, None] > 0)


def jsd_pairs(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Jensen-Shannon bound over all pairs of the batch that share u. `scores` [b, b], `u` one-hot [b, K]."""
    pairs = _same_private(u, mask) & ~torch.eye(len(mask), dtype=torch.bool, device=mask.device)
    weight = pairs.to(scores.dtype)
    others = (functional.softplus(scores) * weight).sum() / weight.sum().clamp(min=1)
    return _mean(-functional.softplus(-scores.diagonal()), mask) - others


def infonce(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """InfoNCE (van den Oord et al. 2018) over the pairs that share u, in units of the log of the number of records."""
    allowed = torch.where(_same_private(u, mask), scores, NEVER)
    return _mean(scores.diagonal() - allowed.logsumexp(1), mask) / mask.sum().clamp(min=2).log() + 1


def reconstruction(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Barber-Agakov bound I(x; z | u) >= H(x | u) + E[log q(x | z, u)], columns independent under q.

    As the share explained of what the columns leave uncertain together: 0 says nothing, 1 says everything.
    `scores` [b, D] are the parameters of q as DecoderCritic gives them: a softmax for each categorical column, a
    Gaussian of unit variance for each number.
    """
    unexplained = torch.zeros_like(mask)
    numeric = [column.start for column in description.columns if column.kind == "numeric"]
    if numeric:
        unexplained = unexplained + 0.5 * ((scores - x)[:, numeric] ** 2).sum(1)
    for column in description.columns:
        if column.kind == "categorical":
            logits = scores[:, column.span]
            unexplained = unexplained + logits.logsumexp(1) - (logits * x[:, column.span]).sum(1)
    return 1 - _mean(unexplained, mask) / description.uncertainty


# name -> (critic network, bound)
INFORMATION: Mapping[str, tuple[str, Bound]] = {
    "jsd": ("towers", jsd_rolled),
    "jsd-pairs": ("towers", jsd_pairs),
    "infonce": ("softmax-towers", infonce),
    "reconstruction": ("decoder", reconstruction),
}
