"""Typed messages of secure aggregation, packed and unpacked in this one place.

An exchange has three steps: members give each other shares of what would open their masks (`Session`, `Shares`), they
send masked updates (`MaskRequest`, `MaskedUpdate`), and those who are left reveal what opens the sum (`OpenRequest`,
`Opened`). Clients tell their public keys before their first exchange. The last step of an exchange may bring the first
one of the next along, which saves a message in three.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fl_tiprdc.release.arrays import GroupArrays, digest_of
from fl_tiprdc.secagg.fixed_point import Words
from fl_tiprdc.wire.messages import EXCHANGE, METRICS, Instruction, pack_arrays

KEYS, SHARES, OPEN = "query.keys", "query.shares", "query.open"
SESSION, MASKS, MASKED, OPENING, WORDS, PUBLIC_KEY_FIELD = "session", "masks", "masked", "opening", "words", "key"
ONLY_ATTEMPT = "only"  # name of the attempt at a simulated training; Flower counts no empty text
NEXT = "next"  # session of the next exchange in a request to open this one's sum, and shares for it in the answer

T = TypeVar("T", bound="_Record")


@dataclass(frozen=True)
class _Record:
    """Packs fields of numbers, texts, bytes and lists of these, which are Flower's values too."""

    def pack(self) -> ConfigRecord:
        """Return the fields as Flower's record."""
        return ConfigRecord(self._values())

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # asdict would copy the lists

    @classmethod
    def unpack(cls: type[T], record: ConfigRecord) -> T:
        """Return the message in Flower's record."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    @cached_property
    def digest(self) -> bytes:
        """Return the SHA-256 of all fields."""
        text = json.dumps(self._values(), sort_keys=True, default=bytes.hex)
        return hashlib.sha256(type(self).__name__.encode() + b"\x1f" + text.encode()).digest()


@dataclass(frozen=True)
class Session(_Record):
    """Names the members of an exchange's sum.

    Attributes:
        training: name of the training, which no other has.
        seed: seed of the experiment.
        exchange: number of the exchange.
        members: partition ids of the clients.
        keys: public keys of the members, in their order.
        threshold: number of members that must stay to the end.
        attempt: name of the attempt at the training, which no other has where clients are real: masks of another one
            are others.
    """

    training: str
    seed: int
    exchange: int
    members: list[int]
    keys: list[bytes]
    threshold: int
    attempt: str = ONLY_ATTEMPT


@dataclass(frozen=True)
class Shares(_Record):
    """Brings a member's key for one exchange, and shares of its secrets for each other member.

    Attributes:
        exchange: number of the exchange.
        key: public key for this exchange alone.
        check: hash of the self-mask's seed.
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
    """Tells members how to mask; it comes with an instruction, to those who have sent shares.

    Attributes:
        present: members who have sent shares.
        keys: their keys for this exchange.
        proofs: their proofs, one after the other: each of them has one for each member of the session.
        weights: weights of their updates.
        clip: largest norm that a member's weighed update may have; 0: any.
        losses: adds the losses to the update, so that their sum is opened too.
    """

    present: list[int]
    keys: list[bytes]
    proofs: list[bytes]
    weights: list[float]
    clip: float
    losses: bool


@dataclass(frozen=True)
class OpenRequest(_Record):
    """Asks a member who is left to open the sum.

    Attributes:
        members: members who were asked for a masked update.
        stayed: for each of them, whether its update came: then its self-mask is opened, else its key of this exchange.
        sealed: for each of them, the shares that it has sealed for the receiver.
    """

    members: list[int]
    stayed: list[bool]
    sealed: list[bytes]


@dataclass(frozen=True)
class Opened(_Record):
    """Reveals a member's shares, in the order of the request.

    Attributes:
        exchange: number of the exchange.
        shares: shares of the self-masks of those who stayed, and of the keys of those who dropped.
    """

    exchange: int
    shares: list[bytes]


@dataclass(frozen=True)
class MaskedUpdate:
    """Answers an instruction with a masked row.

    Attributes:
        words: [numbers], random to whoever lacks the masks.
        exchange: number of the exchange that is answered.
    """

    words: Words
    exchange: int

    def pack(self, record: Callable[[Any], ArrayRecord] = pack_arrays) -> RecordDict:
        """Return the update as Flower's records; `record` makes the one of the words."""
        return RecordDict({MASKED: record({WORDS: self.words}), METRICS: MetricRecord({EXCHANGE: self.exchange})})


@dataclass(frozen=True)
class MaskedCohort:
    """Stacks the masked updates of several clients: words [clients, numbers]."""

    words: Words
    exchange: int

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, i: int) -> MaskedUpdate:
        """Return one client's masked update, a view."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        return MaskedUpdate(self.words[i], self.exchange)


@dataclass(frozen=True)
class SecureWork:
    """Makes an instruction one of secure aggregation: it names the members of the sum, and tells how they mask."""

    session: Session
    masks: MaskRequest

    def records(self) -> dict[str, ConfigRecord]:
        """Return both parts as Flower's records, by their names in a message."""
        return {SESSION: self.session.pack(), MASKS: self.masks.pack()}

    @classmethod
    def found_in(cls, records: Mapping[str, ConfigRecord]) -> "SecureWork | None":
        """Return the secure work that a message's records ask for; None: they ask for none."""
        if MASKS not in records:
            return None
        return cls(Session.unpack(records[SESSION]), MaskRequest.unpack(records[MASKS]))

    @cached_property
    def _base(self) -> bytes:
        return self.session.digest + self.masks.digest

    def transcript(self, instruction: Instruction, groups: GroupArrays) -> bytes:
        """Return a hash of everything that members were sent; masks made with different hashes don't cancel."""
        text = json.dumps(asdict(instruction), sort_keys=True)
        transcript = hashlib.sha256(self._base + text.encode())
        for group, arrays in sorted(groups.items()):
            transcript.update(f"{len(group)}:{group}{digest_of(arrays)}".encode())
        return transcript.digest()
