"""Checks of the replies to an exchange, and the kinds of refusal.

A client may be broken or hostile. Its reply is used, and its bytes are parsed, only after a check of what it must be:
who may answer, how often, to which exchange, with which arrays. A refused reply never reaches an aggregation. A reply
that passes may still lie in its numbers: see `strategies.robust`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode

from fl_tiprdc.release.arrays import Arrays
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
RAISED_CODES = (ErrorCode.LOAD_CLIENT_APP_EXCEPTION, ErrorCode.CLIENT_APP_RAISED_EXCEPTION)


class BadReplyError(ValueError):
    """Says why a reply can't be used.

    Args:
        kind: kind under which the refusal is counted.
        reason: text for people, which goes on from "client 3's reply".
    """

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Refusal:
    """Says why a reply was refused, or that it is missing.

    Attributes:
        kind: kind under which the refusal is counted.
        reason: text for people.
        partition: partition id of the client that was asked; None: the node wasn't asked.
    """

    kind: Kind
    reason: str
    partition: int | None = None


@dataclass(frozen=True)
class Replies(Generic[T]):
    """Holds the replies to an exchange, sorted into good and refused ones.

    Attributes:
        good: partition id -> update, in the order of partition ids.
        refused: refusals of clients asked, in that order too; those of nodes that weren't asked come last.
    """

    good: Mapping[int, T]
    refused: tuple[Refusal, ...]

    @property
    def kinds(self) -> dict[str, int]:
        """Return the number of refusals by kind, in the order of kinds' names."""
        return dict(sorted(Counter(refusal.kind for refusal in self.refused).items()))

    @property
    def first_reason(self) -> str:
        """Return why the first reply was refused; silence is named only where no other refusal says more."""
        telling = [r for r in self.refused if r.kind not in ("silent", "late", "stranger")]
        return (*telling, *self.refused)[0].reason

    @property
    def strangers(self) -> int:
        """Return how many nodes answered that weren't asked."""
        return sum(refusal.kind == "stranger" for refusal in self.refused)

    @property
    def failures(self) -> int:
        """Return how many of the clients asked failed; late ones and nodes that weren't asked don't count."""
        return sum(refusal.kind not in ("late", "stranger") for refusal in self.refused)


def within(counts: npt.NDArray[np.floating], records: int) -> bool:
    """Tell whether so many records can have these counts of people: [..., K], or [couplings, groups, K] for several."""
    tables = counts.reshape(len(counts) if counts.ndim == 3 else 1, -1)
    return bool(counts.min(initial=0) > -0.5 and (tables.sum(1) <= records * (1 + 1e-3) + 0.5).all())


