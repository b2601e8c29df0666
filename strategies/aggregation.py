"""Rules that turn the clients' arrays of one group into the server's next ones."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fl_tiprdc.hybrid.cohort import BETA2, EPSILON
from fl_tiprdc.models.batch_norm import MOMENTUM, is_statistic
from fl_tiprdc.release.arrays import Arrays

State = dict[str, npt.NDArray[Any]]
# clients' updates and weights -> one update for all: the mean below, or a robust one of `strategies.robust`
Aggregate = Callable[[Sequence[Arrays], Sequence[float]], Arrays]


def weighted_mean(replies: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
    """Return the mean of the clients' arrays, weighed and summed in the order given."""
    shares = np.asarray(weights, dtype=np.float64)
    shares = (shares / shares.sum()).astype(np.float32)
    return {
        name: np.tensordot(shares, np.stack([reply[name] for reply in replies]), axes=1).astype(np.float32)
        for name in replies[0]
    }


class Rule(Protocol):
    """Aggregates one group, and may keep state from exchange to exchange."""

    def __call__(self, current: Arrays, replies: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
        """Return the group's next arrays; weights are numbers of records, or how often a client was drawn."""

    def state(self) -> State:
        """Return what the rule keeps, for a checkpoint."""

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""


class Average:
    """Averages the clients' weights (McMahan et al. 2017), with momentum on the server if told (Hsu et al. 2019).

    Args:
        aggregate: makes one update of the clients'; an update is what a client adds to the weights that it received.
        momentum: share of the last step that is taken again; running statistics have none.
    """

    def __init__(self, aggregate: Aggregate = weighted_mean, momentum: float = 0.0) -> None:
        self._aggregate, self._momentum = aggregate, momentum
        self._step: Arrays = {}

    def __call__(self, current: Arrays, replies: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
        """Return the averaged arrays."""
        if self._aggregate is weighted_mean and not self._momentum:
            return weighted_mean(replies, weights)  # the mean of weights is that of updates, with one rounding less
        updates = [{name: reply[name] - origin for name, origin in current.items()} for reply in replies]
        update = self._aggregate(updates, weights)
        if self._momentum:
            update |= {
                name: (update[name] + self._momentum * step).astype(np.float32) for name, step in self._step.items()
            }
            self._step = {name: step for name, step in update.items() if not is_statistic(name)}
        return {name: (origin + update[name]).astype(np.float32) for name, origin in current.items()}

    def state(self) -> State:
        """Return the last step, empty without momentum."""
        return dict(self._step)

    def restore(self, state: State) -> None:
        """Go on after that step."""
        self._step = dict(state)


class Total:
    """Adds up what clients counted; nothing of the current arrays stays."""

    def __call__(self, current: Arrays, replies: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
        """Return the sums as float64, so that whole numbers stay whole."""
        shares = np.asarray(weights, dtype=np.float64)
        total: dict[str, Any] = {
            name: np.tensordot(shares, np.stack([reply[name] for reply in replies]), axes=1) for name in current
        }
        return total

    def state(self) -> State:
        """Return an empty state: the rule keeps nothing."""
        return {}

    def restore(self, state: State) -> None:
        """Do nothing: there is nothing to restore."""


class ServerAdam:
    """Takes one Adam step on the mean of the clients' gradients (Reddi et al. 2021, with gradients for updates).

    All clients compute gradients at the same parameters, so their mean is the gradient over the crowd, whoever holds
    which records: a client with a single private value contributes its share, and teaches no one a constant.

    Args:
        learning_rate: step size.
        beta1: momentum; 0: only the last gradient counts.
        fade: returns the factor of the step size after so many steps.
        aggregate: makes one gradient of the clients'.
    """

    def __init__(
        self,
        learning_rate: float,
        beta1: float,
        fade: Callable[[int], float] = lambda step: 1.0,
        aggregate: Aggregate = weighted_mean,
    ) -> None:
        self._aggregate = aggregate
        self._rate, self._beta1, self._fade = learning_rate, beta1, fade
        self._steps = 0
        self._mean: Arrays = {}
        self._square: Arrays = {}

    def __call__(self, current: Arrays, replies: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
        """Return `current` after one step down the mean gradient."""
        gradient = self._aggregate(replies, weights)
        rate = self._rate * self._fade(self._steps)
        self._steps += 1
        after: Arrays = {}
        for name, g in gradient.items():
            if is_statistic(name):
                after[name] = (current[name] - MOMENTUM * g).astype(np.float32)
                continue
            m = self._mean[name] = self._beta1 * self._mean.get(name, np.zeros_like(g)) + (1 - self._beta1) * g
            v = self._square[name] = BETA2 * self._square.get(name, np.zeros_like(g)) + (1 - BETA2) * g * g
            m, v = m / (1 - self._beta1**self._steps), v / (1 - BETA2**self._steps)
            after[name] = (current[name] - rate * m / (np.sqrt(v) + EPSILON)).astype(np.float32)
        return after

    def state(self) -> State:
        """Return the number of steps and both moments."""
        moments = {"mean": self._mean, "square": self._square}
        flat: State = {f"{kind}/{name}": array for kind, arrays in moments.items() for name, array in arrays.items()}
        return {"steps": np.array(self._steps, dtype=np.int64), **flat}

    def restore(self, state: State) -> None:
        """Go on after as many steps, with the moments of then."""
        self._steps = int(state["steps"])
        for kind, moments in (("mean", self._mean), ("square", self._square)):
            moments.clear()
            moments |= {key.partition("/")[2]: array for key, array in state.items() if key.startswith(f"{kind}/")}
