"""Grids without a network: the project's base of them, and the one that trains clients in this process."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohort_actor import CohortActor
from fl_tiprdc.federated.cohorts import as_it_is, deal_messages, replies_to
from fl_tiprdc.federated.local_messages import PartitionOf, identify, stamp


class LocalGrid(Grid):  # type: ignore[misc]
    """Reaches the clients of one simulation, which are always there; subclasses answer messages, in `answer_all`.

    Args:
        store: store of the clients' records.
    """

    def __init__(self, store: ClientStore) -> None:
        identify()
        self.store, self.clients = store, len(store)
        self._run = Run.create_empty(run_id=1)
        self._done: dict[str, Message] = {}

    def answer_all(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Return the replies to messages that have their ids, or those that came within `timeout` seconds."""
        raise NotImplementedError

    def partitions(self) -> Mapping[int, int]:
        """Return node id -> partition id."""
        return PartitionOf(self.clients)

    def sizes(self) -> Ints:
        """Return the number of records [partitions] of each partition."""
        return self.store.sizes

    def records(self, message: Message) -> int:
        """Return the number of records of the client that a message is for."""
        return int(self.store.sizes[self.partitions()[message.metadata.dst_node_id]])

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
        replies = self.answer_all(sent, None)
        self._done |= {reply.metadata.reply_to_message_id: reply for reply in replies}
        return [message.metadata.message_id for message in sent]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to pushed messages, once."""
        return [self._done.pop(key) for key in list(message_ids) if key in self._done]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Return the replies to all messages, or those that came within `timeout` seconds."""
        return self.answer_all([stamp(message) for message in messages], timeout)


class SingleProcessGrid(LocalGrid):
    """Trains clients in this process, in cohorts.

    Args:
        store: store of the clients' records.
        threads: number of torch's threads.
    """

    def __init__(self, store: ClientStore, threads: int = 1) -> None:
        super().__init__(store)
        self._actor = CohortActor(str(store.root), len(store), threads)

    def answer_all(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Return the replies of cohorts and, where messages share nothing, of the ClientApp."""
        deadline = time.monotonic() + timeout if timeout else None
        nodes = self.partitions()
        replies: list[Message] = []
        for job in deal_messages(messages, self.records, 1, as_it_is):
            if deadline is not None and time.monotonic() > deadline:
                break
            if job.work is None:
                results: Any = self._actor.handle(job.messages)
            else:
                instruction, groups, secure = job.work
                clients = [nodes[message.metadata.dst_node_id] for message in job.messages]
                results = self._actor.train(instruction, groups, clients, secure)
            replies += replies_to(job, results)
        return replies
