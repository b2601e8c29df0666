"""The Flower strategy for hybrid training: three groups of arrays, each with its own rule and its own turn."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.wire.arrays import GroupArrays
from fl_tiprdc.wire.messages import CONFIG, LOSSES, Update, pack_arrays
from fl_tiprdc.wire.phases import WEIGHTS
from fl_tiprdc.wire.replies import answered, losses_of, needed
from strategies.aggregation import Arrays, Rule, State
from strategies.exchange_plan import Turn
from strategies.reply_check import Replies, ReplyCheck, sort_replies
from strategies.roster import Roster
from strategies.secagg_reply_check import MaskedReplyCheck
from strategies.secure_sum import SecureSumError
from strategies.update_protection import ProtectedMean

LEADER = "extractor"  # the group that Strategy.start threads from round to round; the others are kept here


@contextmanager
def _failing_as_too_many(exchange: int, turn: Turn) -> Iterator[None]:
    """A sum that can't be opened has lost too many clients."""
    try:
        yield
    except SecureSumError as error:
        raise TooManyFailuresError(f"exchange {exchange} ({turn.phase}): {error}") from None


@dataclass(frozen=True)
class Exchange:
    """What happened in one exchange: a row of rounds.csv.

    Attributes:
        exchange: its number, from 1.
        round: that it belongs to.
        phase: what clients were asked to do.
        clients: whose replies were used.
        failures: clients that were asked and whose reply is missing or was refused.
        seconds: from asking to the next arrays.
        bytes_down: of arrays sent.
        bytes_up: of arrays received and used.
        losses: means over clients; NaN with noise, which they would tell around.
        failure_kinds: the failures by kind, see `reply_check.Kind`. Three more are counted that are no failures of
            clients asked: "late", not waited for, as enough others had replied; "stranger", replies of nodes that
            weren't asked (nobody may end a run who takes no part in it); and "actor-died", "actor-hung", processes
            that were replaced.
        sampling: with noise: the largest probability that a client had to be drawn.
    """

    exchange: int
    round: int
    phase: str
    clients: int
    failures: int
    seconds: float
    bytes_down: int
    bytes_up: int
    losses: Mapping[str, float] = field(default_factory=dict)
    failure_kinds: Mapping[str, int] = field(default_factory=dict)
    sampling: float = 0.0


