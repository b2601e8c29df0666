"""Lower bounds on the information that z keeps about x, given the private attributes u.

Each bound takes the critic's output and returns a scalar that training maximizes. `mask` [b] is 1 for a record and 0
for padding. All are scaled so that a record's whole content counts as 1: λ then weighs alike with every bound.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from fl_tiprdc.data.crowd import Description
from fl_tiprdc.errors import require_known

NEVER = -1e9  # takes a pair out of a softmax; -inf would make gradients NaN

Bound = Callable[[Tensor, Tensor, Tensor, Tensor, Description], Tensor]


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def jsd_rolled(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Compute the Jensen-Shannon bound of TIPRDC (KDD 2020, eq. 8), in which x' is the batch rolled by one.

    It is mean[-softplus(-T(x, z, u))] - mean[softplus(T(x', z, u))]: a bound up to a shift, not nats of information.
    `scores` [b, b] are those of `TowerCritic`; records come before padding.
    """
    rolled = scores.gather(1, next_record(mask)[:, None])[:, 0]
    return _mean(-functional.softplus(-scores.diagonal()) - functional.softplus(rolled), mask)


def jsd_joint(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Compute `jsd_rolled` from `scores` [b, 2] of single pairs: z with its own x, and with the next record's."""
    return _mean(-functional.softplus(-scores[:, 0]) - functional.softplus(scores[:, 1]), mask)


def next_record(mask: Tensor) -> Tensor:
    """Return the index [b] of each record's successor in a batch; the last record's is the first.

    Records come before padding.
    """
    size = mask.sum().clamp(min=1)
    return torch.remainder(torch.arange(len(mask), device=mask.device) + 1, size).long()


def _same_private(u: Tensor, mask: Tensor) -> Tensor:
    """Mark the pairs [b, b] of records with equal private values: the negatives of a bound that is conditional on u."""
    agree = u @ u.transpose(-1, -2)
    return (agree >= agree.diagonal()[:, None] - 0.5) & (mask[None, :] > 0) & (mask[:, None] > 0)


def jsd_pairs(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Compute the Jensen-Shannon bound over all pairs of the batch that share u.

    `scores` are [b, b], `u` is one-hot [b, K].
    """
    pairs = _same_private(u, mask) & ~torch.eye(len(mask), dtype=torch.bool, device=mask.device)
    weight = pairs.to(scores.dtype)
    negatives = (functional.softplus(scores) * weight).sum() / weight.sum().clamp(min=1)
    return _mean(-functional.softplus(-scores.diagonal()), mask) - negatives


def infonce(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Compute InfoNCE (van den Oord et al. 2018) over the pairs that share u, over the log of the batch's size."""
    allowed = torch.where(_same_private(u, mask), scores, NEVER)
    return _mean(scores.diagonal() - allowed.logsumexp(1), mask) / mask.sum().clamp(min=2).log() + 1


def reconstruction(scores: Tensor, x: Tensor, u: Tensor, mask: Tensor, description: Description) -> Tensor:
    """Compute the Barber-Agakov bound I(x; z | u) >= H(x | u) + E[log q(x | z, u)], columns independent under q.

    It is returned as a share of a record's uncertainty: 0 where q does no better than a constant, 1 where it is
    certain of everything. `scores` are the parameters of q, from `DecoderCritic`:

    - tables [b, D]: a softmax for each categorical column, a Gaussian of unit variance for each number;
    - images [b, C, H, W]: a Gaussian of unit variance for each pixel, whose values are from 0 to 1;
    - texts [b, T, vocabulary]: a softmax for each place.
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
INFORMATION: dict[str, tuple[str, Bound]] = {
    "jsd": ("towers", jsd_rolled),
    "jsd-joint": ("joint", jsd_joint),
    "jsd-pairs": ("towers", jsd_pairs),
    "infonce": ("softmax-towers", infonce),
    "reconstruction": ("decoder", reconstruction),
}


def critic_and_bound(name: str) -> tuple[str, Bound]:
    """Return the critic network and the bound of a name.

    Raises:
        InputError: there is none of that name.
    """
    require_known("information bound", [name], INFORMATION)
    return INFORMATION[name]
