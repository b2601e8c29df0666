"""The Flower strategy for hybrid training: three groups of arrays, each with its own rule and its own turn."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fl_tiprdc.errors import choose
from fl_tiprdc.federated.messages import CONFIG, METRICS, RECORDS, pack_arrays, unpack_arrays
from fl_tiprdc.seeding import derive
from strategies.aggregation import Arrays, Average, Rule, ServerAdam
from strategies.roster import Roster

LEADER = "extractor"  # the group that Strategy.start threads from round to round; the others are kept here


class TooManyFailuresError(RuntimeError):
    """More clients failed in an exchange than the experiment allows."""


@dataclass(frozen=True)
class Turn:
    """One exchange with the clients.

    Attributes:
        phase: what clients are asked to do.
        round: the extractor round that this exchange belongs to, from 1.
        config: settings sent along with the phase.
        rules: for each group that comes back, how it is aggregated.
        sends: the groups that clients need for it.
        clients: how many clients are asked; 0: as many as the strategy asks by default.
    """

    phase: str
    round: int
    config: Mapping[str, Any]
    rules: Mapping[str, Rule]
    sends: tuple[str, ...] = ("extractor", "adversary", "critic")
    clients: int = 0


@dataclass(frozen=True)
class Exchange:
    """What happened in one exchange: a row of rounds.csv."""

    exchange: int
    round: int
    phase: str
    clients: int
    failures: int
    seconds: float
    bytes_down: int
    bytes_up: int
    losses: Mapping[str, float] = field(default_factory=dict)


def alternating_turns(
    rounds: int,
    adversary_exchanges: int,
    adversary_learning_rate: float,
    adversary_clients: int,
    momentum: float,
    learning_rate: float,
    decay: float,
) -> list[Turn]:
    """Adversary exchanges of averaged gradients, then an extractor round against the fixed global adversary.

    A client with one private value can't train an adversary, but its gradient at the common adversary is as good
    as any other; see `ServerAdam`. A few clients are enough for one gradient, so that many steps cost few bytes: the
    adversary must keep up with an extractor that moves in every round. The extractor's step size falls to zero over
    the last rounds, a share `decay` of them, so that the adversary has caught up with the extractor that is released.
    """
    gradient: dict[str, Rule] = {"adversary": ServerAdam(adversary_learning_rate)}
    local: dict[str, Rule] = {"extractor": Average(momentum), "critic": Average(momentum)}
    turns: list[Turn] = []
    for number in range(1, rounds + 1):
        left = 1 - (number - 1) / rounds
        rate = learning_rate * (min(1.0, left / decay) if decay else 1.0)
        ask = Turn("adversary-gradient", number, {}, gradient, ("extractor", "adversary"), adversary_clients)
        turns += [ask] * adversary_exchanges
        turns.append(Turn("extractor", number, {"learning_rate": rate}, local))
    return turns


def joint_turns(rounds: int, momentum: float) -> list[Turn]:
    """The paper's training on the clients: all three groups at once, and each averaged by its own rule."""
    rules: dict[str, Rule] = {
        "extractor": Average(momentum),
        "critic": Average(momentum),
        # clients send this update balanced over private values already: no message may tell who holds which
        "adversary": Average(),
    }
    return [Turn("hybrid", number, {}, rules) for number in range(1, rounds + 1)]


