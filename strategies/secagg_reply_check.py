"""What good replies look like where single updates can't be opened; see `reply_check`.

What a masked update says can't be judged: any words are as good as any others. A hostile member can spoil a sum, but
what it sends has the right shape, or it isn't used.
"""

import hashlib
import math
from dataclasses import fields
from typing import Any, Generic, TypeVar, get_args, get_origin

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fl_tiprdc.secagg.masks import KEY, SEED
from fl_tiprdc.secagg.messages import MASKED, WORDS, MaskedUpdate, Opened, Session, Shares
from fl_tiprdc.secagg.sharing import SHARE
from fl_tiprdc.wire.messages import EXCHANGE, METRICS, LocalArrays, unpack_arrays, unpack_strictly
from strategies.reply_check import BadReplyError

TAG = 16  # bytes that authenticate what is sealed
R = TypeVar("R", Shares, Opened)


class MaskedReplyCheck:
    """What each member's masked update must be.

    Args:
        exchange: its number.
        numbers: words in it.
    """

    def __init__(self, exchange: int, numbers: int) -> None:
        self._exchange, self._numbers = exchange, numbers

    def bytes_of_one(self) -> int:
        """Size of a good reply's words."""
        return 8 * self._numbers

    def read(self, content: RecordDict, records: int) -> MaskedUpdate:
        """A member's words.

        Raises:
            BadReplyError: it isn't what was asked for.
        """
        metrics, masked = content.get(METRICS), content.get(MASKED)
        if not isinstance(metrics, MetricRecord) or set(metrics) != {EXCHANGE}:
            raise BadReplyError("metrics", "has no metrics, or others than its exchange")
        if metrics[EXCHANGE] != self._exchange:
            raise BadReplyError("stale", f"answers exchange {metrics[EXCHANGE]}")
        if content.keys() != {METRICS, MASKED} or not isinstance(masked, ArrayRecord):
            raise BadReplyError("groups", f"has {', '.join(sorted(map(str, content)))[:200]}; expected masked, metrics")
        local = isinstance(masked, LocalArrays)
        sent: Any = unpack_arrays(masked) if local else masked
        if set(sent) != {WORDS}:
            raise BadReplyError("names", "has other arrays than its words")
        array = sent[WORDS]
        if tuple(array.shape) != (self._numbers,):
            raise BadReplyError("shape", f"has words of shape {tuple(array.shape)}; expected ({self._numbers},)")
        if str(array.dtype) != "uint64":
            raise BadReplyError("dtype", f"has words of type {array.dtype}; expected uint64")
        try:
            words = array if local else unpack_strictly(array, "uint64")
        except ValueError as error:
            raise BadReplyError("bytes", f"has words that {error}") from None
        return MaskedUpdate(words, self._exchange)


class KeyCheck:
    """A client's public key.

    Args:
        record: where it is.
        name: how it is called there.
    """

    def __init__(self, record: str, name: str) -> None:
        self._record, self._name = record, name

    def read(self, content: RecordDict, records: int) -> bytes:
        """The key."""
        found = content.get(self._record)
        key = found.get(self._name) if isinstance(found, ConfigRecord) else None
        if not isinstance(key, bytes) or len(key) != KEY:
            raise BadReplyError("shares", "has no public key")
        return key


class SecretsCheck(Generic[R]):
    """A record of shares for an exchange: of the right types; how long they are is told by `shares_fit`.

    Args:
        kind: its class.
        record: where it is.
        exchange: number of the exchange.
    """

    def __init__(self, kind: type[R], record: str, exchange: int) -> None:
        self._kind: type[R] = kind
        self._record, self._exchange = record, exchange

    def read(self, content: RecordDict, records: int) -> R:
        """The record."""
        found = content.get(self._record)
        if content.keys() != {self._record} or not isinstance(found, ConfigRecord):
            raise BadReplyError("groups", f"has other records than {self._record}")
        if set(found) != {field.name for field in fields(self._kind)}:
            raise BadReplyError("shares", "has other fields than its shares'")
        for field in fields(self._kind):
            value = found[field.name]
            values = value if get_origin(field.type) is list and isinstance(value, list) else [value]
            wanted: Any = get_args(field.type)[0] if get_args(field.type) else field.type
            if any(type(one) is not wanted for one in values):
                raise BadReplyError("shares", f"has a field {field.name} of another type")
        reply: R = self._kind(**found)
        if reply.exchange != self._exchange:
            raise BadReplyError("stale", f"answers exchange {reply.exchange}")
        return reply


def shares_fit(shares: Shares, session: Session, sender: int) -> bool:
    """Whether a member's shares and proofs have the sizes that they must have; it has none for itself."""

    def sized(parts: list[bytes], size: int) -> bool:
        wanted = [0 if member == sender else size for member in session.members]
        return list(map(len, parts)) == wanted

    lengths = (len(shares.key), len(shares.check)) == (KEY, hashlib.sha256().digest_size)
    return lengths and sized(shares.proofs, SEED) and sized(shares.sealed, 2 * SHARE + TAG)


def opened_fits(opened: Opened, count: int) -> bool:
    """Whether a member says a share for each of `count` members."""
    return list(map(len, opened.shares)) == [SHARE] * count


def numbers_in(groups: dict[str, dict[str, Any]]) -> int:
    """How many numbers are in all groups."""
    return sum(math.prod(array.shape) for arrays in groups.values() for array in arrays.values())
