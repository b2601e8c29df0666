"""A client's side of secure aggregation (Bonawitz et al. 2017, ePrint 2017/281).

A member sends its update plus a mask of its own plus one mask for each other member, which both of the pair know: one
adds it and the other subtracts it, so that the two cancel in the sum. Members give each other sealed shares of two
seeds: that of their self-mask and that of their key for the exchange. In the last step each of them reveals, for every
member, its share of *one* of the two: of the self-mask if that member stayed, of the key if it dropped. The masks of a
pair follow from the key. More than half of the members must reveal the same one, so the server never gets both.

Every exchange has keys and self-masks of its own: what is opened in one says nothing about another, and a member that
dropped comes back with the same long-term key. Three things go beyond the paper:

- a proof under the pair's long-term keys comes with each key of an exchange, so that the server can't put its own in
  the place;
- masks derive from a hash of everything that members were sent, so that a server gets noise if it sends one of them
  another model to read its update off the sum (the attack of Pasquini et al. 2022);
- a member takes no part in a session whose threshold is below `FEWEST_IN_SUM` or no more than half of its members,
  masks one update in a session, and opens one sum of an exchange, whichever sessions it is asked for.

Everything random derives from the client's secret and the session, so that a simulation can be repeated, and a client
whose process died gives the same answer when it is asked again. Where clients are real, a server that is started anew
begins another attempt, whose sessions have masks of their own: an exchange that is asked again may have others present.
Real clients must draw the secret at random.
"""

import hashlib
import hmac
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from fl_tiprdc.config import FEWEST_IN_SUM
from fl_tiprdc.secagg.fixed_point import MOST_CLIENTS, Words
from fl_tiprdc.secagg.masks import (
    SEED_BYTES,
    MaskStream,
    agree,
    agree_for_long,
    derive_bytes,
    public_key,
    seal,
    unseal,
)
from fl_tiprdc.secagg.messages import ONLY_ATTEMPT, MaskRequest, Opened, OpenRequest, Session, Shares
from fl_tiprdc.secagg.sharing import COEFFICIENT_BYTES, SHARE_BYTES, split


def self_mask_seed(seed: bytes, transcript: bytes) -> bytes:
    """Return the seed of a member's own mask."""
    return derive_bytes(seed, "self-mask", transcript)


def pair_mask_seed(seed: bytes, other: bytes, transcript: bytes) -> bytes:
    """Return the seed of a pair's mask, from the seed of one and the key of the other in this exchange."""
    return derive_bytes(agree(seed, other), "pair-mask", transcript)


def seed_check(seed: bytes) -> bytes:
    """Return a hash by which a seed of a self-mask can be checked, and which tells nothing else about it."""
    return hashlib.sha256(b"self-mask" + seed).digest()


class Ledger(Protocol):
    """Keeps what a client has opened, by exchange."""

    def get(self, name: str, /) -> object:
        """Return the text noted under a name; None: there is none."""

    def __setitem__(self, name: str, text: str, /) -> None: ...


