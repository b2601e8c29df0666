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
    other = scores.gather(1, next_record(mask)[:, None])[:, 0]
    return _mean(-functional.softplus(-scores.diagonal()) - functional.softplus(other), mask)


def jsd_joint(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """`jsd_rolled` for a critic that scores pair by pair: `scores` [b, 2], of the own x and of the next record's."""
    return _mean(-functional.softplus(-scores[:, 0]) - functional.softplus(scores[:, 1]), mask)


def next_record(mask: Tensor) -> Tensor:
    """Index [b] of each record's successor in a batch, the first for the last; records come before padding."""
    size = mask.sum().clamp(min=1)
    return torch.remainder(torch.arange(len(mask), device=mask.device) + 1, size).long()


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

    As the share explained of what the parts of a record leave uncertain together: 0 says nothing, 1 says everything.
    `scores` are the parameters of q as DecoderCritic gives them. Tables, [b, D]: a softmax for each categorical column,
    a Gaussian of unit variance for each number. Images, [b, C, H, W]: such a Gaussian for each pixel from 0 to
    1. Texts, [b, T, vocabulary]: a softmax for each place.
    """
    return 1 - _mean(UNEXPLAINED[description.modality](scores, x, description), mask) / description.uncertainty


def _unexplained_table(scores: Tensor, x: Tensor, description: Description) -> Tensor:
    unexplained = x.new_zeros(len(x))
    numeric = [column.start for column in description.columns if column.kind == "numeric"]
    if numeric:
        unexplained = unexplained + 0.5 * ((scores - x)[:, numeric] ** 2).sum(1)
    for column in description.columns:
        if column.kind == "categorical":
            logits = scores[:, column.span]
            unexplained = unexplained + logits.logsumexp(1) - (logits * x[:, column.span]).sum(1)
    return unexplained


def _unexplained_image(scores: Tensor, x: Tensor, description: Description) -> Tensor:
    return 0.5 * (scores - x.float() / 255).square().sum((1, 2, 3))


def _unexplained_text(scores: Tensor, x: Tensor, description: Description) -> Tensor:
    # cross_entropy can't be mapped over clients with these shapes; a gather can
    chosen = scores.gather(2, x.long()[:, :, None])[:, :, 0]
    return (scores.logsumexp(2) - chosen).sum(1)


UNEXPLAINED: Mapping[str, Callable[[Tensor, Tensor, Description], Tensor]] = {
    "table": _unexplained_table,
    "image": _unexplained_image,
    "text": _unexplained_text,
}


# name -> (critic network, bound)
INFORMATION: Mapping[str, tuple[str, Bound]] = {
    "jsd": ("towers", jsd_rolled),
    "jsd-joint": ("joint", jsd_joint),
    "jsd-pairs": ("towers", jsd_pairs),
    "infonce": ("softmax-towers", infonce),
    "reconstruction": ("decoder", reconstruction),
}
