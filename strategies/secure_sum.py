"""The server's side of secure aggregation: it deals out keys and shares, and opens the sum of those who stayed.

See `fl_tiprdc.secagg.member` for what clients do and refuse. Who doesn't answer the first step is out of the
exchange; who doesn't send a masked update after that has dropped, and its masks are taken off with the key that
the others open; who is lost in the last step is in the sum all the same, as long as enough others are there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.config import FEWEST_IN_SUM, FederationConfig, ProtectionConfig
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.secagg.fixed_point import MOST_CLIENTS, Words, decode
from fl_tiprdc.secagg.masks import MaskStream, public_key
from fl_tiprdc.secagg.member import pair_mask_seed, seed_check, self_mask_seed
from fl_tiprdc.secagg.messages import (
    KEY,
    KEYS,
    OPEN,
    OPENING,
    SESSION,
    SHARES,
    MaskedUpdate,
    MaskRequest,
    Opened,
    OpenRequest,
    SecureWork,
    Session,
    Shares,
)
from fl_tiprdc.secagg.sharing import combine
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.wire.messages import SEED, Instruction
from fl_tiprdc.wire.replies import answered, needed
from fl_tiprdc.wire.update_rows import Rows
from strategies.reply_check import Refusal, Replies, sort_replies
from strategies.roster import Roster
from strategies.secagg_reply_check import KeyCheck, SecretsCheck, opened_fits, shares_fit

TRIES = 300  # sets of members from whose shares a secret is put together, where some tell wrong ones


class SecureSumError(RuntimeError):
    """The sum of an exchange can't be opened."""


@dataclass
class Sum:
    """A sum in the making: an exchange between its first step and its last.

    Attributes:
        work: what members are asked for.
        shares: of those present.
        refused: who is out after the first step, and why.
        bytes_down: of the steps beside the masked updates, sent.
        bytes_up: of those, received.
    """

    work: SecureWork
    shares: Mapping[int, Shares]
    refused: tuple[Refusal, ...]
    bytes_down: int = 0
    bytes_up: int = 0


