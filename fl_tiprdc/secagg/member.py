"""A client's side of secure aggregation (Bonawitz et al. 2017, ePrint 2017/281).

What a member sends is its update plus a mask of its own plus, for each other member, a mask that both of the pair know:
one adds it, one subtracts it, so that they cancel in the sum. Members share out, among each other and sealed, the seeds
of their self-mask and of their key for the exchange. In the end each says, for every other member, *one* of the two: of
those who stayed the self-mask, of those who dropped the key, from which the masks of its pairs follow. The server needs
more than half of the members to open either, so it never gets both of anybody.

Every exchange has keys and self-masks of its own, so that what is opened in one says nothing about another, and who
dropped comes back with the same long-term key. What goes beyond the paper:

- a proof under the pair's long-term keys goes with each key of an exchange: the server can't put its own in the place;
- masks derive from a hash of everything that members were sent: a server that sends one of them another model, to read
  its update off the sum, gets noise (Pasquini et al. 2022 is that attack);
- a member takes no part in a session with a threshold below `FEWEST_IN_SUM` or of half of its members or less, and
  opens one sum of an exchange, whichever sessions it is asked for.

Everything random derives from the client's secret and the session, so that a simulation can be repeated, and a client
whose process died gives the same answer when it is asked again. Real clients must draw the secret at random.
"""

import hashlib
import hmac
from typing import Protocol

from fl_tiprdc.config import FEWEST_IN_SUM
from fl_tiprdc.secagg.fixed_point import MOST_CLIENTS, Words
from fl_tiprdc.secagg.masks import (
    SEED,
    MaskStream,
    agree,
    agree_for_long,
    derive_bytes,
    public_key,
    seal,
    unseal,
)
from fl_tiprdc.secagg.messages import MaskRequest, Opened, OpenRequest, Session, Shares
from fl_tiprdc.secagg.sharing import COEFFICIENT, SHARE, split


def self_mask_seed(seed: bytes, transcript: bytes) -> bytes:
    """Seed of a member's own mask."""
    return derive_bytes(seed, "self-mask", transcript)


def pair_mask_seed(seed: bytes, other: bytes, transcript: bytes) -> bytes:
    """Seed of a pair's mask, from one's seed and the other's key, both of this exchange."""
    return derive_bytes(agree(seed, other), "pair-mask", transcript)


def seed_check(seed: bytes) -> bytes:
    """What tells the right seed of a self-mask from a wrong one, and nothing else."""
    return hashlib.sha256(b"self-mask" + seed).digest()


class Ledger(Protocol):
    """What a client has opened, by exchange."""

    def get(self, name: str, /) -> object:
        """What is noted; None: nothing."""

    def __setitem__(self, name: str, text: str, /) -> None: ...


