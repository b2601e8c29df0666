"""Rules that turn the clients' arrays of one group into the server's next ones."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.float32]]


def mean_by_records(replies: Sequence[Arrays], records: Sequence[int]) -> Arrays:
    """Mean of the clients' arrays, weighted by their numbers of records; summed in the order given."""
    weights = np.asarray(records, dtype=np.float64)
    weights = (weights / weights.sum()).astype(np.float32)
    return {
        name: np.tensordot(weights, np.stack([reply[name] for reply in replies]), axes=1).astype(np.float32)
        for name in replies[0]
    }


class Rule(Protocol):
    """Aggregation of one group; may keep state from exchange to exchange."""

    def __call__(self, current: Arrays, replies: Sequence[Arrays], records: Sequence[int]) -> Arrays:
        """The group's next arrays."""


class Average:
    """Federated averaging by numbers of records (McMahan et al. 2017), with optional server momentum.

    Args:
        momentum: 0 is plain averaging; else FedAvgM (Hsu et al. 2019) on the averaged update.
    """

    def __init__(self, momentum: float = 0.0) -> None:
        self._momentum = momentum
        self._velocity: Arrays = {}

    def __call__(self, current: Arrays, replies: Sequence[Arrays], records: Sequence[int]) -> Arrays:
        """The averaged arrays, moved on by the momentum of earlier updates."""
        mean = mean_by_records(replies, records)
        if not self._momentum:
            return mean
        for name, value in mean.items():
            update = value - current[name]
            self._velocity[name] = self._momentum * self._velocity.get(name, np.zeros_like(update)) + update
        return {name: current[name] + self._velocity[name] for name in mean}


class ServerAdam:
    """One Adam step on the mean of the clients' gradients (Reddi et al. 2021 with gradients for updates).

    The mean over clients of gradients at common parameters is the gradient over the crowd, whoever holds what: a
    client with a single private value contributes its share, and teaches no one a constant.

    Args:
        learning_rate: step size.
    """

    def __init__(self, learning_rate: float) -> None:
        self._rate = learning_rate
        self._steps = 0
        self._mean: Arrays = {}
        self._square: Arrays = {}

    def __call__(self, current: Arrays, replies: Sequence[Arrays], records: Sequence[int]) -> Arrays:
        """`current`, one step down the mean gradient."""
        gradient = mean_by_records(replies, records)
        self._steps += 1
        after: Arrays = {}
        for name, g in gradient.items():
            m = self._mean[name] = 0.9 * self._mean.get(name, np.zeros_like(g)) + 0.1 * g
            v = self._square[name] = 0.999 * self._square.get(name, np.zeros_like(g)) + 0.001 * g * g
            m, v = m / (1 - 0.9**self._steps), v / (1 - 0.999**self._steps)
            after[name] = (current[name] - self._rate * m / (np.sqrt(v) + 1e-8)).astype(np.float32)
        return after