class FileLedger:
    """Keeps a simulated client's notes in a file, one a line, which every process that works for the client finds.

    Args:
        path: path of the file, which is made with the first note.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        """Return the text noted under a name; None: there is none."""
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            if line.startswith(f"{name} "):
                return line.partition(" ")[2]
        return None

    def __setitem__(self, name: str, text: str) -> None:
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a") as file:
            file.write(f"{name} {text}\n")


class SumMember:
    """Takes one client's part in sums.

    Args:
        partition: partition id of the client.
        secret: number that only this client knows; everything random derives from it.
    """

    def __init__(self, partition: int, secret: int) -> None:
        self._me = partition
        self._identity = derive_bytes(str(secret).encode(), "identity")

    @property
    def key(self) -> bytes:
        """Return the member's public key, which lasts."""
        return public_key(self._identity)

    def _check(self, session: Session) -> None:
        members, least = session.members, FEWEST_IN_SUM
        if not least <= len(members) <= MOST_CLIENTS or len(set(members)) < len(members):
            raise ValueError(f"a sum must have {least} to {MOST_CLIENTS} different members")
        if session.threshold < least or not len(members) < 2 * session.threshold <= 2 * len(members):
            raise ValueError(f"the threshold {session.threshold} of {len(members)} isn't {least} and more than half")
        if self._me not in members or session.keys[members.index(self._me)] != self.key:
            raise ValueError("is no member, or not with its own key")

    def _own_secret(self, session: Session, purpose: str, length: int = SEED_BYTES) -> bytes:
        return derive_bytes(self._identity, purpose, session.digest, length)

    def _pair_secret(self, session: Session, place: int, purpose: str, context: bytes = b"") -> bytes:
        """Return a secret of this session that only the member at a place knows too."""
        return derive_bytes(agree_for_long(self._identity, session.keys[place]), purpose, session.digest + context)

    def _shares(self, session: Session) -> list[bytes]:
        """Return, for each member, its shares of the key's seed and of the self-mask's, one after the other."""
        count, length = len(session.members), COEFFICIENT_BYTES * (session.threshold - 1)
        stream = MaskStream(length // 4).expand(self._own_secret(session, "polynomials")).tobytes()
        keys, masks = (
            split(self._own_secret(session, purpose), session.threshold, count, randomness)
            for purpose, randomness in (("key", stream[:length]), ("self", stream[length:]))
        )
        return [key + mask for key, mask in zip(keys, masks, strict=True)]

    def share(self, session: Session) -> Shares:
        """Take the first step: return the member's key for the exchange, and sealed shares of its seeds for the others.

        Raises:
            ValueError: the member takes no part in such a session.
        """
        self._check(session)
        key = public_key(self._own_secret(session, "key"))
        others = [place for place, member in enumerate(session.members) if member != self._me]
        proofs, sealed = [b""] * len(session.members), [b""] * len(session.members)
        shares = self._shares(session)
        for place in others:
            proofs[place] = self._pair_secret(session, place, "proof", key)
            sealed[place] = seal(self._pair_secret(session, place, f"share of {self._me}"), shares[place])
        return Shares(session.exchange, key, seed_check(self._own_secret(session, "self")), proofs, sealed)

    def mask(
        self,
        session: Session,
        request: MaskRequest,
        transcript: bytes,
        words: Words,
        stream: MaskStream,
        ledger: "Ledger",
    ) -> None:
        """Take the second step: mask a row of words in place.

        Args:
            session: members of the sum.
            request: tells who is present.
            transcript: hash of everything that members were sent.
            words: [numbers] the update.
            stream: draws masks.
            ledger: notes of what this client has masked; what opens a session's sum takes off every mask of it.

        Raises:
            ValueError: the member takes no part in such a session, has masked something else in it, or a key isn't its
                owner's.
        """
        self._check(session)
        present, size = request.present, len(session.members)
        if len(present) < session.threshold or self._me not in present or len(set(present)) < len(present):
            raise ValueError(f"{len(present)} members are present; {session.threshold} must be, and this one")
        own_place, seed = session.members.index(self._me), self._own_secret(session, "key")
        for i, (other, key) in enumerate(zip(present, request.keys, strict=True)):
            if other == self._me:
                continue
            expected = self._pair_secret(session, session.members.index(other), "proof", key)
            if not hmac.compare_digest(request.proofs[i * size + own_place], expected):
                raise ValueError(f"the key of client {other} isn't its own")
            mask = stream.expand(pair_mask_seed(seed, key, transcript))
            if self._me < other:
                words += mask
            else:
                words -= mask
        name = "mask-" + session.digest.hex()
        if (earlier := ledger.get(name)) is None:
            ledger[name] = transcript.hex()
        elif earlier != transcript.hex():
            raise ValueError("has masked another update in this session")
        words += stream.expand(self_mask_seed(self._own_secret(session, "self"), transcript))

    def open(self, session: Session, request: OpenRequest, ledger: Ledger) -> Opened:
        """Take the third step: return the shares that open the sum of those who stayed.

        Args:
            session: members of the sum.
            request: tells who stayed.
            ledger: notes of what this client has opened; it opens one sum of an exchange.

        Raises:
            ValueError: the request could open more than one sum.
            cryptography.exceptions.InvalidTag: a share isn't the member's that it is said to be from.
        """
        self._check(session)
        asked, stayed = request.members, dict(zip(request.members, request.stayed, strict=True))
        if len(stayed) < len(asked) or not stayed.keys() <= set(session.members):
            raise ValueError("a member must have stayed or dropped, once")
        if not stayed.get(self._me) or sum(stayed.values()) < session.threshold:
            raise ValueError(f"{sum(stayed.values())} stayed; {session.threshold} must, and this one")
        _note(ledger, session, OpenRequest(asked, request.stayed, []))
        own_shares = self._shares(session)[session.members.index(self._me)]
        opened: list[bytes] = []
        for member, sealed in zip(asked, request.sealed, strict=True):
            if member == self._me:
                both = own_shares
            else:
                key = self._pair_secret(session, session.members.index(member), f"share of {member}")
                both = unseal(key, sealed)
            opened.append(both[SHARE_BYTES:] if stayed[member] else both[:SHARE_BYTES])
        return Opened(session.exchange, opened)


def _note(ledger: Ledger, session: Session, opened: OpenRequest) -> None:
    """Note what is opened; opening the same again, also in another attempt, changes nothing.

    Raises:
        ValueError: a sum of other members was opened in this exchange before, and their difference would be single
            updates.
    """
    name = hashlib.sha256(f"{session.training}\x1f{session.exchange}".encode()).hexdigest()
    text = replace(session, attempt=ONLY_ATTEMPT).digest.hex() + opened.digest.hex()
    earlier = ledger.get(name)
    if earlier is None:
        ledger[name] = text
    elif earlier != text:
        raise ValueError("has opened another sum of this exchange")
