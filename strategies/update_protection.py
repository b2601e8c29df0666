"""Mean of clients' updates under differential privacy, secure aggregation, or both.

Without secure aggregation the server sees single updates, and weighs, clips and sums them itself. With secure
aggregation clients weigh and clip, and the server opens the sum. Noise is added to the sum. The mean goes to the rules
of the exchange as if it were the reply of one client.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flwr.app import RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.config import FEWEST_IN_SUM, FederationConfig, ProtectionConfig
from fl_tiprdc.release.arrays import Arrays, GroupArrays
from fl_tiprdc.wire.messages import CONFIG, LOSSES, Instruction
from fl_tiprdc.wire.update_rows import stack, unflatten, update_rows
from strategies.differential_privacy import Drawn, PrivateMean
from strategies.reply_check import Refusal, ReplyCheck
from strategies.roster import Roster
from strategies.secagg_reply_check import MaskedReplyCheck, numbers_in
from strategies.secure_sum import SecureSum, SecureSumError, Sum
from strategies.server_draws import ServerDraws, TrainingName

UNKNOWN_LOSSES = dict.fromkeys(LOSSES, math.nan)


class UpdateProtection:
    """Keeps single clients' updates from the server, or from whoever sees the model, for all exchanges of a training.

    Args:
        protection: says whether to add noise, and whether to aggregate securely.
        roster: tells which node is which client.
        name: name of this training, and of the attempt at it; members are told both.
        seed: seed of the experiment.
        federation: says how long secure aggregation waits for answers.
        draws: source of the coins and the noise of this training alone; None: there is no noise.

    Raises:
        ValueError: noise is asked for without a source, or a source is given without noise.
    """

    def __init__(
        self,
        protection: ProtectionConfig,
        roster: Roster,
        name: TrainingName,
        seed: int,
        federation: FederationConfig,
        draws: ServerDraws | None = None,
    ) -> None:
        if bool(protection.noise) != (draws is not None):
            raise ValueError("noise and what it is drawn from go together")
        self._roster = roster
        self._private = PrivateMean(protection, draws) if draws is not None else None
        self._secure = SecureSum(protection, roster, name, seed, federation) if protection.secagg else None

    @property
    def draws_clients(self) -> bool:
        """Tell whether the protection draws clients itself."""
        return self._private is not None

    def draw(self, exchange: int, count: int, by_records: bool) -> Drawn:
        """Draw `count` clients on average, and return them; nobody if too few for a secure sum were drawn."""
        assert self._private is not None
        drawn = self._private.draw(self._roster, exchange, count, by_records)
        # who is drawn depends on nobody's records: leaving the sum out, with noise alone, costs no privacy
        return replace(drawn, weights={}) if self._secure and len(drawn.weights) < FEWEST_IN_SUM else drawn

    def begin(
        self, grid: Grid, exchange: int, drawn: Drawn, content: RecordDict, sent: GroupArrays
    ) -> "ProtectedExchange":
        """Begin an exchange, and add to the message's content what clients need to mask their updates.

        Args:
            grid: reaches the clients.
            exchange: number of the exchange.
            drawn: clients asked, with their weights; 0: the client's number of records.
            content: content of the message that asks for updates, which is changed.
            sent: arrays in the message.

        Raises:
            SecureSumError: too few clients are left.
        """
        weights = {p: weight or float(self._roster.size(p)) for p, weight in drawn.weights.items()}
        instruction, opening = Instruction.unpack(content.config_records[CONFIG]), None
        if self._secure and weights:
            opening = self._secure.begin(grid, exchange, weights)
            for name, record in opening.work.records().items():
                content[name] = record
        expected = drawn.expected if self._private else None
        return ProtectedExchange(
            exchange, weights, expected, self._private, self._secure, opening, grid, instruction, sent
        )


@dataclass(frozen=True)
class ProtectedExchange:
    """Protects one exchange, from the first step of its sum to the mean of the clients' updates.

    Attributes:
        exchange: number of the exchange.
        weights: partition id -> weight of those asked.
        expected: with noise, the mean's denominator; None: the sum of weights of those who reply.
        private: adds the noise; None: there is none.
        secure: opens the sum; None: the server sees single updates.
        opening: outcome of the sum's first step; None: there is none.
        grid: reaches the clients.
        instruction: instruction that clients carry out.
        sent: arrays that clients are sent.
    """

    exchange: int
    weights: Mapping[int, float]
    expected: float | None
    private: PrivateMean | None
    secure: SecureSum | None
    opening: Sum | None
    grid: Grid
    instruction: Instruction
    sent: GroupArrays

    @property
    def present(self) -> tuple[int, ...]:
        """Return the partition ids of those who are asked for an update, having passed the sum's first step."""
        return tuple(self.opening.work.masks.present) if self.opening else tuple(self.weights)

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """Return the refusals of those who failed before an update was asked for."""
        return self.opening.refused if self.opening else ()

    @property
    def bytes_down(self) -> int:
        """Return the number of bytes sent beside arrays."""
        return self.opening.bytes_down if self.opening else 0

    @property
    def bytes_up(self) -> int:
        """Return the number of bytes received beside updates."""
        return self.opening.bytes_up if self.opening else 0

    def check(self, current: GroupArrays) -> ReplyCheck | MaskedReplyCheck:
        """Return the check of replies; `current` are the arrays of the groups that come back."""
        if self.secure is None:
            return ReplyCheck(self.exchange, current)
        return MaskedReplyCheck(self.exchange, numbers_in(current) + (0 if self.private else len(LOSSES)))

    def mean(
        self, good: Mapping[int, Any], current: dict[str, Arrays], of_weights: bool
    ) -> tuple[list[GroupArrays], dict[str, float]]:
        """Return the mean of the updates, as if it were one client's, and the mean losses.

        Args:
            good: partition id -> update, or masked update.
            current: current arrays of the groups that come back.
            of_weights: takes updates for weights, from which `current` is subtracted before clipping; else gradients.

        Raises:
            SecureSumError: the sum can't be opened, or nobody in it has a record.
        """
        weight = sum(self.weights[p] for p in good) if self.expected is None else self.expected
        if not weight:
            raise SecureSumError("no client has a record")
        losses = UNKNOWN_LOSSES
        if not good:
            total = np.zeros(numbers_in(current))
        elif self.secure:
            assert self.opening is not None
            total = self.secure.open(self.grid, self.opening, self.instruction, self.sent, good)
        else:
            assert self.private is not None
            rows = update_rows(
                stack([update.groups for update in good.values()]),
                [self.weights[p] for p in good],
                current if of_weights else None,
                self.private.clip,
            )
            total = rows.sum(axis=0)
        if self.private:
            total = self.private.add_noise(total, self.exchange)
        else:
            losses = dict(zip(LOSSES, (total[-len(LOSSES) :] / weight).tolist(), strict=True))
            total = total[: -len(LOSSES)]
        mean = unflatten(total / weight, current)
        if of_weights:
            mean = {
                name: {key: (current[name][key] + value).astype(np.float32) for key, value in arrays.items()}
                for name, arrays in mean.items()
            }
        return [mean], losses


def update_protection(
    protection: ProtectionConfig,
    roster: Roster,
    name: TrainingName,
    seed: int,
    federation: FederationConfig,
    draws: ServerDraws | None = None,
) -> UpdateProtection | None:
    """Return the protection that the settings ask for, see `UpdateProtection`; None: they ask for none."""
    if not protection.noise and not protection.secagg:
        return None
    return UpdateProtection(protection, roster, name, seed, federation, draws)
