"""The exchanges of a training, in order: what clients are asked for, and how what comes back is aggregated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from fl_tiprdc.config import FederationConfig, MethodConfig
from fl_tiprdc.hybrid.schedule import Schedule, moves_extractor, pretraining_in, schedule_for, step_size
from fl_tiprdc.hybrid.step import GROUPS, PRETRAINED
from fl_tiprdc.wire.phases import Phase
from strategies.aggregation import Average, Rule, ServerAdam, Total
from strategies.robust import aggregate_for


@dataclass(frozen=True)
class Turn:
    """One exchange with the clients.

    Attributes:
        phase: what clients are asked to do.
        round: the round that this exchange belongs to, from 1.
        rules: for each group that comes back, the name of the rule by which it is aggregated.
        sends: the groups that clients need for it.
        rate: factor of the clients' step size.
        local_rounds: factor of the clients' epochs.
        draws: how many clients are drawn in proportion to their records; 0: as many as the strategy asks, all alike.
        sums: clients answer with sums over their records, which are added up; all of them are asked.
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
    """The exchanges of a training, or those of it that are still to come.

    Attributes:
        turns: in order.
        rules: by name; what a rule keeps from exchange to exchange it keeps for all turns that name it.
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
    """What a server asks of clients, and of how many.

    Attributes:
        exchanges: of the training.
        config: settings sent in every exchange.
        seed: for sampling clients.
        clients_per_round: the most that are asked in an exchange; 0: no limit.
        allowed_failures: share of those asked that may fail.
        quorum: share of those asked whose replies close an exchange; see `fl_tiprdc.federated.quorum`.
    """

    exchanges: Exchanges
    config: Mapping[str, Any]
    seed: int
    clients_per_round: int = 0
    allowed_failures: float = 0.0
    quorum: float = 1.0


def gradient_exchanges(federation: FederationConfig, method: MethodConfig) -> Exchanges:
    """Averaged gradients of the hybrid step, each with an Adam step on the server; adversary steps in between.

    The crowd then takes the steps that a centralised trainer would take, whoever holds what, where local training
    would pull clients with few private values apart. A few clients are enough for a gradient, and an adversary's
    costs less: the critic stays at home.
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
    """The method's training on the clients, all three groups averaged, each by its own rule."""
    aggregate = aggregate_for(federation)
    rules: dict[str, Rule] = {
        "extractor": Average(aggregate),
        "critic": Average(aggregate),
        # clients send this update balanced over private values already: no message may tell who holds which
        "adversary": Average(aggregate),
    }
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


# what a method exchanges -> its exchanges
EXCHANGES: Mapping[str, Callable[[FederationConfig, MethodConfig], Exchanges]] = {
    "gradients": gradient_exchanges,
    "weights": weight_exchanges,
}


def question_exchange(name: str, number: int, round_number: int, kept: bool = False) -> Exchanges:
    """Return the one exchange that asks all clients one question of a code fit.

    Args:
        name: a key of `release.statistics.STATISTICS` or `release.components.COMPONENT_STATISTICS`.
        number: of the exchange.
        round_number: the round that it belongs to.
        kept: clients have the extractor from an earlier question, so that it needn't be sent.
    """
    phases: Mapping[str, Phase] = {
        "center": "codes.center",
        "scatter": "codes.scatter",
        "class-counts": "codes.class-counts",
        "cells": "codes.cells",
        "shares": "codes.shares",
        "code-counts": "codes.code-counts",
    }
    sends = ("question",) if kept else ("extractor", "question")
    turn = Turn(phases[name], round_number, {"sums": "total"}, sends, sums=True)
    return Exchanges((turn,), {"total": Total()}, number)
