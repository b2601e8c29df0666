"""When an exchange closes: as soon as enough clients have replied, or at its deadline."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

from fl_tiprdc.federated.local_grid import LocalGrid
from fl_tiprdc.wire.replies import answered, needed

Enough = Callable[[Sequence[Message]], bool]  # whether these replies are enough
PAUSE = 0.1  # seconds between looks for replies on a grid that doesn't tell


@runtime_checkable
class Closes(Protocol):
    """A grid that can stop waiting: what was abandoned neither delays nor answers the next exchange."""

    def answer_until(self, messages: Iterable[Message], timeout: float | None, enough: Enough) -> list[Message]:
        """Replies to messages: all, or those that are there when they are `enough` or `timeout` is over."""


class QuorumGrid(Grid):  # type: ignore[misc]
    """A grid whose exchanges close at a quorum.

    Flower's engines have no way to call work back: a client that is asked and left out works on, and keeps its
    place busy. Messages that it hasn't begun with when the deadline is over are never begun.

    Args:
        grid: the clients.
        quorum: share of those asked whose replies are enough.
    """

    def __init__(self, grid: Grid, quorum: float) -> None:
        self.grid, self.quorum = grid, quorum

    def __getattr__(self, name: str) -> Any:
        return getattr(self.grid, name)

    def set_run(self, run: Any) -> None:
        """Set the run that the grid belongs to."""
        self.grid.set_run(run)

    @property
    def run(self) -> Any:
        """The run that the grid belongs to."""
        return self.grid.run

    def create_message(self, *arguments: Any, **named: Any) -> Message:
        """A message."""
        return self.grid.create_message(*arguments, **named)

    def get_node_ids(self) -> Iterable[int]:
        """All nodes."""
        nodes: Iterable[int] = self.grid.get_node_ids()
        return nodes

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages."""
        sent: Iterable[str] = self.grid.push_messages(messages)
        return sent

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there."""
        found: Iterable[Message] = self.grid.pull_messages(message_ids)
        return found

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Replies to messages, until there are enough of them or `timeout` is over."""
        asked = list(messages)
        least = needed(len(asked), self.quorum)

        def enough(replies: Sequence[Message]) -> bool:
            return answered(replies) >= least

        if isinstance(self.grid, Closes):
            return self.grid.answer_until(asked, timeout, enough)
        return self._poll(asked, timeout, enough)

    def _poll(self, asked: list[Message], timeout: float | None, enough: Enough) -> list[Message]:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        if timeout is not None:
            for message in asked:
                message.metadata.ttl = min(message.metadata.ttl, timeout)
        left = set(self.push_messages(asked))
        replies: list[Message] = []
        while left and not enough(replies) and time.monotonic() < deadline:
            found = list(self.pull_messages(left))
            left -= {reply.metadata.reply_to_message_id for reply in found}
            replies += found
            if not found:
                time.sleep(PAUSE)
        return replies


def at_quorum(grid: Grid, quorum: float) -> Grid:
    """Return `grid` with exchanges that close at a quorum.

    Where all clients work in this process, one after the other, nobody is left behind: `grid` is returned as it is.
    """
    in_turn = isinstance(grid, LocalGrid) and not isinstance(grid, Closes)
    return grid if quorum >= 1 or in_turn else QuorumGrid(grid, quorum)