class SecureSum:
    """Sums updates of clients of which it sees none.

    Args:
        protection: how many must stay; whether updates are clipped.
        roster: the clients.
        training: name of the training, which no other has.
        seed: of the experiment.
        federation: how long to wait for answers, and for how many.
    """

    def __init__(
        self, protection: ProtectionConfig, roster: Roster, training: str, seed: int, federation: FederationConfig
    ) -> None:
        self._protection, self._roster = protection, roster
        self._timeout, self._quorum = federation.timeout, federation.quorum
        self._training, self._seed = training, seed
        self._keys: dict[int, bytes] = {}  # told once

    def _ask(self, grid: Grid, kind: str, contents: Mapping[int, RecordDict], check: Any) -> Replies[Any]:
        messages = [Message(c, dst_node_id=self._roster.node(p), message_type=kind) for p, c in contents.items()]
        came = list(grid.send_and_receive(messages, timeout=self._timeout))
        closed = self._quorum < 1 and answered(came) >= needed(len(messages), self._quorum)
        return sort_replies(came, contents, self._roster, check, closed)

    def begin(self, grid: Grid, exchange: int, weights: Mapping[int, float]) -> Sum:
        """The first step, with those who are asked.

        Args:
            grid: the clients.
            exchange: its number.
            weights: partition id -> weight of those asked.

        Raises:
            SecureSumError: too many don't answer, or are asked.
        """
        if len(weights) > MOST_CLIENTS:
            raise SecureSumError(f"a secure sum holds {MOST_CLIENTS} clients; {len(weights)} are asked")
        new = [partition for partition in weights if partition not in self._keys]
        question = RecordDict({SESSION: ConfigRecord({SEED: self._seed})})
        told = self._ask(grid, KEYS, dict.fromkeys(new, question), KeyCheck(SESSION, KEY)) if new else Replies({}, ())
        self._keys |= told.good
        members = sorted(partition for partition in weights if partition in self._keys)
        least = max(FEWEST_IN_SUM, self._protection.needed(len(members)))
        self._require(len(members), least, len(weights), told)
        session = Session(self._training, self._seed, exchange, members, [self._keys[m] for m in members], least)
        request = RecordDict({SESSION: session.pack()})
        got = self._ask(grid, SHARES, dict.fromkeys(members, request), SecretsCheck(Shares, SESSION, exchange))
        misfits = {m for m, shares in got.good.items() if not shares_fit(shares, session, m)}
        refused = [*told.refused, *got.refused]
        refused += [Refusal("shares", f"client {m}'s reply has shares of other sizes") for m in sorted(misfits)]
        shares = {m: one for m, one in got.good.items() if m not in misfits}
        self._require(len(shares), least, len(weights), Replies(shares, tuple(refused)))
        masks = MaskRequest(
            list(shares),
            [one.key for one in shares.values()],
            [proof for one in shares.values() for proof in one.proofs],
            [float(weights[m]) for m in shares],
            self._protection.clip if self._protection.noise else 0.0,
            not self._protection.noise,
        )
        down = len(members) * request.config_records[SESSION].count_bytes()
        down += len(shares) * sum(record.count_bytes() for record in SecureWork(session, masks).records().values())
        up = sum(one.pack().count_bytes() for one in shares.values())
        return Sum(SecureWork(session, masks), shares, tuple(refused), down, up)

    @staticmethod
    def _require(there: int, least: int, asked: int, replies: Replies[Any]) -> None:
        if there < least:
            reason = f"; the first: {replies.first_reason}" if replies.refused else ""
            raise SecureSumError(
                f"secure aggregation needs {least} of {asked} clients to stay, {there} are left{reason}"
            )

    @staticmethod
    def _seeds(begun: Sum, opened: Mapping[int, Opened], stayed: Mapping[int, bool]) -> dict[int, bytes]:
        """The seed of each member's self-mask if it stayed, else of its key; who tells wrong shares is left out."""
        session = begun.work.session
        places = {member: place + 1 for place, member in enumerate(session.members)}
        speakers, found = list(opened)[: session.threshold], dict[int, bytes]()
        generator = numpy_generator(0, "speakers", session.training, session.exchange)
        for i, (member, here) in enumerate(stayed.items()):
            shares = begun.shares[member]
            for _ in range(TRIES):
                try:
                    seed = combine({places[s]: opened[s].shares[i] for s in speakers})
                except ValueError:
                    seed = b""
                if seed and (seed_check(seed) == shares.check if here else public_key(seed) == shares.key):
                    found[member] = seed
                    break
                speakers = generator.choice(list(opened), session.threshold, replace=False).tolist()
            else:
                raise SecureSumError(f"secure aggregation: the shares of client {member}'s secret don't fit together")
        return found

    def open(
        self, grid: Grid, begun: Sum, instruction: Instruction, sent: GroupArrays, updates: Mapping[int, MaskedUpdate]
    ) -> Rows:
        """The sum of masked updates.

        Args:
            grid: the clients.
            begun: the exchange's first step.
            instruction: that members carried out.
            sent: arrays that they were sent.
            updates: partition id -> its words, in the order of partition ids.

        Raises:
            SecureSumError: too few are left, or what they say doesn't fit.
        """
        session, masks = begun.work.session, begun.work.masks
        present, stayed = masks.present, list(updates)
        dropped = [member for member in present if member not in updates]
        self._require(len(stayed), session.threshold, len(session.members), Replies({}, ()))
        places = {member: place for place, member in enumerate(session.members)}
        flags = [member in updates for member in present]
        requests = {
            m: OpenRequest(present, flags, [begun.shares[p].sealed[places[m]] for p in present]) for m in stayed
        }
        contents = {
            m: RecordDict({SESSION: session.pack(), OPENING: request.pack()}) for m, request in requests.items()
        }
        got = self._ask(grid, OPEN, contents, SecretsCheck(Opened, OPENING, session.exchange))
        opened = {m: one for m, one in got.good.items() if opened_fits(one, len(present))}
        self._require(len(opened), session.threshold, len(session.members), got)
        begun.bytes_down += sum(r.count_bytes() for c in contents.values() for r in c.config_records.values())
        begun.bytes_up += sum(one.pack().count_bytes() for one in opened.values())
        seeds = self._seeds(begun, opened, {member: member in updates for member in present})
        total: Words = np.sum([one.words for one in updates.values()], axis=0, dtype=np.uint64)
        transcript, stream = begun.work.transcript(instruction, sent), MaskStream(len(total))
        for member in stayed:
            total -= stream.expand(self_mask_seed(seeds[member], transcript))
            for gone in dropped:
                mask = stream.expand(pair_mask_seed(seeds[gone], begun.shares[member].key, transcript))
                if member < gone:
                    total -= mask
                else:
                    total += mask
        try:
            return decode(total, len(stayed))
        except ValueError as error:
            raise SecureSumError(f"secure aggregation: {error}") from None
