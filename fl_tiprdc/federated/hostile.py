"""Clients that send harmful updates of the right form, so that no check of a reply can tell.

Studies of robust aggregation make such clients; nothing else does.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import Message

from fl_tiprdc.data.crowd import Floats, Records
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohorts import as_it_is, deal_messages, replies_to
from fl_tiprdc.federated.local_grid import SingleProcessGrid
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.hybrid.step import PRETRAINED
from fl_tiprdc.release.arrays import Arrays, GroupArrays
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.wire.messages import CohortUpdate, Instruction
from fl_tiprdc.wire.phases import WEIGHTS, Phase

SCALE = 10.0  # factor of a scaled update
LEAK = 3.0  # norm of a leaking update, in norms of the honest one: clipping lets it pass unseen


@dataclass(frozen=True)
class Asked:
    """Holds what hostile clients are asked for, and what they know.

    Attributes:
        store: store of their records.
        instruction: instruction that they received.
        groups: common parameters.
        partitions: their partition ids.
    """

    store: ClientStore
    instruction: Instruction
    groups: GroupArrays
    partitions: Sequence[int]

    def honest(self) -> CohortUpdate:
        """Return what the clients would send if they were honest."""
        return perform(self.store, self.instruction, self.groups, self.partitions)

    def origin(self, group: str, name: str) -> np.ndarray | float:
        """Return where an update starts: weights at the common ones, a gradient at zero."""
        return self.groups[group][name] if self.instruction.phase in WEIGHTS else 0.0

    def scaled(self, update: CohortUpdate, factors: Mapping[str, float]) -> CohortUpdate:
        """Return an update whose groups are multiplied by factors; groups without one stay."""
        return replace(
            update,
            groups={
                group: {
                    name: (
                        self.origin(group, name) + factors.get(group, 1.0) * (value - self.origin(group, name))
                    ).astype(np.float32)
                    for name, value in arrays.items()
                }
                for group, arrays in update.groups.items()
            },
        )


class _Flipped(ClientStore):
    """Reads a client store with its private labels turned over: the first class for the last, and so on."""

    def records(self, partition: int) -> Records:
        """Return the records of one client with other labels."""
        records = super().records(partition)
        return Records(records.x, np.array(self.description.classes, dtype=np.int64) - 1 - records.private)


def sign_flip(asked: Asked) -> CohortUpdate:
    """Return the opposite of the honest update."""
    honest = asked.honest()
    return asked.scaled(honest, dict.fromkeys(honest.groups, -1.0))


def scaled_update(asked: Asked) -> CohortUpdate:
    """Return the opposite of the honest update, `SCALE` times as large, which outweighs the honest clients."""
    honest = asked.honest()
    return asked.scaled(honest, dict.fromkeys(honest.groups, -SCALE))


def label_flip(asked: Asked) -> CohortUpdate:
    """Return the honest update on records whose private value is another one."""
    return replace(asked, store=_Flipped(asked.store.root)).honest()


def leak(asked: Asked) -> CohortUpdate:
    """Return an update that makes the extractor tell the private value, and keeps the crowd's adversary from noticing.

    The extractor's update is that of learning the private value together with the adversary, which is the opposite of
    hiding it; the adversary's update is the opposite of the honest one.
    """
    honest = asked.honest()
    blinding = asked.scaled(honest, {"adversary": -1.0})
    if "extractor" not in honest.groups:
        return blinding
    weights = asked.instruction.phase in WEIGHTS
    phase: Phase = "local-pretraining" if weights else "pretraining-gradient"
    known = {name: asked.groups[name] for name in PRETRAINED}
    telling = perform(asked.store, replace(asked.instruction, phase=phase), known, asked.partitions)
    return replace(blinding, groups={**blinding.groups, "extractor": _lengthened(asked, telling, honest)})


def _lengthened(asked: Asked, telling: CohortUpdate, honest: CohortUpdate) -> Arrays:
    """Return the extractor's update of `telling`, `LEAK` times as long as the honest one for each client."""

    def updates(sent: CohortUpdate) -> Arrays:
        return {name: value - asked.origin("extractor", name) for name, value in sent.groups["extractor"].items()}

    def norms(arrays: Arrays) -> Floats:
        squares = [(value.reshape(len(value), -1) ** 2).sum(1) for value in arrays.values()]
        return np.asarray(np.sqrt(np.sum(squares, axis=0)))

    towards = updates(telling)
    factors = LEAK * norms(updates(honest)) / np.maximum(norms(towards), 1e-12)
    lengthened: Arrays = {}
    for name, value in towards.items():
        update = value * factors.reshape(-1, *[1] * (value.ndim - 1))
        lengthened[name] = (asked.origin("extractor", name) + update).astype(np.float32)
    return lengthened


# name -> makes what hostile clients send
KINDS: Mapping[str, Callable[[Asked], CohortUpdate]] = {
    "none": Asked.honest,
    "sign-flip": sign_flip,
    "scaled-update": scaled_update,
    "label-flip": label_flip,
    "leak": leak,
}


def hostile_clients(clients: int, share: float, seed: int) -> list[int]:
    """Return the hostile clients in order: a share of all, drawn at random."""
    return sorted(numpy_generator(seed, "hostile-clients").permutation(clients)[: round(share * clients)].tolist())


class HostileGrid(SingleProcessGrid):
    """Simulates a crowd some of whose clients are hostile in training.

    Args:
        store: store of the clients' records.
        kind: key of `KINDS`, which says what hostile clients send.
        hostile: partition ids of the hostile clients.
        threads: number of torch's threads.
    """

    def __init__(self, store: ClientStore, kind: str, hostile: Collection[int], threads: int = 1) -> None:
        super().__init__(store, threads)
        self._kind, self._hostile = KINDS[kind], frozenset(hostile)

    def answer_all(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Return the honest clients' replies and those that hostile clients make up."""
        nodes = self.partitions()
        bad = [m for m in messages if nodes[m.metadata.dst_node_id] in self._hostile]
        good = [m for m in messages if nodes[m.metadata.dst_node_id] not in self._hostile]
        replies = super().answer_all(good, timeout)
        for job in deal_messages(bad, self.records, 1, as_it_is):
            if job.work is None:
                replies += super().answer_all(job.messages, timeout)
                continue
            partitions = [nodes[message.metadata.dst_node_id] for message in job.messages]
            instruction, groups, secure = job.work
            if secure is not None:
                raise ValueError("hostile clients are simulated without secure aggregation")
            replies += replies_to(job, self._kind(Asked(self.store, instruction, groups, partitions)))
        return replies
