"""Client-level differential privacy: the server's noise hides what one client's records change in the mean.

Each client is drawn by a coin, the updates are clipped and summed, and the server adds Gaussian noise to the sum and
takes the step of the noisy mean (McMahan et al. 2018, arXiv 1710.06963). The server is trusted with single updates,
unless secure aggregation hides them too; whoever sees the model afterwards is not trusted.

The ε of `fl_tiprdc.evaluation.privacy_budget` rests on this:

- Neighbors are two crowds that differ in *all records of one client*, which are there in one and contribute nothing in
  the other. It is public who is a client and how many records it holds, and so are weights and the mean's denominator.
- A client's part in an exchange, all groups in one vector and *with its weight*, has a norm of at most the clipping
  norm. This is the sensitivity, also where a large client counts more than once.
- Each client is drawn by a coin of its own (Poisson sampling), as the accountant assumes. The draw without noise
  (`Roster.draw`) is systematic: it has a fixed number of draws, and large clients are drawn more than once. Whether one
  client is drawn tells about the others, so that no accountant's amplification by sampling holds for it. Here client i
  is drawn with probability p_i = min(1, m n_i / n), for n_i of n records and m clients on average, and weighs
  m n_i / (n p_i), which is 1 except for clients with more than n/m records. The sum's expectation over m is the mean
  over all records, as without noise. The accountant gets the largest p_i: nobody's ε is above the largest client's.
- Coins and noise of an exchange are used once: no other exchange or training has the same.
- Nobody but the server knows the coins. With secure aggregation, the clients that were drawn learn who else was:
  against them, and whoever works with them, there is no amplification.

`strategies.server_draws` tells where coins and noise come from. In a simulation it is a seed, and whoever knows it can
take the noise away. Noise in floating point doesn't withstand an attack on its last bits (Mironov 2012).
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
    """Names the clients of an exchange.

    Attributes:
        weights: partition id -> weight, in order; 0: the client's number of records.
        sampling: with noise, the largest probability with which a client was drawn; the accountant uses it.
        expected: with noise, the expected sum of weights by which the mean divides, whoever was drawn.
    """

    weights: Mapping[int, float]
    sampling: float = 0.0
    expected: float = 0.0


class PrivateMean:
    """Draws clients, and adds noise to their sum.

    Args:
        protection: noise multiplier and clipping norm.
        draws: source of the coins and the noise of this training alone.
    """

    def __init__(self, protection: ProtectionConfig, draws: ServerDraws) -> None:
        self.clip = protection.clip
        self._deviation = protection.noise * protection.clip
        self._draws = draws

    def draw(self, roster: Roster, exchange: int, count: int, by_records: bool) -> Drawn:
        """Draw each client by a coin of its own, and return those drawn.

        Args:
            roster: all clients.
            exchange: number of the exchange.
            count: number of clients drawn on average.
            by_records: draws clients in proportion to their records; else all alike, with weights in proportion.
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
        """Return a sum of clipped updates with noise, in which no single client can be made out."""
        return total + self._deviation * self._draws.noise(exchange, total.size).reshape(total.shape)