def read_array(array: Any, name: str, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Return an array of a reply, which came as bytes or, of a client in this process, as it is.

    Args:
        array: Flower's or numpy's.
        name: for the reason of a refusal.
        shape: shape that it must have.
        dtype: type that it must have.

    Raises:
        BadReplyError: it has another shape or type, or other bytes than such an array.
    """
    if tuple(array.shape) != shape:
        raise BadReplyError("shape", f"has {name} of shape {tuple(array.shape)}; expected {shape}")
    if array.dtype != dtype:
        raise BadReplyError("dtype", f"has {name} of type {array.dtype}; expected {dtype}")
    if isinstance(array, np.ndarray):
        return array
    try:
        return unpack_strictly(array, dtype)
    except ValueError as error:
        raise BadReplyError("bytes", f"has {name} that {error}") from None


class Check(Protocol[T_co]):
    """Checks what a reply says: a protocol."""

    def read(self, content: RecordDict, records: int) -> T_co:
        """Return what a reply says.

        Args:
            content: content of the reply.
            records: number of records that its sender said to hold.

        Raises:
            BadReplyError: the reply isn't what was asked for.
        """
        ...


class ReplyCheck:
    """Checks the clients' replies to one exchange.

    Args:
        exchange: number of the exchange.
        groups: current arrays of the groups that come back; a reply's must have the same names, shapes and types.
    """

    def __init__(self, exchange: int, groups: Mapping[str, Arrays]) -> None:
        self._exchange, self._groups = exchange, groups
        self._names = {METRICS, *groups}
        # looked up once: thousands of small arrays come in an exchange
        self._expected = {
            group: {name: (array.shape, array.dtype.name) for name, array in arrays.items()}
            for group, arrays in groups.items()
        }

    def bytes_of_one(self) -> int:
        """Return the size of a good reply's arrays, which is the same for all."""
        return sum(LocalArrays(arrays).count_bytes() for arrays in self._groups.values())

    def read(self, content: RecordDict, records: int) -> Update:
        """Return a client's update; see `Check.read`."""
        metrics = content.get(METRICS)
        if not isinstance(metrics, MetricRecord):
            raise BadReplyError("metrics", "has no metrics")
        losses = self._losses(metrics, records)
        if content.keys() != self._names or not all(isinstance(content[name], ArrayRecord) for name in self._groups):
            expected, sent = ", ".join(sorted(self._names)), ", ".join(sorted(map(str, content)))
            raise BadReplyError("groups", f"has {sent[:200]}; expected {expected}")
        groups = {name: self._arrays(name, content[name]) for name in self._groups}
        for name in COUNTED:
            if name in groups.get("sums", {}) and not within(groups["sums"][name], records):
                raise BadReplyError("records", f"has {name} of more people than its {records} records, or below zero")
        return Update(groups, records, losses, self._exchange)

    def _losses(self, metrics: MetricRecord, records: int) -> tuple[float, float, float]:
        if set(metrics) != {RECORDS, EXCHANGE, *LOSSES}:
            raise BadReplyError("metrics", f"has metrics {', '.join(sorted(map(str, metrics)))[:200]}")
        if metrics[EXCHANGE] != self._exchange:
            raise BadReplyError("stale", f"answers exchange {metrics[EXCHANGE]}")
        if type(metrics[RECORDS]) is not int or metrics[RECORDS] != records:
            raise BadReplyError("records", f"counts {metrics[RECORDS]} records; the client said to hold {records}")
        for name in LOSSES:
            if not isinstance(metrics[name], (int, float)):
                raise BadReplyError("metrics", f"has a loss '{name}' that is no number")
            if not math.isfinite(metrics[name]):
                raise BadReplyError("not-finite", f"has a loss '{name}' of {metrics[name]}")
        privacy, information, adversary = (float(metrics[name]) for name in LOSSES)
        return privacy, information, adversary

    def _arrays(self, group: str, record: ArrayRecord) -> Arrays:
        expected = self._expected[group]
        sent = unpack_arrays(record) if isinstance(record, LocalArrays) else record
        if sent.keys() != expected.keys():
            odd = sorted(map(str, set(sent) ^ set(expected)))[0]
            raise BadReplyError(
                "names", f"{'misses' if odd in expected else 'has an unknown'} array {group}/{odd[:80]}"
            )
        arrays: Arrays = {}
        for name, (shape, dtype) in expected.items():
            value = read_array(sent[name], f"{group}/{name}", shape, dtype)
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
    """Return the good and the refused replies, the same for any order in which they came.

    Args:
        replies: all messages that came.
        asked: partition ids of the clients that were asked.
        roster: tells which node is which client, and how many records each said to hold.
        check: reads a reply, or refuses it.
        closed: counts missing replies as late, because the exchange closed when enough clients had replied.
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
    for partition, messages in sent.items():
        if not messages:
            refused.append(Refusal("late" if closed else "silent", "no reply in time", partition))
        elif len(messages) > 1:
            refused.append(Refusal("duplicate", f"client {partition} sent {len(messages)} replies", partition))
        elif messages[0].has_error():
            error = messages[0].error
            lines = str(error.reason).strip().splitlines() or [""]
            refused.append(Refusal("error" if error.code in RAISED_CODES else "lost", lines[-1], partition))
        else:
            try:
                good[partition] = check.read(messages[0].content, roster.size(partition))
            except BadReplyError as bad:
                refused.append(Refusal(bad.kind, f"client {partition}'s reply {bad}", partition))
    return Replies(good, (*refused, *(strangers[node] for node in sorted(strangers))))
