"""Trainer of small networks: attackers' classifiers, decoders and the extractors of baselines."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Rows = TypeVar("Rows")


@dataclass(frozen=True)
class Validation:
    """Says when a network is validated, and when training stops for it.

    Attributes:
        loss: returns the loss now, without gradients.
        after: numbers of batches after which it is asked for; with 0 also before the first.
        margin: how much lower a loss must be to count as better.
        patience: number of validations in a row without a better one after which training stops; None: it goes on.
    """

    loss: Callable[[], float]
    after: Container[int]
    margin: float = 0.0
    patience: int | None = None


def train_network(
    network: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[Rows],
    loss: Callable[[Rows], Tensor],
    schedule: LRScheduler | None = None,
    validation: Validation | None = None,
) -> float:
    """Take one step of the optimizer a batch, and leave the network with the weights that validated best.

    Args:
        network: all that learns.
        optimizer: of the network's parameters.
        batches: each is taken when its turn comes, so that batches and losses may draw from one generator.
        loss: of a batch, a scalar.
        schedule: of the step size, moved on after each batch.
        validation: None: the last weights stay.

    Returns:
        The lowest validation loss; infinity without one.
    """
    best, waited = float("inf"), 0
    kept: dict[str, Tensor] | None = None

    def is_over(batch: int) -> bool:
        nonlocal best, waited, kept
        if validation is None or batch not in validation.after:
            return False
        with torch.no_grad():
            now = validation.loss()
        if now < best - validation.margin:
            best, waited = now, 0
            kept = {name: value.clone() for name, value in network.state_dict().items()}
        else:
            waited += 1
        return waited == validation.patience

    is_over(0)
    for batch, rows in enumerate(batches, 1):
        optimizer.zero_grad()
        loss(rows).backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        if is_over(batch):
            break
    if kept is not None:
        network.load_state_dict(kept)
    return best
