"""Server's side of secure aggregation: it passes keys and shares on, and opens the sum of those who stayed.

See `fl_tiprdc.secagg.member` for what clients do and refuse. A client that doesn't answer the first step is out of the
exchange. One that doesn't send a masked update after that has dropped, and its masks are taken off with the key that
the others open. The update of one that is lost in the last step stays in the sum, if enough others are left.

Where all clients are members, the last step also asks for the next exchange's shares: two messages each, not three.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    KEYS,
    NEXT,
    OPEN,
    OPENING,
    PUBLIC_KEY_FIELD,
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
from fl_tiprdc.wire.messages import SEED_FIELD, Instruction
from fl_tiprdc.wire.replies import answered, needed
from fl_tiprdc.wire.update_rows import Rows
from strategies.reply_check import Refusal, Replies, sort_replies
from strategies.roster import Roster
from strategies.secagg_reply_check import KeyCheck, OpenedCheck, SharesCheck, opened_fits, shares_fit
from strategies.server_draws import TrainingName

SPEAKER_SETS = 300  # sets of members whose shares are tried for a secret, as some may reveal wrong ones


class SecureSumError(RuntimeError):
    """Says why the sum of an exchange can't be opened."""


@dataclass
class Sum:
    """Holds a sum between the first step of its exchange and the last.

    Attributes:
        work: secure work that members are asked for.
        shares: partition id -> shares of those present.
        refused: refusals in the first step; these clients are out of the exchange.
        bytes_down: size of what was sent in the steps beside the masked updates.
        bytes_up: size of what was received in them.
    """

    work: SecureWork
    shares: Mapping[int, Shares]
    refused: tuple[Refusal, ...]
    bytes_down: int = 0
    bytes_up: int = 0


