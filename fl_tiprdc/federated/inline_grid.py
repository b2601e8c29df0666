"""Grid of the inline runtime: one client after the other in this process, for tests and breakpoints."""

import time

from flwr.app import Message
from flwr.clientapp import ClientApp

from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.local_grid import LocalGrid, answer, node_context


class InlineGrid(LocalGrid):
    """Answers messages without other processes: a breakpoint in a client stops the debugger there.

    Args:
        app: ClientApp that answers them.
        store: store of the clients' records.
    """

    def __init__(self, app: ClientApp, store: ClientStore) -> None:
        super().__init__(store)
        self._app = app

    def _answer(self, messages: list[Message], timeout: float | None) -> list[Message]:
        deadline = time.monotonic() + timeout if timeout else None
        replies: list[Message] = []
        for message in messages:
            if deadline is not None and time.monotonic() > deadline:
                break
            replies.append(answer(self._app, message, node_context(message.metadata.dst_node_id, self.clients)))
        return replies
