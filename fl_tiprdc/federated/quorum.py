"""Quorum of an exchange, which closes as soon as enough clients have replied, or at its deadline."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from threading import Event
from typing import Any, Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

from fl_tiprdc.errors import RunFailedError
from fl_tiprdc.federated.local_grid import LocalGrid
from fl_tiprdc.wire.replies import answered, needed

Enough = Callable[[Sequence[Message]], bool]  # tells whether replies are enough
PAUSE = 0.1  # seconds between two looks for replies


@runtime_checkable
class Closes(Protocol):
    """Stops waiting, so that abandoned work neither delays nor answers the next exchange: a protocol of grids."""

    def answer_until(self, messages: Iterable[Message], timeout: float | None, enough: Enough) -> list[Message]:
        """Return the replies to messages: all, or those that came before they were `enough` or `timeout` was over."""


class QuorumGrid(Grid):  # type: ignore[misc]
    """Closes the exchanges of another grid at a quorum.

    Flower's engines can't call work back: a client that wasn't waited for works on, and keeps its place busy. It never
    begins with messages whose deadline is over.

    Args:
        grid: reaches the clients.
        quorum: share of the clients asked whose replies are enough.
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
        """Return the run that the grid belongs to."""
        return self.grid.run

    def create_message(self, *arguments: Any, **named: Any) -> Message:
        """Return a message of the grid's."""
        return self.grid.create_message(*arguments, **named)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        nodes: Iterable[int] = self.grid.get_node_ids()
        return nodes

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, and return their ids."""
        message_ids: Iterable[str] = self.grid.push_messages(messages)
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have come."""
        replies: Iterable[Message] = self.grid.pull_messages(message_ids)
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Return the replies to messages that came before there were enough of them or `timeout` was over."""
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
            new_replies = list(self.pull_messages(left))
            left -= {reply.metadata.reply_to_message_id for reply in new_replies}
            replies += new_replies
            if not new_replies:
                time.sleep(PAUSE)
        return replies


class EndingGrid(QuorumGrid):
    """Stops waiting for clients once the engine that reaches them has ended: a ServerApp's thread would wait for ever.

    Args:
        grid: reaches the clients.
        ended: set when nobody answers any more.
    """

    def __init__(self, grid: Grid, ended: Event) -> None:
        super().__init__(grid, 1.0)
        self._ended = ended

    def _require_engine(self) -> None:
        if self._ended.is_set():
            raise RunFailedError("the engine has ended")

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes, while there are any."""
        self._require_engine()
        return super().get_node_ids()

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have come, while any can."""
        self._require_engine()
        return super().pull_messages(message_ids)


def at_quorum(grid: Grid, quorum: float) -> Grid:
    """Return `grid` with exchanges that close at a quorum.

    Where all clients work in this process, one after the other, nobody is left behind: `grid` is returned as it is.
    """
    in_turn = isinstance(grid, LocalGrid) and not isinstance(grid, Closes)
    return grid if quorum >= 1 or in_turn else QuorumGrid(grid, quorum)
