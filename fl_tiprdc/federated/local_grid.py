"""Base of the project's own grids: nodes that are clients of this simulation, and messages without a network."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity  # the one private import: Message() reads it

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.federated.client_store import ClientStore

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


class LocalGrid(Grid):  # type: ignore[misc]
    """Reaches the clients of one simulation, which are always there; subclasses answer messages, in `_answer`.

    Args:
        store: store of the clients' records.
    """

    def __init__(self, store: ClientStore) -> None:
        identify()
        self.store, self.clients = store, len(store)
        self._run = Run.create_empty(run_id=1)
        self._done: dict[str, Message] = {}

    def _answer(self, messages: list[Message], timeout: float | None) -> list[Message]:
        raise NotImplementedError

    def partitions(self) -> Mapping[int, int]:
        """Return node id -> partition id."""
        return PartitionOf(self.clients)

    def sizes(self) -> Ints:
        """Return the number of records [partitions] of each partition."""
        return self.store.sizes

    def set_run(self, run: Run) -> None:
        """Set the run that the grid belongs to."""
        self._run = run

    @property
    def run(self) -> Run:
        """Return the run that the grid belongs to."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a message; Flower asks for this method and no longer uses it."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        return list(self.partitions())

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Answer messages now, keep the replies for `pull_messages` and return the messages' ids."""
        sent = list(messages)
        replies = self._answer(sent, None)
        self._done |= {reply.metadata.reply_to_message_id: reply for reply in replies}
        return [message.metadata.message_id for message in sent]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to pushed messages, once."""
        return [self._done.pop(key) for key in list(message_ids) if key in self._done]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Return the replies to all messages, or those that came within `timeout` seconds."""
        return self._answer([stamp(message) for message in messages], timeout)
