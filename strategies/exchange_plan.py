"""Exchanges of a training, in order: what clients are asked for, and how their replies are aggregated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from fl_tiprdc.config import FederationConfig
from fl_tiprdc.hybrid.schedule import Schedule, moves_extractor, pretraining_in, schedule_for, step_size
from fl_tiprdc.hybrid.step import GROUPS, PRETRAINED
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.wire.phases import QUESTION, Phase
from strategies.aggregation import Average, Rule, ServerAdam, Total
from strategies.robust import aggregate_for


@dataclass(frozen=True)
class Turn:
    """Plans one exchange with the clients.

    Attributes:
        phase: work that clients are asked for.
        round: number of the round to which this exchange belongs, from 1.
        rules: group that comes back -> name of the rule that aggregates it.
        sends: groups that clients need for the work.
        rate: factor of the clients' step size; 1 leaves it.
        local_rounds: factor of the clients' epochs; 1 leaves them.
        draws: number of clients drawn in proportion to their records; 0: as many as the plan asks, all alike.
        sums: asks all clients for sums over their records, which are added up.
    """

    phase: Phase
    round: int
    rules: Mapping[str, str]
    sends: tuple[str, ...] = ("extractor", "adversary", "critic")
    rate: float = 1.0
    local_rounds: int = 1
    draws: int = 0
    sums: bool = False


@dataclass(frozen=True)
class Exchanges:
    """Lists the exchanges of a training, or a part of them.

    Attributes:
        turns: plans of the exchanges, in order.
        rules: rules by name; all turns that name a rule share what it keeps from exchange to exchange.
        first: number of the first turn.
    """

    turns: tuple[Turn, ...]
    rules: Mapping[str, Rule]
    first: int = 1

    def __len__(self) -> int:
        return len(self.turns)

    def turn(self, number: int) -> Turn:
        """Return the turn of an exchange by its number."""
        return self.turns[number - self.first]


@dataclass(frozen=True)
class ExchangePlan:
    """Plans what a server asks of clients, and of how many.

    Attributes:
        exchanges: exchanges of the training.
        config: settings sent in every exchange.
        seed: seed from which clients are sampled.
        clients_per_round: largest number of clients asked in an exchange; 0: no limit.
        allowed_failures: share of the clients asked that may fail before the training ends with an error.
        quorum: share of the clients asked whose replies close an exchange; see `fl_tiprdc.federated.quorum`.
    """

    exchanges: Exchanges
    config: Mapping[str, Any]
    seed: int
    clients_per_round: int = 0
    allowed_failures: float = 0.0
    quorum: float = 1.0


def gradient_exchanges(federation: FederationConfig, method: MethodConfig) -> Exchanges:
    """Plan averaged gradients of the hybrid step, each with an Adam step on the server; adversary steps in between.

    The crowd takes the steps that a centralized trainer would take, whoever holds which records; local training would
    pull clients with few private values apart. A few clients are enough for a gradient. An adversary's gradient costs
    less, as no critic is sent for it.
    """
    total = federation.rounds * federation.updates_per_round

    def adam(schedule: Callable[[int], float] = lambda step: 1.0) -> ServerAdam:
        return ServerAdam(federation.server_learning_rate, method.beta1, schedule, aggregate_for(federation))

    batches = _numbered(schedule_for(method, total))
    rules: dict[str, Rule] = {}
    for group in GROUPS:
        updates = [done for done, names in batches if group in names]  # before each of the group's steps

        def schedule(step: int, group: str = group, updates: Sequence[int] = updates) -> float:
            return step_size(method, group, updates[step], total)

        rules[group] = adam(schedule)
    clients = federation.gradient_clients
    together = {group: f"pretraining-{group}" for group in PRETRAINED}
    rules |= {name: adam() for name in together.values()}
    turns = [
        Turn("pretraining-gradient", 1, together, PRETRAINED, draws=clients)
        for _ in range(pretraining_in(method, total))
    ]
    for done, names in batches:
        number = done // federation.updates_per_round + 1
        if moves_extractor(names):
            turns.append(Turn("hybrid-gradient", number, {name: name for name in names}, draws=clients))
        else:
            turns.append(Turn("adversary-gradient", number, {"adversary": "adversary"}, PRETRAINED, draws=clients))
    return Exchanges(tuple(turns), rules)


def _numbered(schedule: Schedule) -> list[tuple[int, tuple[str, ...]]]:
    """Return the schedule's batches, each with the number of updates of the extractor before it."""
    done = accumulate((moves_extractor(names) for names in schedule), initial=0)
    return list(zip(done, schedule, strict=False))


def weight_exchanges(federation: FederationConfig, method: MethodConfig) -> Exchanges:
    """Plan the method's training on the clients, all three groups averaged, each by its own rule."""
    # clients balance the adversary's update over private values before they send it: it may not tell who holds which
    rules: dict[str, Rule] = {group: Average(aggregate_for(federation), federation.server_momentum) for group in GROUPS}
    total, longest = federation.rounds, method.local_rounds
    pretraining = [
        Turn("local-pretraining", 1, {group: group for group in PRETRAINED}, PRETRAINED)
        for _ in range(pretraining_in(method, total))
    ]
    training = [
        Turn(
            "local-training",
            number + 1,
            {name: name for name in method.groups},
            method.groups,
            rate=step_size(method, "critic", number, total),
            local_rounds=min(longest, total - number),
        )
        for number in range(0, total, longest)
    ]
    return Exchanges((*pretraining, *training), rules)


# name in MethodConfig.exchange -> exchanges of a training
EXCHANGES: dict[str, Callable[[FederationConfig, MethodConfig], Exchanges]] = {
    "gradients": gradient_exchanges,
    "weights": weight_exchanges,
}


def question_exchange(name: str, number: int, round_number: int, sends: tuple[str, ...]) -> Exchanges:
    """Return the one exchange that asks clients one question of a code fit.

    Args:
        name: a key of `release.statistics.STATISTICS` or `release.components.COMPONENT_STATISTICS`.
        number: number of the exchange.
        round_number: number of the round to which it belongs.
        sends: groups that clients need for the answer, and don't have from an earlier question.
    """
    turn = Turn(cast(Phase, QUESTION + name), round_number, {"sums": "total"}, sends, sums=True)
    return Exchanges((turn,), {"total": Total()}, number)