class Member:
    """One client as a member of sums.

    Args:
        partition: which client.
        secret: that only it knows.
    """

    def __init__(self, partition: int, secret: int) -> None:
        self._me = partition
        self._identity = derive_bytes(str(secret).encode(), "identity")

    @property
    def key(self) -> bytes:
        """Its public key."""
        return public_key(self._identity)

    def _check(self, session: Session) -> None:
        members, least = session.members, FEWEST_IN_SUM
        if not least <= len(members) <= MOST_CLIENTS or len(set(members)) < len(members):
            raise ValueError(f"a sum must have {least} to {MOST_CLIENTS} different members")
        if session.threshold < least or not len(members) < 2 * session.threshold <= 2 * len(members):
            raise ValueError(f"the threshold {session.threshold} of {len(members)} isn't {least} and more than half")
        if self._me not in members or session.keys[members.index(self._me)] != self.key:
            raise ValueError("is no member, or not with its own key")

    def _own(self, session: Session, purpose: str, length: int = SEED) -> bytes:
        return derive_bytes(self._identity, purpose, session.digest, length)

    def _with(self, session: Session, place: int, purpose: str, context: bytes = b"") -> bytes:
        """A secret of this session with another member."""
        return derive_bytes(agree_for_long(self._identity, session.keys[place]), purpose, session.digest + context)

    def _shares(self, session: Session) -> list[bytes]:
        """For each member, its share of the key's seed and of the self-mask's."""
        count, length = len(session.members), COEFFICIENT * (session.threshold - 1)
        stream = bytearray(MaskStream(length // 4).expand(self._own(session, "polynomials")).tobytes())
        keys, masks = (
            split(self._own(session, purpose), session.threshold, count, bytes(stream[i * length : (i + 1) * length]))
            for i, purpose in enumerate(("key", "self"))
        )
        return [key + mask for key, mask in zip(keys, masks, strict=True)]

    def share(self, session: Session) -> Shares:
        """The first step.

        Raises:
            ValueError: a session that it takes no part in.
        """
        self._check(session)
        key = public_key(self._own(session, "key"))
        others = [place for place, member in enumerate(session.members) if member != self._me]
        proofs, sealed = [b""] * len(session.members), [b""] * len(session.members)
        parts = self._shares(session)
        for place in others:
            proofs[place] = self._with(session, place, "proof", key)
            sealed[place] = seal(self._with(session, place, f"share of {self._me}"), parts[place])
        return Shares(session.exchange, key, seed_check(self._own(session, "self")), proofs, sealed)

    def mask(self, session: Session, request: MaskRequest, transcript: bytes, words: Words, stream: MaskStream) -> None:
        """The second step: mask a row of words in place.

        Raises:
            ValueError: a session that it takes no part in, or a key that isn't a member's.
        """
        self._check(session)
        present, size = request.present, len(session.members)
        if len(present) < session.threshold or self._me not in present or len(set(present)) < len(present):
            raise ValueError(f"{len(present)} members are present; {session.threshold} must be, and this one")
        own_place, seed = session.members.index(self._me), self._own(session, "key")
        for i, (other, key) in enumerate(zip(present, request.keys, strict=True)):
            if other == self._me:
                continue
            wanted = self._with(session, session.members.index(other), "proof", key)
            if not hmac.compare_digest(request.proofs[i * size + own_place], wanted):
                raise ValueError(f"the key of client {other} isn't its own")
            mask = stream.expand(pair_mask_seed(seed, key, transcript))
            if self._me < other:
                words += mask
            else:
                words -= mask
        words += stream.expand(self_mask_seed(self._own(session, "self"), transcript))

    def open(self, session: Session, request: OpenRequest, ledger: Ledger) -> Opened:
        """The third step: shares that open the sum of those who stayed.

        Args:
            session: who sums.
            request: who stayed.
            ledger: notes of what this client has opened; it opens one sum of an exchange.

        Raises:
            ValueError: a request that could open more than one sum.
            cryptography.exceptions.InvalidTag: shares that aren't a member's.
        """
        self._check(session)
        asked, stayed = request.members, dict(zip(request.members, request.stayed, strict=True))
        if len(stayed) < len(asked) or not stayed.keys() <= set(session.members):
            raise ValueError("a member must have stayed or dropped, once")
        if not stayed.get(self._me) or sum(stayed.values()) < session.threshold:
            raise ValueError(f"{sum(stayed.values())} stayed; {session.threshold} must, and this one")
        _note(ledger, session, OpenRequest(asked, request.stayed, []))
        mine = self._shares(session)[session.members.index(self._me)]
        found: list[bytes] = []
        for member, sealed in zip(asked, request.sealed, strict=True):
            if member == self._me:
                both = mine
            else:
                key = self._with(session, session.members.index(member), f"share of {member}")
                both = unseal(key, sealed)
            found.append(both[SHARE:] if stayed[member] else both[:SHARE])
        return Opened(session.exchange, found)


def _note(ledger: Ledger, session: Session, opened: OpenRequest) -> None:
    """Write down what is opened; the same again changes nothing.

    Raises:
        ValueError: another sum of this exchange was opened before: their difference would be single updates.
    """
    name = hashlib.sha256(f"{session.training}\x1f{session.exchange}".encode()).hexdigest()
    text = session.digest.hex() + opened.digest.hex()
    earlier = ledger.get(name)
    if earlier is None:
        ledger[name] = text
    elif earlier != text:
        raise ValueError("has opened another sum of this exchange")
