"""Client-level differential privacy: what a client's records change in the mean drowns in noise of the server's.

Clients are drawn by coins, their updates are clipped and summed, the server adds Gaussian noise to the sum and takes
the step that the noisy mean says (McMahan et al. 2018, arXiv 1710.06963). The server is trusted with single updates,
unless secure aggregation hides them too; everybody who sees the model afterwards is not.

What the ε of `fl_tiprdc.evaluation.privacy_budget` is about, and what makes it true:

- Neighbours are two crowds that differ in *all records of one client*, which are there in one and contribute nothing in
  the other. Who is a client and how many records it holds is public, and so are weights and the mean's denominator.
- A client's part in an exchange, all groups in one vector and *with its weight*, has a norm of at most the clipping
  norm: that is the sensitivity, also where a large client counts more than once.
- Each client is drawn by a coin of its own (Poisson sampling), as the accountant assumes. The draw without noise
  (`Roster.draw`) is systematic: exactly so many draws, large clients more than once. Whether one client is in it tells
  about the others, so that no accountant's amplification by sampling holds for it. Here client i is drawn with
  probability p_i = min(1, m n_i / n), for n_i of n records and m clients on average, and weighs m n_i / (n p_i), which
  is 1 but for clients with more than n/m records. The sum's expectation over m is the mean over all records, as
  without noise. The accountant is told the largest p_i: the ε of everybody is at most that of the largest client.
- Coins and noise of an exchange are used once: no other exchange or training has the same.
- Nobody but the server knows the coins. With secure aggregation those who were drawn are told who else was: against
  them, and whoever works with them, there is no amplification.

Where coins and noise come from, `strategies.server_draws` tells: in a simulation from a seed, and whoever knows it can
take the noise away. Its floating-point noise is no defence against an attack on its last bits (Mironov 2012).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fl_tiprdc.config import ProtectionConfig
from fl_tiprdc.wire.update_rows import Rows
from strategies.roster import Roster
from strategies.server_draws import ServerDraws


@dataclass(frozen=True)
class Drawn:
    """Clients of an exchange.

    Attributes:
        weights: partition id -> weight, in order; 0: the client's number of records.
        sampling: with noise, the largest probability that a client had to be drawn.
        expected: with noise, the weights' expected sum, the mean's denominator: it doesn't depend on who was drawn.
    """

    weights: Mapping[int, float]
    sampling: float = 0.0
    expected: float = 0.0


class PrivateMean:
    """Draws clients and adds noise.

    Args:
        protection: noise multiplier and clipping norm.
        draws: where coins and noise come from, of this training alone.
    """

    def __init__(self, protection: ProtectionConfig, draws: ServerDraws) -> None:
        self.clip = protection.clip
        self._deviation = protection.noise * protection.clip
        self._draws = draws

    def draw(self, roster: Roster, exchange: int, count: int, by_records: bool) -> Drawn:
        """About `count` clients.

        Args:
            roster: all of them.
            exchange: number of the exchange.
            count: how many are drawn on average.
            by_records: with probabilities in proportion to their records; else all alike, with weights in proportion.
        """
        sizes = np.array([roster.size(partition) for partition in roster.partitions], dtype=np.float64)
        parts = count * sizes / max(1.0, sizes.sum())
        chances = np.minimum(1.0, parts if by_records else np.full(len(sizes), count / len(sizes)))
        coins = self._draws.coins(exchange, len(sizes)) < chances
        weights = {
            roster.partitions[i]: float(parts[i] / chances[i]) for i in np.flatnonzero(coins & (sizes > 0)).tolist()
        }
        return Drawn(weights, float(chances.max()), float(count))

    def add_noise(self, total: Rows, exchange: int) -> Rows:
        """The sum of clipped updates, in which nobody can be made out."""
        return total + self._deviation * self._draws.noise(exchange, total.size).reshape(total.shape)
