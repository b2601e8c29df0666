"""Messages and nodes of a simulation without a network: a node is a client, and a message is answered at once."""

import uuid
from collections.abc import Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity  # the one private import: Message() reads it

RAISED, LOST = 2, 0  # Flower's error codes: the ClientApp raised; its process is gone
FIRST_NODE = 1000  # node ids are partition ids plus this, so that nobody mistakes one for the other


class PartitionOf(Mapping[int, int]):
    """Maps node ids to partition ids by computing them, which takes no memory for a client."""

    def __init__(self, clients: int) -> None:
        self._clients = clients

    def __getitem__(self, node: int) -> int:
        if not FIRST_NODE <= node < FIRST_NODE + self._clients:
            raise KeyError(node)
        return node - FIRST_NODE

    def __iter__(self) -> Any:
        return iter(range(FIRST_NODE, FIRST_NODE + self._clients))

    def __len__(self) -> int:
        return self._clients


def answer(app: ClientApp, message: Message, context: Context) -> Message:
    """Return the ClientApp's reply, or an error reply if it raises."""
    try:
        reply = app(message, context)
    except Exception as error:  # a client's failure must not be the server's
        reply = Message(Error(RAISED, f"{type(error).__name__}: {error}"), reply_to=message)
    return stamp(reply)


def stamp(message: Message) -> Message:
    """Give a message the id that a network would have given it, and return it."""
    message.metadata.__dict__["_message_id"] = str(uuid.uuid4())
    return message


def node_context(node: int, clients: int) -> Context:
    """Return the context of a node, with its partition id and without state: clients keep theirs on disk."""
    return Context(1, node, {"partition-id": node - FIRST_NODE, "num-partitions": clients}, RecordDict(), {})


def identify() -> None:
    """Set the sender of Flower's messages in a process that no Flower engine has started."""
    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
