"""Counting the replies of an exchange, and the losses of a grid."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from flwr.app import Message


def needed(asked: int, quorum: float) -> int:
    """How many of `asked` clients must reply before an exchange closes: rounded up, one at least."""
    return max(1, math.ceil(round(quorum * asked, 9)))


def answered(replies: Iterable[Message]) -> int:
    """How many clients did reply; who says that it failed did not."""
    return len({reply.metadata.src_node_id for reply in replies if not reply.has_error()})


@runtime_checkable
class CountsLosses(Protocol):
    """A grid that notices when a process that works for clients is lost."""

    def take_losses(self) -> Mapping[str, int]:
        """How many were lost since it was last asked, by kind."""


def losses_of(grid: Any) -> Counter[str]:
    """What `grid` lost since it was last asked; nothing of grids that don't count."""
    return Counter(grid.take_losses() if isinstance(grid, CountsLosses) else {})
