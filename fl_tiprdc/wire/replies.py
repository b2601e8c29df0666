"""Counts of an exchange's replies, and of the processes that a grid lost."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from flwr.app import Message


def needed(asked: int, quorum: float) -> int:
    """Return how many of `asked` clients must reply before an exchange closes: rounded up, and at least one."""
    return max(1, math.ceil(round(quorum * asked, 9)))


def answered(replies: Iterable[Message]) -> int:
    """Return how many clients replied; an error is no reply."""
    return len({reply.metadata.src_node_id for reply in replies if not reply.has_error()})


@runtime_checkable
class CountsLosses(Protocol):
    """Notices when a process that works for clients is lost: a protocol of grids."""

    def take_losses(self) -> Mapping[str, int]:
        """Return how many processes were lost since the last call, by kind."""


def losses_of(grid: Any) -> Counter[str]:
    """Return what `grid` lost since the last call, by kind; a grid that doesn't count gives an empty counter."""
    return Counter(grid.take_losses() if isinstance(grid, CountsLosses) else {})