class SecureSum:
    """Sums clients' updates without seeing a single one.

    Args:
        protection: says how many clients must stay, and whether updates are clipped.
        roster: tells which node is which client.
        name: name of the training and of the attempt at it.
        seed: seed of the experiment.
        federation: says how long to wait for answers, and for how many.
    """

    def __init__(
        self, protection: ProtectionConfig, roster: Roster, name: TrainingName, seed: int, federation: FederationConfig
    ) -> None:
        self._protection, self._roster = protection, roster
        self._timeout, self._quorum = federation.timeout, federation.quorum
        self._name, self._seed = name, seed
        self._keys: dict[int, bytes] = {}  # clients are asked for them once
        self._ahead: tuple[Session, Mapping[int, Shares]] | None = None  # of the exchange that should come next

    def _ask(self, grid: Grid, kind: str, contents: Mapping[int, RecordDict], check: Any) -> Replies[Any]:
        messages = [Message(c, dst_node_id=self._roster.node(p), message_type=kind) for p, c in contents.items()]
        replies = list(grid.send_and_receive(messages, timeout=self._timeout))
        closed = self._quorum < 1 and answered(replies) >= needed(len(messages), self._quorum)
        return sort_replies(replies, contents, self._roster, check, closed)

    def begin(self, grid: Grid, exchange: int, weights: Mapping[int, float]) -> Sum:
        """Take the first step: collect the members' keys and shares.

        Args:
            grid: reaches the clients.
            exchange: number of the exchange.
            weights: partition id -> weight of those asked.

        Raises:
            SecureSumError: too many clients are asked, or don't answer.
        """
        if len(weights) > MOST_CLIENTS:
            raise SecureSumError(f"a secure sum holds {MOST_CLIENTS} clients; {len(weights)} are asked")
        new = [partition for partition in weights if partition not in self._keys]
        question = RecordDict({SESSION: ConfigRecord({SEED_FIELD: self._seed})})
        check = KeyCheck(SESSION, PUBLIC_KEY_FIELD)
        key_replies = self._ask(grid, KEYS, dict.fromkeys(new, question), check) if new else Replies({}, ())
        self._keys |= key_replies.good
        members = sorted(partition for partition in weights if partition in self._keys)
        least = max(FEWEST_IN_SUM, self._protection.needed(len(members)))
        self._require(len(members), least, len(weights), key_replies)
        keys = [self._keys[member] for member in members]
        session = Session(self._name.training, self._seed, exchange, members, keys, least, self._name.attempt)
        request = RecordDict({SESSION: session.pack()})
        ahead = self._ahead[1] if self._ahead and self._ahead[0] == session else {}
        missing = [member for member in members if member not in ahead]
        replies: Replies[Shares] = Replies({}, ())
        if missing:
            replies = self._ask(grid, SHARES, dict.fromkeys(missing, request), SharesCheck(exchange))
        misfits = {m for m, reply in replies.good.items() if not shares_fit(reply, session, m)}
        refused = [*key_replies.refused, *replies.refused]
        refused += [Refusal("shares", f"client {m}'s reply has shares of other sizes") for m in sorted(misfits)]
        sent = {m: reply for m, reply in replies.good.items() if m not in misfits}
        shares = dict(sorted({**ahead, **sent}.items()))
        self._require(len(shares), least, len(weights), Replies(shares, tuple(refused)))
        masks = MaskRequest(
            list(shares),
            [reply.key for reply in shares.values()],
            [proof for reply in shares.values() for proof in reply.proofs],
            [float(weights[m]) for m in shares],
            self._protection.clip if self._protection.noise else 0.0,
            not self._protection.noise,
        )
        down = len(missing) * request.config_records[SESSION].count_bytes()
        down += len(shares) * sum(record.count_bytes() for record in SecureWork(session, masks).records().values())
        up = sum(reply.pack().count_bytes() for reply in sent.values())
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
        """Return each member's seed: of its self-mask if it stayed, else of its key; wrong shares are found out."""
        session = begun.work.session
        places = {member: place + 1 for place, member in enumerate(session.members)}
        speakers, seeds = list(opened)[: session.threshold], dict[int, bytes]()
        generator = numpy_generator(0, "speakers", session.training, session.exchange)
        for i, (member, here) in enumerate(stayed.items()):
            shares = begun.shares[member]
            for _ in range(SPEAKER_SETS):
                try:
                    seed = combine({places[s]: opened[s].shares[i] for s in speakers})
                except ValueError:
                    seed = b""
                if seed and (seed_check(seed) == shares.check if here else public_key(seed) == shares.key):
                    seeds[member] = seed
                    break
                speakers = generator.choice(list(opened), session.threshold, replace=False).tolist()
            else:
                raise SecureSumError(f"secure aggregation: the shares of client {member}'s secret don't fit together")
        return seeds

    def open(
        self, grid: Grid, begun: Sum, instruction: Instruction, sent: GroupArrays, updates: Mapping[int, MaskedUpdate]
    ) -> Rows:
        """Take the last step: return the sum [numbers] of masked updates.

        Args:
            grid: reaches the clients.
            begun: outcome of the first step.
            instruction: instruction that members carried out.
            sent: arrays that they were sent.
            updates: partition id -> masked update, in the order of partition ids.

        Raises:
            SecureSumError: too few members are left, or their shares don't fit together.
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
        # whoever is a member now is one in the next exchange, unless clients are drawn; with a quorum, somebody who is
        # late now would be waited for alone then
        following = replace(session, exchange=session.exchange + 1)
        everybody = len(session.members) == len(self._roster.partitions) and self._quorum == 1
        shared = {SESSION: session.pack(), **({NEXT: following.pack()} if everybody else {})}
        contents = {m: RecordDict({**shared, OPENING: request.pack()}) for m, request in requests.items()}
        replies = self._ask(grid, OPEN, contents, OpenedCheck(session.exchange, everybody))
        opened = {m: reply for m, (reply, _) in replies.good.items() if opened_fits(reply, len(present))}
        ahead = {m: reply for m, (_, reply) in replies.good.items() if reply and shares_fit(reply, following, m)}
        self._ahead = (following, ahead)
        self._require(len(opened), session.threshold, len(session.members), replies)
        begun.bytes_down += sum(r.count_bytes() for c in contents.values() for r in c.config_records.values())
        begun.bytes_up += sum(reply.pack().count_bytes() for reply in (*opened.values(), *ahead.values()))
        seeds = self._seeds(begun, opened, {member: member in updates for member in present})
        total: Words = np.sum([update.words for update in updates.values()], axis=0, dtype=np.uint64)
        transcript, stream = begun.work.transcript(instruction, sent), MaskStream(len(total))
        for member in stayed:
            total -= stream.expand(self_mask_seed(seeds[member], transcript))
            for other in dropped:
                mask = stream.expand(pair_mask_seed(seeds[other], begun.shares[member].key, transcript))
                if member < other:
                    total -= mask
                else:
                    total += mask
        try:
            return decode(total, len(stayed))
        except ValueError as error:
            raise SecureSumError(f"secure aggregation: {error}") from None
