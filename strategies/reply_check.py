"""What a good reply to an exchange looks like, and why others are refused.

A reply is a client's word, and a client may be broken or hostile. Nothing of it is used, nor are its bytes even parsed,
before it has been told what it must be: who may answer, how often, to which exchange, with which arrays. What is
refused never reaches an aggregation. A reply that passes may still lie in its numbers: see `strategies.robust`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode

from fl_tiprdc.wire.arrays import Arrays
from fl_tiprdc.wire.messages import (
    EXCHANGE,
    LOSSES,
    METRICS,
    RECORDS,
    LocalArrays,
    Update,
    unpack_arrays,
    unpack_strictly,
)
from strategies.roster import Roster

Kind = Literal[
    "error",  # the client says that it failed
    "lost",  # its process died, or it can't be reached
    "silent",  # no reply in time
    "late",  # no reply before the exchange closed, because enough others had replied: no failure
    "duplicate",  # more than one reply from a client: which of them is meant can't be told
    "stranger",  # from a node that wasn't asked
    "stale",  # to another exchange
    "groups",  # groups missing, or something sent that wasn't asked for
    "names",  # arrays missing, or others
    "shape",
    "dtype",
    "bytes",  # more, fewer or other bytes than such an array has
    "not-finite",  # NaN, infinite, or too large for its norm to be a number
    "metrics",  # missing, or no numbers
    "shares",  # of secure aggregation: missing, or of other sizes
    "records",  # another number of records than the client said to hold
    "part",  # of a publication: not what the release can give
]

COUNTED = ("counts", "shares")  # of a code fit's sums: people, each counted once

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
RAISED = (ErrorCode.LOAD_CLIENT_APP_EXCEPTION, ErrorCode.CLIENT_APP_RAISED_EXCEPTION)


class BadReplyError(ValueError):
    """A reply that can't be used.

    Args:
        kind: what is wrong, as it is counted.
        reason: what is wrong, as it is told.
    """

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Refusal:
    """A reply that was refused, or is missing.

    Attributes:
        kind: what is wrong, as it is counted.
        reason: what is wrong, as it is told.
        partition: of the client that was asked; None: a stranger.
    """

    kind: Kind
    reason: str
    partition: int | None = None


@dataclass(frozen=True)
class Replies(Generic[T]):
    """The replies to an exchange, sorted out.

    Attributes:
        good: partition id -> update, in the order of partition ids.
        refused: those asked that failed, in that order too; strangers come last.
    """

    good: Mapping[int, T]
    refused: tuple[Refusal, ...]

    @property
    def kinds(self) -> dict[str, int]:
        """How many were refused, by kind, in the order of kinds' names."""
        return dict(sorted(Counter(refusal.kind for refusal in self.refused).items()))

    @property
    def first_reason(self) -> str:
        """Why the first was refused; silence is told only where nobody says more."""
        telling = [r for r in self.refused if r.kind not in ("silent", "late", "stranger")]
        return (*telling, *self.refused)[0].reason

    @property
    def strangers(self) -> int:
        """How many nodes answered that weren't asked."""
        return sum(refusal.kind == "stranger" for refusal in self.refused)

    @property
    def failures(self) -> int:
        """How many of those asked failed: neither strangers nor those who were late."""
        return sum(refusal.kind not in ("late", "stranger") for refusal in self.refused)


def within(counts: npt.NDArray[np.floating], records: int) -> bool:
    """Say whether so many records can have these counts of people: [..., K], or [couplings, groups, K] for several."""
    each = counts.reshape(len(counts) if counts.ndim == 3 else 1, -1)
    return bool(counts.min(initial=0) > -0.5 and (each.sum(1) <= records * (1 + 1e-3) + 0.5).all())


class Check(Protocol[T_co]):
    """What a good reply is."""

    def read(self, content: RecordDict, records: int) -> T_co:
        """What a reply says; a BadReplyError where it isn't what was asked for. `records` its sender said to hold."""
        ...


