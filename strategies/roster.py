"""Roster of the clients, which makes sampling and summing reproducible.

Flower's node ids are random in every run, and replies come in any order. Partition ids stay the same, so clients are
sampled, and replies sorted, by partition id.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.errors import InputError
from fl_tiprdc.wire.messages import CONFIG, RECORDS, SEED_FIELD, WHO


@runtime_checkable
class KnowsPartitions(Protocol):
    """Knows which partition each node holds, so that nobody has to be asked: a protocol of grids."""

    def partitions(self) -> Mapping[int, int]:
        """Return node id -> partition id."""

    def sizes(self) -> Ints:
        """Return the number of records [partitions] of each partition."""


class Roster:
    """Lists the clients by partition id.

    Args:
        nodes: node id -> partition id.
        sizes: partition id -> number of records; an array or a mapping.
        absent: partition ids of clients of the experiment that aren't there.
    """

    def __init__(self, nodes: Mapping[int, int], sizes: Mapping[int, int] | Ints, absent: Iterable[int] = ()) -> None:
        self.partition_of, self.absent = nodes, sorted(absent)
        self._node_of = {partition: node for node, partition in nodes.items()}
        self.partitions = sorted(self._node_of)
        self._place_of = {partition: place for place, partition in enumerate(self.partitions)}
        self._sizes = np.array([sizes[partition] for partition in self.partitions], dtype=np.int64)

    def node(self, partition: int) -> int:
        """Return the id of the node that holds a partition."""
        return self._node_of[partition]

    def size(self, partition: int) -> int:
        """Return how many records a client said to hold."""
        return int(self._sizes[self._place_of[partition]])

    def may_fail(self, share: float, asked: int) -> float:
        """Return how many of the clients asked may fail, where a share of all may; those absent have failed already."""
        here = len(self.partitions)
        return max(0.0, share * (here + len(self.absent)) - len(self.absent)) * asked / max(1, here)

    def of(self, partitions: Iterable[int]) -> "Roster":
        """Return the roster of these clients alone."""
        some = {self._node_of[partition]: partition for partition in partitions}
        return Roster(some, {partition: self.size(partition) for partition in some.values()})

    def sample(self, count: int, generator: np.random.Generator) -> list[int]:
        """Return `count` different clients in order, each as likely as the others."""
        places = np.sort(generator.choice(len(self.partitions), count, replace=False))
        return [self.partitions[place] for place in places]

    def draw(self, count: int, generator: np.random.Generator) -> dict[int, int]:
        """Draw `count` times in proportion to clients' records, and return partition id -> times drawn, in order.

        This is systematic sampling on shuffled clients. With the times as weights, the mean of the clients' updates is
        expected to be that over all records, and no large client swamps the others. Clients of equal size are drawn at
        most once.
        """
        order = generator.permutation(len(self.partitions))
        ends = np.cumsum(self._sizes[order]) * count / max(1, self._sizes.sum()) + generator.random()
        times = np.zeros(len(order), dtype=np.int64)
        times[order] = np.diff(np.floor(ends), prepend=0.0)
        return {self.partitions[place]: int(times[place]) for place in np.flatnonzero(times)}


def take_roster(
    grid: Grid, clients: int, patience: float = 120.0, seed: int = 0, allowed_failures: float = 0.0
) -> Roster:
    """Wait until `clients` nodes are there, and return which clients they are in the experiment with this `seed`.

    Args:
        grid: reaches the clients.
        clients: number of clients that the experiment has.
        patience: seconds to wait for them, and then for their answers.
        seed: of the experiment; what simulated clients are follows from it.
        allowed_failures: share of them that may be missing when that time is over.

    Raises:
        TimeoutError: fewer nodes are there within `patience` seconds, or too many don't answer as they should.
        InputError: two nodes say to be the same client.
    """
    if isinstance(grid, KnowsPartitions):
        return Roster(grid.partitions(), grid.sizes())
    deadline, least = time.monotonic() + patience, clients - int(allowed_failures * clients)
    nodes: Sequence[int] = []
    while len(nodes := sorted(grid.get_node_ids())) < clients:
        if time.monotonic() > deadline:
            if len(nodes) >= least:
                break
            raise TimeoutError(f"only {len(nodes)} of {clients} clients are there after {patience:.0f} s")
        time.sleep(0.05)
    question = RecordDict({CONFIG: ConfigRecord({SEED_FIELD: seed})})
    replies = grid.send_and_receive(
        [Message(question, dst_node_id=node, message_type=WHO) for node in nodes], timeout=patience
    )
    identities: dict[int, tuple[int, int]] = {}
    for reply in replies:
        config = {} if reply.has_error() else reply.content.config_records.get(CONFIG, {})
        partition, records = config.get("partition-id"), config.get(RECORDS)
        if type(partition) is int and type(records) is int and min(partition, records) >= 0:
            identities[reply.metadata.src_node_id] = partition, records
    if len(identities) < least:
        raise TimeoutError(f"only {len(identities)} of {clients} clients said who they are")
    for partition, times in Counter(partition for partition, _ in identities.values()).items():
        if times > 1:  # nobody can tell which of them is the client
            raise InputError(f"more than one node says to be client {partition}")
    nodes_of = {node: partition for node, (partition, _) in identities.items()}
    return Roster(nodes_of, dict(identities.values()), set(range(clients)) - set(nodes_of.values()))