class HybridStrategy(Strategy):  # type: ignore[misc]
    """Trains extractor, adversary and critic over the crowd.

    Args:
        turns: the exchanges, in order; `start` must be given as many rounds, less those that are done.
        initial: arrays of all groups.
        roster: the clients.
        config: settings sent in every exchange.
        seed: for sampling clients.
        clients_per_round: the most that are asked in an exchange; 0: no limit.
        allowed_failures: share of those asked that may fail.
        on_exchange: told about each exchange when it is done.
        done: exchanges that took place before, whose outcome `restore` is given.
        protected: how clients' updates are kept from whom; None: the server sees them as they are.
        quorum: share of those asked whose replies close an exchange; see `fl_tiprdc.federated.quorum`.
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
        done: int = 0,
        quorum: float = 1.0,
        protected: ProtectedMean | None = None,
    ) -> None:
        self.groups: dict[str, Arrays] = dict(initial)
        self._done, self._quorum = done, quorum
        self._grid: Grid | None = None
        self._turns, self._roster, self._config = turns, roster, dict(config)
        self._seed, self._count, self._allowed = seed, clients_per_round, allowed_failures
        self._on_exchange, self._protected = on_exchange, protected
        self._asked: dict[int, float] = {}  # partition -> times drawn, or its weight; 0: weighted by its records
        self._began, self._bytes_down = 0.0, 0

    def _rules(self) -> list[Rule]:
        """Every rule once: exchanges share them."""
        return list({id(rule): rule for turn in self._turns for rule in turn.rules.values()}.values())

    def state(self) -> State:
        """Everything that changes from exchange to exchange, for a checkpoint."""
        groups = {f"groups/{name}/{key}": array for name, group in self.groups.items() for key, array in group.items()}
        rules = {f"rules/{i}/{k}": array for i, rule in enumerate(self._rules()) for k, array in rule.state().items()}
        return {**groups, **rules}

    def restore(self, state: State) -> None:
        """Go on from what `state` gave after `done` exchanges."""
        self.groups = {
            name: {key: state[f"groups/{name}/{key}"] for key in group} for name, group in self.groups.items()
        }
        for i, rule in enumerate(self._rules()):
            start = f"rules/{i}/"
            rule.restore({key.removeprefix(start): array for key, array in state.items() if key.startswith(start)})

    def summary(self) -> None:
        """Nothing to log: rounds.csv has it."""

    def _choose(self, exchange: int, draws: int, everybody: bool = False) -> Mapping[int, float]:
        if everybody:
            return dict.fromkeys(self._roster.partitions, 1)
        most = min(self._count or len(self._roster.partitions), len(self._roster.partitions))
        generator = numpy_generator(self._seed, "sample-clients", exchange)
        by_records = 0 < draws < len(self._roster.partitions)
        if self._protected is not None and self._protected.draws:
            return self._protected.draw(exchange, min(draws, most) if by_records else most, by_records)
        if by_records:
            return self._roster.draw(min(draws, most), generator)
        if most < len(self._roster.partitions):
            return dict.fromkeys(self._roster.sample(most, generator), 0)
        return dict.fromkeys(self._roster.partitions, 0)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message for every client of the exchange; they share one content."""
        self._grid = grid
        number = self._done + server_round
        turn = self._turns[number - 1]
        records = {name: pack_arrays(self.groups[name]) for name in turn.sends}
        settings = {**self._config, "phase": turn.phase, "exchange": number}
        if turn.rate != 1:
            settings["learning_rate"] *= turn.rate
        if turn.local_rounds != 1:
            settings["epochs"] *= turn.local_rounds
        content = RecordDict({**records, CONFIG: ConfigRecord(settings)})
        self._asked = dict(self._choose(number, turn.draws, turn.sums))
        self._began = time.perf_counter()
        asked: Iterable[int] = self._asked
        if self._protected is not None:
            sent = {name: self.groups[name] for name in turn.sends}
            with _failing_as_too_many(number, turn):
                asked = self._protected.begin(grid, number, self._asked, content, sent)
        messages = [Message(content, dst_node_id=self._roster.node(p), message_type=MessageType.TRAIN) for p in asked]
        self._bytes_down = len(messages) * sum(record.count_bytes() for record in records.values())
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Each group by its rule, over good replies in the order of partitions; see `reply_check`.

        Raises:
            TooManyFailuresError: more clients failed, stayed silent or were refused than allowed, or none has a record.
        """
        number = self._done + server_round
        turn = self._turns[number - 1]
        current, kept = {name: self.groups[name] for name in turn.rules}, self._protected
        check: ReplyCheck | MaskedReplyCheck = kept.check(current) if kept else ReplyCheck(number, current)
        asked, came = kept.present if kept else self._asked, list(replies)
        closed = self._quorum < 1 and answered(came) >= needed(len(asked), self._quorum)
        got: Replies[Any] = sort_replies(came, asked, self._roster, check, closed)
        if kept:
            got = Replies(got.good, (*kept.refused, *got.refused))
        good, failures = got.good, got.failures
        if failures > self._allowed * len(self._asked):
            raise TooManyFailuresError(
                f"{failures} of {len(self._asked)} clients failed in exchange {number} ({turn.phase}), "
                f"allowed are {self._allowed:.0%}; the first: {got.first_reason}"
            )
        if kept:
            with _failing_as_too_many(number, turn):
                said, losses = kept.mean(good, current, turn.phase in WEIGHTS)
            weights: list[float] = [len(good) if turn.sums else 1]  # a mean of sums is a share of their total
        else:
            said, weights, losses = self._plain(number, good)
        for name, rule in turn.rules.items():
            self.groups[name] = rule(self.groups[name], [one[name] for one in said], weights)
        if self._on_exchange is not None:
            self._on_exchange(
                Exchange(
                    number,
                    turn.round,
                    turn.phase,
                    len(good),
                    failures,
                    time.perf_counter() - self._began,
                    self._bytes_down + (kept.bytes_down if kept else 0),
                    len(good) * check.bytes_of_one() + (kept.bytes_up if kept else 0),
                    losses,
                    dict(sorted({**got.kinds, **losses_of(self._grid)}.items())),
                    kept.sampling if kept else 0.0,
                )
            )
        return pack_arrays(self.groups[LEADER]), MetricRecord(losses)

    def _plain(
        self, exchange: int, good: Mapping[int, Update]
    ) -> tuple[list[GroupArrays], list[float], dict[str, float]]:
        """What clients with records say, their weights, and their mean losses."""
        busy = {partition: update for partition, update in good.items() if update.records}
        if not busy:
            raise TooManyFailuresError(f"no client has a record in exchange {exchange}")
        weights = [self._asked[partition] or update.records for partition, update in busy.items()]
        losses = {
            name: sum(update.losses[i] * w for update, w in zip(busy.values(), weights, strict=True)) / sum(weights)
            for i, name in enumerate(LOSSES)
        }
        return [update.groups for update in busy.values()], weights, losses

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """None: updates carry their losses, and the audit does the evaluation."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """None; see `configure_evaluate`."""
        return None
