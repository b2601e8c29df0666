"""A client that publishes something else than asked, and ways to do so."""

from flwr.app import MetricRecord

from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.wire.messages import pack_arrays
from tests.inline_grid import InlineGrid


class Cheat(InlineGrid):
    """Client 1 publishes something else than asked: `spoil` changes its reply; what that returns is sent as well."""

    def __init__(self, store, spoil) -> None:
        super().__init__(build_client_app(str(store.root)), store)
        self.spoil = spoil

    def answer_all(self, messages, timeout):
        replies = super().answer_all(messages, timeout)
        return replies + list(self.spoil(replies[1]) or ())


def sends(**arrays):
    """What makes client 1 send these arrays."""

    def spoil(reply) -> None:
        reply.content["representations"] = pack_arrays(arrays)

    return spoil


def add_labels(reply) -> None:
    reply.content["labels"] = MetricRecord({"sex": [1, 0]})
