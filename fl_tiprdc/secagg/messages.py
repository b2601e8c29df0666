"""What crosses the wire for secure aggregation: typed records, packed and unpacked in this one place.

An exchange has three steps: members share out what would open their masks (`Session`, `Shares`), they send masked
updates (`MaskRequest`, `MaskedUpdate`), and those who are left say what opens the sum (`OpenRequest`, `Opened`).
Before their first exchange clients tell their keys.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.secagg.fixed_point import Words
from fl_tiprdc.wire.messages import EXCHANGE, METRICS, Instruction, pack_arrays

KEYS, SHARES, OPEN = "query.keys", "query.shares", "query.open"
SESSION, MASKS, MASKED, OPENING, WORDS, KEY = "session", "masks", "masked", "opening", "words", "key"

T = TypeVar("T", bound="_Record")


@dataclass(frozen=True)
class _Record:
    """Fields of numbers, texts, bytes and lists of these, which are Flower's values too."""

    def pack(self) -> ConfigRecord:
        """As Flower's record."""
        return ConfigRecord(self._values())

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # asdict copies all that is inside

    @classmethod
    def unpack(cls: type[T], record: ConfigRecord) -> T:
        """From Flower's record."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of everything in it."""
        text = json.dumps(self._values(), sort_keys=True, default=bytes.hex)
        return hashlib.sha256(type(self).__name__.encode() + b"\x1f" + text.encode()).digest()


@dataclass(frozen=True)
class Session(_Record):
    """Who sums in an exchange.

    Attributes:
        training: which one; no two have the same name.
        seed: of the experiment.
        exchange: number of the exchange.
        members: clients, by partition id.
        keys: their public keys.
        threshold: how many must stay to the end.
    """

    training: str
    seed: int
    exchange: int
    members: list[int]
    keys: list[bytes]
    threshold: int


@dataclass(frozen=True)
class Shares(_Record):
    """A member's key for one exchange, and shares of its secrets for each other member.

    Attributes:
        exchange: number of the exchange.
        key: public, for this exchange alone.
        check: hash of the seed of its self-mask.
        proofs: for each member, a proof that the key is the sender's.
        sealed: for each member, its shares of the seeds of this key and of the self-mask, which it alone can read.
    """

    exchange: int
    key: bytes
    check: bytes
    proofs: list[bytes]
    sealed: list[bytes]


@dataclass(frozen=True)
class MaskRequest(_Record):
    """What members who have shared are told with an instruction.

    Attributes:
        present: those members.
        keys: theirs for this exchange.
        proofs: all of theirs, for each of them one for each member of the session.
        weights: of their updates.
        clip: the largest norm of what one adds; 0: any.
        losses: whether the sum of losses is opened too.
    """

    present: list[int]
    keys: list[bytes]
    proofs: list[bytes]
    weights: list[float]
    clip: float
    losses: bool


@dataclass(frozen=True)
class OpenRequest(_Record):
    """What a member who is left is told to open the sum.

    Attributes:
        members: who was asked for a masked update.
        stayed: for each, whether it came: then its self-mask is opened, else its key of this exchange.
        sealed: what each has sealed for the receiver.
    """

    members: list[int]
    stayed: list[bool]
    sealed: list[bytes]


@dataclass(frozen=True)
class Opened(_Record):
    """Its shares, in the order of the request.

    Attributes:
        exchange: number of the exchange.
        shares: of the self-mask of those who stayed, of the key of those who dropped.
    """

    exchange: int
    shares: list[bytes]


@dataclass(frozen=True)
class MaskedUpdate:
    """A client's answer: one row of words that are random to whoever lacks the masks; and which exchange it answers."""

    words: Words
    exchange: int

    def pack(self, record: Callable[[Any], ArrayRecord] = pack_arrays) -> RecordDict:
        """As Flower's records; `record` makes that of arrays."""
        return RecordDict({MASKED: record({WORDS: self.words}), METRICS: MetricRecord({EXCHANGE: self.exchange})})


@dataclass(frozen=True)
class MaskedCohort:
    """Answers of several clients, stacked: words [clients, numbers]."""

    words: Words
    exchange: int

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, i: int) -> MaskedUpdate:
        """One client's answer, a view."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        return MaskedUpdate(self.words[i], self.exchange)


@dataclass(frozen=True)
class SecureWork:
    """What makes an instruction one of secure aggregation: who sums, and how they mask."""

    session: Session
    masks: MaskRequest

    def records(self) -> dict[str, ConfigRecord]:
        """As Flower's records of a message."""
        return {SESSION: self.session.pack(), MASKS: self.masks.pack()}

    @classmethod
    def found_in(cls, records: Mapping[str, ConfigRecord]) -> "SecureWork | None":
        """From a message's records; None where they have none."""
        if MASKS not in records:
            return None
        return cls(Session.unpack(records[SESSION]), MaskRequest.unpack(records[MASKS]))

    @cached_property
    def _base(self) -> bytes:
        return self.session.digest + self.masks.digest

    def transcript(self, instruction: Instruction, groups: GroupArrays) -> bytes:
        """Hash of everything that members were sent: masks of members who were sent different things don't fit."""
        text = json.dumps(asdict(instruction), sort_keys=True)
        found = hashlib.sha256(self._base + text.encode())
        for group, arrays in sorted(groups.items()):
            for name, array in sorted(arrays.items()):
                found.update(f"{group}/{name}{array.shape}".encode())
                found.update(np.ascontiguousarray(array, dtype="<f4").data)
        return found.digest()