class ReplyCheck:
    """What each client's reply to one exchange must be.

    Args:
        exchange: its number.
        groups: the current arrays of the groups that come back; a reply's have the same names, shapes and types.
    """

    def __init__(self, exchange: int, groups: Mapping[str, Arrays]) -> None:
        self._exchange, self._groups = exchange, groups
        self._names = {METRICS, *groups}
        # looked up once: thousands of small arrays come in an exchange
        self._wanted = {
            group: {name: (array.shape, array.dtype, array.dtype.name) for name, array in arrays.items()}
            for group, arrays in groups.items()
        }

    def bytes_of_one(self) -> int:
        """Size of the arrays of a good reply: they all have the same."""
        return sum(LocalArrays(arrays).count_bytes() for arrays in self._groups.values())

    def read(self, content: RecordDict, records: int) -> Update:
        """A client's update.

        Args:
            content: of its reply.
            records: how many records it said to hold.

        Raises:
            BadReplyError: it isn't what was asked for.
        """
        found = content.get(METRICS)
        if not isinstance(found, MetricRecord):
            raise BadReplyError("metrics", "has no metrics")
        losses = self._metrics(found, records)
        if content.keys() != self._names or not all(isinstance(content[name], ArrayRecord) for name in self._groups):
            wanted, got = ", ".join(sorted(self._names)), ", ".join(sorted(map(str, content)))
            raise BadReplyError("groups", f"has {got[:200]}; expected {wanted}")
        groups = {name: self._arrays(name, content[name]) for name in self._groups}
        for name in COUNTED:
            if name in groups.get("sums", {}) and not within(groups["sums"][name], records):
                raise BadReplyError("records", f"has {name} of more people than its {records} records, or below zero")
        return Update(groups, records, losses, self._exchange)

    def _metrics(self, found: MetricRecord, records: int) -> tuple[float, float, float]:
        if set(found) != {RECORDS, EXCHANGE, *LOSSES}:
            raise BadReplyError("metrics", f"has metrics {', '.join(sorted(map(str, found)))[:200]}")
        if found[EXCHANGE] != self._exchange:
            raise BadReplyError("stale", f"answers exchange {found[EXCHANGE]}")
        if type(found[RECORDS]) is not int or found[RECORDS] != records:
            raise BadReplyError("records", f"counts {found[RECORDS]} records; the client said to hold {records}")
        for name in LOSSES:
            if not isinstance(found[name], (int, float)):
                raise BadReplyError("metrics", f"has a loss '{name}' that is no number")
            if not math.isfinite(found[name]):
                raise BadReplyError("not-finite", f"has a loss '{name}' of {found[name]}")
        privacy, information, adversary = (float(found[name]) for name in LOSSES)
        return privacy, information, adversary

    def _arrays(self, group: str, record: ArrayRecord) -> Arrays:
        wanted = self._wanted[group]
        local = isinstance(record, LocalArrays)
        sent = unpack_arrays(record) if local else record
        if sent.keys() != wanted.keys():
            odd = sorted(map(str, set(sent) ^ set(wanted)))[0]
            raise BadReplyError("names", f"{'misses' if odd in wanted else 'has an unknown'} array {group}/{odd[:80]}")
        arrays: Arrays = {}
        for name, (shape, dtype, dtype_name) in wanted.items():
            array = sent[name]
            if tuple(array.shape) != shape:
                raise BadReplyError("shape", f"has {group}/{name} of shape {tuple(array.shape)}; expected {shape}")
            if array.dtype != (dtype if local else dtype_name):
                raise BadReplyError("dtype", f"has {group}/{name} of type {array.dtype}; expected {dtype_name}")
            try:
                value = array if local else unpack_strictly(array)
            except ValueError as error:
                raise BadReplyError("bytes", f"has {group}/{name} that {error}") from None
            # a sum of squares in one pass: it is NaN or infinite as soon as one number is
            if not math.isfinite(np.vdot(value, value)):
                raise BadReplyError(
                    "not-finite", f"has numbers in {group}/{name} that are not finite, or absurdly large"
                )
            arrays[name] = value
        return arrays


def sort_replies(
    replies: Iterable[Message], asked: Iterable[int], roster: Roster, check: Check[T], closed: bool = False
) -> Replies[T]:
    """Good replies and refused ones, whatever the order in which they came.

    Args:
        replies: all that came.
        asked: partition ids of the clients that were asked.
        roster: who they are, and how many records each said to hold.
        check: what a good reply is.
        closed: whether the exchange closed because enough clients had replied.
    """
    sent: dict[int, list[Message]] = {partition: [] for partition in sorted(asked)}
    strangers: dict[int, Refusal] = {}
    for reply in replies:
        node = reply.metadata.src_node_id
        partition = roster.partition_of.get(node)
        if partition is None or partition not in sent:
            strangers[node] = Refusal("stranger", f"node {node} answers and wasn't asked")
        else:
            sent[partition].append(reply)
    good: dict[int, T] = {}
    refused: list[Refusal] = []
    for partition, own in sent.items():
        if not own:
            refused.append(Refusal("late" if closed else "silent", "no reply in time", partition))
        elif len(own) > 1:
            refused.append(Refusal("duplicate", f"client {partition} sent {len(own)} replies", partition))
        elif own[0].has_error():
            lines = str(own[0].error.reason).strip().splitlines() or [""]
            refused.append(Refusal("error" if own[0].error.code in RAISED else "lost", lines[-1], partition))
        else:
            try:
                good[partition] = check.read(own[0].content, roster.size(partition))
            except BadReplyError as error:
                refused.append(Refusal(error.kind, f"client {partition}'s reply {error}", partition))
    return Replies(good, (*refused, *(strangers[node] for node in sorted(strangers))))
