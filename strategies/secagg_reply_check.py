"""Checks of replies where single updates can't be opened; see `reply_check`.

Nobody can judge a masked update: any words are as good as any others. A hostile member can spoil a sum, but what it
sends is used only if it has the right shape.
"""

import hashlib
import math
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_origin

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fl_tiprdc.secagg.masks import KEY_BYTES, SEED_BYTES
from fl_tiprdc.secagg.messages import MASKED, NEXT, OPENING, SESSION, WORDS, MaskedUpdate, Opened, Session, Shares
from fl_tiprdc.secagg.sharing import SHARE_BYTES
from fl_tiprdc.wire.messages import EXCHANGE, METRICS, LocalArrays, unpack_arrays
from strategies.reply_check import BadReplyError, read_array

TAG_BYTES = 16  # that authenticate what is sealed
R = TypeVar("R", Shares, Opened)


class MaskedReplyCheck:
    """Checks the members' masked updates.

    Args:
        exchange: number of the exchange.
        numbers: number of words in an update.
    """

    def __init__(self, exchange: int, numbers: int) -> None:
        self._exchange, self._numbers = exchange, numbers

    def bytes_of_one(self) -> int:
        """Return the size of a good reply's words."""
        return 8 * self._numbers

    def read(self, content: RecordDict, records: int) -> MaskedUpdate:
        """Return a member's masked update; see `Check.read`."""
        metrics, masked = content.get(METRICS), content.get(MASKED)
        if not isinstance(metrics, MetricRecord) or set(metrics) != {EXCHANGE}:
            raise BadReplyError("metrics", "has no metrics, or others than its exchange")
        if metrics[EXCHANGE] != self._exchange:
            raise BadReplyError("stale", f"answers exchange {metrics[EXCHANGE]}")
        if content.keys() != {METRICS, MASKED} or not isinstance(masked, ArrayRecord):
            raise BadReplyError("groups", f"has {', '.join(sorted(map(str, content)))[:200]}; expected masked, metrics")
        sent: Any = unpack_arrays(masked) if isinstance(masked, LocalArrays) else masked
        if set(sent) != {WORDS}:
            raise BadReplyError("names", "has other arrays than its words")
        return MaskedUpdate(read_array(sent[WORDS], "words", (self._numbers,), "uint64"), self._exchange)


class KeyCheck:
    """Checks a client's public key.

    Args:
        record: name of the record that holds it.
        name: name of the field.
    """

    def __init__(self, record: str, name: str) -> None:
        self._record, self._name = record, name

    def read(self, content: RecordDict, records: int) -> bytes:
        """Return the key; see `Check.read`."""
        record = content.get(self._record)
        key = record.get(self._name) if isinstance(record, ConfigRecord) else None
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            raise BadReplyError("shares", "has no public key")
        return key


def _read_secrets(kind: type[R], content: RecordDict, record: str, exchange: int) -> R:
    """Return the message of a kind that a record holds; `shares_fit` and `opened_fits` check its sizes.

    Raises:
        BadReplyError: it isn't of that kind, or of another exchange.
    """
    sent = content.get(record)
    if not isinstance(sent, ConfigRecord) or set(sent) != {field.name for field in fields(kind)}:
        raise BadReplyError("shares", "has other fields than its shares'")
    for field in fields(kind):
        value = sent[field.name]
        values = value if get_origin(field.type) is list and isinstance(value, list) else [value]
        expected: Any = get_args(field.type)[0] if get_args(field.type) else field.type
        if any(type(element) is not expected for element in values):
            raise BadReplyError("shares", f"has a field {field.name} of another type")
    reply: R = kind(**sent)
    if reply.exchange != exchange:
        raise BadReplyError("stale", f"answers exchange {reply.exchange}")
    return reply


def _require_records(content: RecordDict, names: set[str]) -> None:
    if content.keys() != names:
        raise BadReplyError("groups", f"has other records than {', '.join(sorted(names))}")


class SharesCheck:
    """Checks the first step's answers.

    Args:
        exchange: number of the exchange.
    """

    def __init__(self, exchange: int) -> None:
        self._exchange = exchange

    def read(self, content: RecordDict, records: int) -> Shares:
        """Return the shares; see `Check.read`."""
        _require_records(content, {SESSION})
        return _read_secrets(Shares, content, SESSION, self._exchange)


class OpenedCheck:
    """Checks the last step's answers, with which shares for the next exchange may come.

    Args:
        exchange: number of the exchange.
        ahead: whether shares for the next exchange were asked for, too.
    """

    def __init__(self, exchange: int, ahead: bool) -> None:
        self._exchange, self._ahead = exchange, ahead

    def read(self, content: RecordDict, records: int) -> tuple[Opened, Shares | None]:
        """Return what opens the sum, and shares for the next exchange; see `Check.read`."""
        ahead = self._ahead and NEXT in content
        _require_records(content, {OPENING, NEXT} if ahead else {OPENING})
        opened = _read_secrets(Opened, content, OPENING, self._exchange)
        try:
            return opened, _read_secrets(Shares, content, NEXT, self._exchange + 1) if ahead else None
        except BadReplyError:  # it opens this sum all the same
            return opened, None


def shares_fit(shares: Shares, session: Session, sender: int) -> bool:
    """Tell whether a member's shares and proofs have the right sizes; it has none for itself."""

    def sized(parts: list[bytes], size: int) -> bool:
        return list(map(len, parts)) == [0 if member == sender else size for member in session.members]

    lengths = (len(shares.key), len(shares.check)) == (KEY_BYTES, hashlib.sha256().digest_size)
    return lengths and sized(shares.proofs, SEED_BYTES) and sized(shares.sealed, 2 * SHARE_BYTES + TAG_BYTES)


def opened_fits(opened: Opened, count: int) -> bool:
    """Tell whether a member reveals a share for each of `count` members."""
    return list(map(len, opened.shares)) == [SHARE_BYTES] * count


def numbers_in(groups: dict[str, dict[str, Any]]) -> int:
    """Return how many numbers all groups have."""
    return sum(math.prod(array.shape) for arrays in groups.values() for array in arrays.values())
