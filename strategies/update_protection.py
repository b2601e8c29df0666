"""The mean of clients' updates under differential privacy, secure aggregation, or both.

Without secure aggregation the server sees single updates; with noise it weighs, clips and sums them itself. With secure
aggregation clients do that, and it opens the sum. Noise is added to the sum, and the mean goes to the rules of the
exchange as if one client had said it.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.config import FEWEST_IN_SUM, FederationConfig, ProtectionConfig
from fl_tiprdc.wire.arrays import Arrays, GroupArrays
from fl_tiprdc.wire.messages import CONFIG, LOSSES, Instruction
from fl_tiprdc.wire.update_rows import contributions, stack, unflatten
from strategies.differential_privacy import PrivateMean
from strategies.reply_check import Refusal, ReplyCheck
from strategies.roster import Roster
from strategies.secagg_reply_check import MaskedReplyCheck, numbers_in
from strategies.secure_sum import SecureSum, SecureSumError, Sum
from strategies.server_draws import ServerDraws

LOST = dict.fromkeys(LOSSES, math.nan)


class ProtectedMean:
    """From the draw of an exchange's clients to the mean of what they say.

    Args:
        protection: which protection.
        roster: the clients.
        training: name of this training, which no other has; members are told.
        seed: of the experiment.
        federation: how long secure aggregation waits for answers.
        draws: where the server's coins and noise come from, of this training alone; None: there is no noise.

    Raises:
        ValueError: noise is asked for, and there is nothing to draw it from.

    Attributes:
        present: of the clients asked, those who are asked for an update.
        sampling: with noise, the largest probability that a client had to be drawn.
    """

    def __init__(
        self,
        protection: ProtectionConfig,
        roster: Roster,
        training: str,
        seed: int,
        federation: FederationConfig,
        draws: ServerDraws | None = None,
    ) -> None:
        if bool(protection.noise) != (draws is not None):
            raise ValueError("noise and what it is drawn from go together")
        self._roster = roster
        self._private = PrivateMean(protection, draws) if draws is not None else None
        self._secure = SecureSum(protection, roster, training, seed, federation) if protection.secagg else None
        self._expected = 0.0
        self.sampling = 0.0
        self.present: tuple[int, ...] = ()
        self._weights: dict[int, float] = {}
        self._sum: Sum | None = None

    @property
    def draws(self) -> bool:
        """Whether it draws clients itself."""
        return self._private is not None

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """Who failed before an update was asked for."""
        return self._sum.refused if self._sum else ()

    @property
    def bytes_down(self) -> int:
        """What was sent beside arrays."""
        return self._sum.bytes_down if self._sum else 0

    @property
    def bytes_up(self) -> int:
        """What was received beside updates."""
        return self._sum.bytes_up if self._sum else 0

    def draw(self, exchange: int, count: int, by_records: bool) -> Mapping[int, float]:
        """Partition id -> weight of about `count` clients; nobody where too few for a secure sum were drawn."""
        assert self._private is not None
        drawn = self._private.draw(self._roster, exchange, count, by_records)
        self._expected, self.sampling = drawn.expected, drawn.sampling
        # who is drawn depends on nobody's records: it costs no privacy when the sum is left out and noise remains
        return {} if self._secure and len(drawn.weights) < FEWEST_IN_SUM else drawn.weights

    def begin(
        self, grid: Grid, exchange: int, asked: Mapping[int, float], content: RecordDict, sent: GroupArrays
    ) -> Iterable[int]:
        """What comes before updates are asked for; adds to the message's content what clients need to mask theirs.

        Args:
            grid: the clients.
            exchange: its number.
            asked: partition id -> weight; 0: its number of records.
            content: of the message that asks for updates.
            sent: the arrays in it.

        Returns:
            Those who are asked for an update.

        Raises:
            SecureSumError: too few are left.
        """
        self._weights = {p: weight or float(self._roster.size(p)) for p, weight in asked.items()}
        self._exchange, self._grid, self._sent, self._sum = exchange, grid, sent, None
        self._instruction = Instruction.unpack(content.config_records[CONFIG])
        self.present = tuple(asked)
        if self._secure and asked:
            self._sum = self._secure.begin(grid, exchange, self._weights)
            self.present = tuple(self._sum.work.masks.present)
            for name, record in self._sum.work.records().items():
                content[name] = record
        return self.present

    def check(self, current: GroupArrays) -> ReplyCheck | MaskedReplyCheck:
        """What a good reply is; `current` are the arrays of the groups that come back."""
        if self._secure is None:
            return ReplyCheck(self._exchange, current)
        return MaskedReplyCheck(self._exchange, numbers_in(current) + (0 if self._private else len(LOSSES)))

    def mean(
        self, good: Mapping[int, Any], current: dict[str, Arrays], of_weights: bool
    ) -> tuple[list[GroupArrays], dict[str, float]]:
        """What the crowd says, as one client's reply, and the mean losses.

        Args:
            good: partition id -> update, or masked update.
            current: the arrays of the groups that come back.
            of_weights: clients send weights, not gradients.

        Raises:
            SecureSumError: the sum can't be opened, or is of nobody.
        """
        weight = self._expected if self._private else sum(self._weights[p] for p in good)
        if not weight:
            raise SecureSumError("no client has a record")
        losses = LOST
        if not good:
            total = np.zeros(numbers_in(current))
        elif self._secure:
            assert self._sum is not None
            total = self._secure.open(self._grid, self._sum, self._instruction, self._sent, good)
        else:
            assert self._private is not None
            rows = contributions(
                stack([update.groups for update in good.values()]),
                [self._weights[p] for p in good],
                current if of_weights else None,
                self._private.clip,
            )
            total = rows.sum(axis=0)
        if self._private:
            total = self._private.add_noise(total, self._exchange)
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


def protected_mean(
    protection: ProtectionConfig,
    roster: Roster,
    training: str,
    seed: int,
    federation: FederationConfig,
    draws: ServerDraws | None = None,
) -> ProtectedMean | None:
    """The protection that the settings ask for; None: none. See `ProtectedMean`."""
    if not protection.noise and not protection.secagg:
        return None
    return ProtectedMean(protection, roster, training, seed, federation, draws)
