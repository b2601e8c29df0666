"""A grid whose clients answer one after the other, in this process, by a ClientApp: what real clients do."""

import time

from flwr.app import Message
from flwr.clientapp import ClientApp

from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.local_grid import LocalGrid
from fl_tiprdc.federated.local_messages import answer, node_context


class InlineGrid(LocalGrid):
    """Answers messages without other processes: a breakpoint in a client stops the debugger there.

    Args:
        app: ClientApp that answers them.
        store: store of the clients' records.
    """

    def __init__(self, app: ClientApp, store: ClientStore) -> None:
        super().__init__(store)
        self._app = app

    def answer_all(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Return the replies of the ClientApp, one message after the other."""
        deadline = time.monotonic() + timeout if timeout else None
        replies: list[Message] = []
        for message in messages:
            if deadline is not None and time.monotonic() > deadline:
                break
            replies.append(answer(self._app, message, node_context(message.metadata.dst_node_id, self.clients)))
        return replies
