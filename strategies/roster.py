"""Which node is which client: the way to reproducible sampling and summing.

Flower's node ids are random in every run and replies come in any order. Partition ids are neither, so clients are
sampled, and replies sorted, by partition id.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.federated.messages import CONFIG, RECORDS, WHO


@runtime_checkable
class KnowsPartitions(Protocol):
    """A grid that knows which partition each node holds, so that nobody has to be asked."""

    def partitions(self) -> Mapping[int, int]:
        """Node id -> partition id."""

    def sizes(self) -> Ints:
        """Number of records of each partition."""


class Roster:
    """The clients by partition id.

    Args:
        nodes: node id -> partition id.
        sizes: partition id -> number of records; an array or a mapping.
    """

    def __init__(self, nodes: Mapping[int, int], sizes: Mapping[int, int] | Ints) -> None:
        self.partition_of = nodes
        self._node_of = {partition: node for node, partition in nodes.items()}
        self.partitions = sorted(self._node_of)
        self._sizes = np.array([sizes[partition] for partition in self.partitions], dtype=np.int64)

    def node(self, partition: int) -> int:
        """The node that holds a partition."""
        return self._node_of[partition]

    def sample(self, count: int, generator: np.random.Generator) -> list[int]:
        """`count` clients, all alike, in order."""
        places = np.sort(generator.choice(len(self.partitions), count, replace=False))
        return [self.partitions[place] for place in places]

    def draw(self, count: int, generator: np.random.Generator) -> dict[int, int]:
        """`count` draws of clients in proportion to their records: partition id -> times drawn, in order.

        Systematic sampling on shuffled clients. With the draws as weights, the expected mean of what clients say is
        that over all records, and no large client swamps the others; clients of equal size are drawn at most once.
        """
        order = generator.permutation(len(self.partitions))
        ends = np.cumsum(self._sizes[order]) * count / max(1, self._sizes.sum()) + generator.random()
        times = np.zeros(len(order), dtype=np.int64)
        times[order] = np.diff(np.floor(ends), prepend=0.0)
        return {self.partitions[place]: int(times[place]) for place in np.flatnonzero(times)}

    def sorted(self, replies: Iterable[Message]) -> list[Message]:
        """Replies in the order of partition ids."""
        return sorted(replies, key=lambda reply: self.partition_of[reply.metadata.src_node_id])


def take_roster(grid: Grid, clients: int, patience: float = 120.0) -> Roster:
    """Wait until `clients` nodes are there and learn who they are.

    Raises:
        TimeoutError: fewer nodes within `patience` seconds, or some don't answer.
    """
    if isinstance(grid, KnowsPartitions):
        return Roster(grid.partitions(), grid.sizes())
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
    told = {r.metadata.src_node_id: r.content.config_records[CONFIG] for r in replies if not r.has_error()}
    if len(told) < clients:
        raise TimeoutError(f"only {len(told)} of {clients} clients said who they are")
    nodes_of = {node: int(config["partition-id"]) for node, config in told.items()}
    return Roster(nodes_of, {int(config["partition-id"]): int(config[RECORDS]) for config in told.values()})
