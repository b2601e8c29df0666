"""The inline runtime: one client after the other in this process, for tests and breakpoints."""

import time

from flwr.app import Message
from flwr.clientapp import ClientApp

from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.local_grid import LocalGrid, answer, node_context


class InlineGrid(LocalGrid):
    """A grid without processes: a breakpoint in a client stops the debugger there.

    Args:
        app: the ClientApp.
        store: the clients' records.
    """

    def __init__(self, app: ClientApp, store: ClientStore) -> None:
        super().__init__(store)
        self._app = app

    def _answer(self, messages: list[Message], timeout: float | None) -> list[Message]:
        end = time.monotonic() + timeout if timeout else None
        replies: list[Message] = []
        for message in messages:
            if end is not None and time.monotonic() > end:
                break
            replies.append(answer(self._app, message, node_context(message.metadata.dst_node_id, self.clients)))
        return replies
