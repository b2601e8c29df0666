"""Clients that send what harms the crowd, in the form that is asked for: no check of a reply can tell.

For studies of robust aggregation; nobody else makes such clients.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import Message

from fl_tiprdc.data.crowd import Floats, Records
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohorts import as_it_is, deal_messages, replies_to
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.single_process_grid import SingleProcessGrid
from fl_tiprdc.hybrid.step import PRETRAINED
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.wire.arrays import Arrays, GroupArrays
from fl_tiprdc.wire.messages import CohortUpdate, Instruction
from fl_tiprdc.wire.phases import WEIGHTS, Phase

SCALE = 10.0  # of a scaled update
LEAK = 3.0  # norm of a leaking update, in norms of the honest one: no larger than what clipping lets pass unseen


@dataclass(frozen=True)
class Asked:
    """What hostile clients are asked for, and what they know.

    Attributes:
        store: their records.
        instruction: what to do.
        groups: the common parameters.
        partitions: who they are.
    """

    store: ClientStore
    instruction: Instruction
    groups: GroupArrays
    partitions: Sequence[int]

    def honest(self) -> CohortUpdate:
        """What they would send if they were honest."""
        return perform(self.store, self.instruction, self.groups, self.partitions)

    def origin(self, group: str, name: str) -> np.ndarray | float:
        """Where an update starts: at the common weights; a gradient at zero."""
        return self.groups[group][name] if self.instruction.phase in WEIGHTS else 0.0

    def scaled(self, update: CohortUpdate, factors: Mapping[str, float]) -> CohortUpdate:
        """An update whose groups are multiplied by factors; those not named stay."""
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
    """A client store whose private labels are turned over: the first class for the last, and so on."""

    def records(self, partition: int) -> Records:
        """The records of one client."""
        own = super().records(partition)
        return Records(own.x, np.array(self.description.classes, dtype=np.int64) - 1 - own.private)


def sign_flip(asked: Asked) -> CohortUpdate:
    """The opposite of the honest update."""
    honest = asked.honest()
    return asked.scaled(honest, dict.fromkeys(honest.groups, -1.0))


def scaled_update(asked: Asked) -> CohortUpdate:
    """The opposite of the honest update, several times as large: it outweighs the honest clients."""
    honest = asked.honest()
    return asked.scaled(honest, dict.fromkeys(honest.groups, -SCALE))


def label_flip(asked: Asked) -> CohortUpdate:
    """Honest work on records whose private value is another one."""
    return replace(asked, store=_Flipped(asked.store.root)).honest()


def leak(asked: Asked) -> CohortUpdate:
    """Makes the extractor tell the private value, and keeps the crowd's adversary from noticing.

    The extractor's update is that of learning the private value together with the adversary, which is the opposite of
    hiding it; the adversary's is the opposite of the honest one.
    """
    honest = asked.honest()
    lie = asked.scaled(honest, {"adversary": -1.0})
    if "extractor" not in honest.groups:
        return lie
    weights = asked.instruction.phase in WEIGHTS
    phase: Phase = "local-pretraining" if weights else "pretraining-gradient"
    known = {name: asked.groups[name] for name in PRETRAINED}
    telling = perform(asked.store, replace(asked.instruction, phase=phase), known, asked.partitions)
    return replace(lie, groups={**lie.groups, "extractor": _as_long(asked, telling, honest)})


def _as_long(asked: Asked, telling: CohortUpdate, honest: CohortUpdate) -> Arrays:
    """The extractor's update of `telling`, `LEAK` times as long as the honest one, client by client."""

    def updates(found: CohortUpdate) -> Arrays:
        return {name: value - asked.origin("extractor", name) for name, value in found.groups["extractor"].items()}

    def norms(arrays: Arrays) -> Floats:
        found: Floats = np.sqrt(
            np.sum([(value.reshape(len(value), -1) ** 2).sum(1) for value in arrays.values()], axis=0)
        )
        return found

    towards = updates(telling)
    factors = LEAK * norms(updates(honest)) / np.maximum(norms(towards), 1e-12)
    sent: Arrays = {}
    for name, value in towards.items():
        longer = value * factors.reshape(-1, *[1] * (value.ndim - 1))
        sent[name] = (asked.origin("extractor", name) + longer).astype(np.float32)
    return sent


# name -> what hostile clients send
KINDS: Mapping[str, Callable[[Asked], CohortUpdate]] = {
    "none": Asked.honest,
    "sign-flip": sign_flip,
    "scaled-update": scaled_update,
    "label-flip": label_flip,
    "leak": leak,
}


def hostile_clients(clients: int, share: float, seed: int) -> list[int]:
    """Which clients are hostile: a share of them, drawn at random."""
    return sorted(numpy_generator(seed, "hostile-clients").permutation(clients)[: round(share * clients)].tolist())


class HostileGrid(SingleProcessGrid):
    """A grid some of whose clients are hostile in training.

    Args:
        store: the clients' records.
        kind: a key of `KINDS`.
        hostile: partition ids.
        threads: of torch.
    """

    def __init__(self, store: ClientStore, kind: str, hostile: Collection[int], threads: int = 1) -> None:
        super().__init__(store, threads)
        self._kind, self._hostile = KINDS[kind], frozenset(hostile)

    def _answer(self, messages: list[Message], timeout: float | None) -> list[Message]:
        nodes = self.partitions()
        bad = [m for m in messages if nodes[m.metadata.dst_node_id] in self._hostile]
        replies = super()._answer([m for m in messages if nodes[m.metadata.dst_node_id] not in self._hostile], timeout)
        for job in deal_messages(bad, self, 1, as_it_is):
            if job.work is None:
                replies += super()._answer(job.messages, timeout)
                continue
            partitions = [nodes[message.metadata.dst_node_id] for message in job.messages]
            instruction, groups, secure = job.work
            if secure is not None:
                raise ValueError("hostile clients are simulated without secure aggregation")
            replies += replies_to(job, self._kind(Asked(self.store, instruction, groups, partitions)))
        return replies
