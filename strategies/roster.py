"""Which node is which client: the way to reproducible sampling and summing.

Flower's node ids are random in every run and replies come in any order. Partition ids are neither, so clients are
sampled, and replies sorted, by partition id.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.federated.messages import CONFIG, WHO


@runtime_checkable
class KnowsPartitions(Protocol):
    """A grid that knows which partition each node holds, so that nobody has to be asked."""

    def partitions(self) -> Mapping[int, int]:
        """Node id -> partition id."""


class Roster:
    """The clients by partition id.

    Args:
        nodes: node id -> partition id.
    """

    def __init__(self, nodes: Mapping[int, int]) -> None:
        self.partition_of = nodes
        self._node_of = {partition: node for node, partition in nodes.items()}
        self.partitions = sorted(self._node_of)

    def node(self, partition: int) -> int:
        """The node that holds a partition."""
        return self._node_of[partition]

    def sorted(self, replies: Iterable[Message]) -> list[Message]:
        """Replies in the order of partition ids."""
        return sorted(replies, key=lambda reply: self.partition_of[reply.metadata.src_node_id])


def take_roster(grid: Grid, clients: int, patience: float = 120.0) -> Roster:
    """Wait until `clients` nodes are there and learn who they are.

    Raises:
        TimeoutError: fewer nodes within `patience` seconds, or some don't answer.
    """
    if isinstance(grid, KnowsPartitions):
        return Roster(grid.partitions())
    deadline = time.monotonic() + patience
    nodes: Sequence[int] = []
    while len(nodes := sorted(grid.get_node_ids())) < clients:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {len(nodes)} of {clients} clients are there after {patience:.0f} s")
        time.sleep(0.05)
    question = RecordDict({CONFIG: ConfigRecord({})})
    replies = grid.send_and_receive(
        [Message(question, dst_node_id=node, message_type=WHO) for node in nodes], timeout=patience
    )
    known = {
        reply.metadata.src_node_id: int(reply.content.config_records[CONFIG]["partition-id"])
        for reply in replies
        if not reply.has_error()
    }
    if len(known) < clients:
        raise TimeoutError(f"only {len(known)} of {clients} clients said who they are")
    return Roster(known)