class HybridStrategy(Strategy):  # type: ignore[misc]
    """Trains extractor, adversary and critic over the crowd.

    Args:
        turns: the exchanges, in order; `start` must be given as many rounds.
        initial: arrays of all groups.
        roster: the clients.
        config: settings sent in every exchange.
        seed: for sampling clients.
        clients_per_round: how many are asked in an exchange; 0: all.
        allowed_failures: share of those asked that may fail.
        on_exchange: told about each exchange when it is done.
    """

    def __init__(
        self,
        turns: list[Turn],
        initial: Mapping[str, Arrays],
        roster: Roster,
        config: Mapping[str, Any],
        seed: int,
        clients_per_round: int = 0,
        allowed_failures: float = 0.0,
        on_exchange: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.groups: dict[str, Arrays] = dict(initial)
        self._turns, self._roster, self._config = turns, roster, dict(config)
        self._seed, self._count, self._allowed = seed, clients_per_round, allowed_failures
        self._on_exchange = on_exchange
        self._asked: list[int] = []
        self._began, self._bytes_down = 0.0, 0

    def summary(self) -> None:
        """Nothing to log: rounds.csv has it."""

    def _sample(self, exchange: int, count: int) -> list[int]:
        partitions = self._roster.partitions
        if not count or count >= len(partitions):
            return partitions
        chooser = random.Random(derive(self._seed, "sample-clients", exchange))
        return sorted(chooser.sample(partitions, count))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message for every client of the exchange; they share one content."""
        turn = self._turns[server_round - 1]
        records = {name: pack_arrays(self.groups[name]) for name in turn.sends}
        settings = {**self._config, **turn.config, "phase": turn.phase, "exchange": server_round}
        content = RecordDict({**records, CONFIG: ConfigRecord(settings)})
        self._asked = self._sample(server_round, turn.clients or self._count)
        self._began = time.perf_counter()
        self._bytes_down = len(self._asked) * sum(record.count_bytes() for record in records.values())
        return [Message(content, dst_node_id=self._roster.node(p), message_type=MessageType.TRAIN) for p in self._asked]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Each group by its rule, over replies in the order of partitions.

        Raises:
            TooManyFailuresError: more clients failed or stayed silent than allowed, or none has a record.
        """
        turn = self._turns[server_round - 1]
        replies = list(replies)
        good = self._roster.sorted(reply for reply in replies if not reply.has_error())
        failures = len(self._asked) - len(good)
        if failures > self._allowed * len(self._asked):
            reasons = [r.error.reason for r in replies if r.has_error()] or ["no reply in time"]
            reason = (str(reasons[0]).strip().splitlines() or [""])[-1]
            raise TooManyFailuresError(
                f"{failures} of {len(self._asked)} clients failed in exchange {server_round} ({turn.phase}), "
                f"allowed are {self._allowed:.0%}; the first said: {reason}"
            )
        metrics = [reply.content.metric_records[METRICS] for reply in good]
        records = [int(m[RECORDS]) for m in metrics]
        busy = [i for i, n in enumerate(records) if n]
        if not busy:
            raise TooManyFailuresError(f"no client has a record in exchange {server_round}")
        weights = [records[i] for i in busy]
        for name, rule in turn.rules.items():
            updates = [unpack_arrays(good[i].content.array_records[name]) for i in busy]
            self.groups[name] = rule(self.groups[name], updates, weights)
        losses = {
            str(key): sum(float(metrics[i][key]) * records[i] for i in busy) / sum(weights)
            for key in metrics[busy[0]]
            if key != RECORDS
        }
        if self._on_exchange is not None:
            up = sum(r.count_bytes() for reply in good for r in reply.content.array_records.values())
            took = time.perf_counter() - self._began
            self._on_exchange(
                Exchange(server_round, turn.round, turn.phase, len(good), failures, took, self._bytes_down, up, losses)
            )
        return pack_arrays(self.groups[LEADER]), MetricRecord(losses)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """None: updates carry their losses, and the audit does the evaluation."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """None; see `configure_evaluate`."""
        return None


# strategy -> its turns from the settings of the federation
STRATEGIES: Mapping[str, Callable[..., list[Turn]]] = {"alternating": alternating_turns, "joint": joint_turns}


def choose_turns(name: str, **settings: Any) -> list[Turn]:
    """The turns of a strategy by name.

    Raises:
        InputError: unknown strategy.
    """
    if name not in STRATEGIES:
        raise choose("strategy", name, STRATEGIES)
    return STRATEGIES[name](**settings)
