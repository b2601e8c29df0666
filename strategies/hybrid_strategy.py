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
from strategies.aggregation import Arrays, State
from strategies.differential_privacy import Drawn
from strategies.exchange_plan import ExchangePlan, Turn
from strategies.reply_check import Replies, ReplyCheck, sort_replies
from strategies.roster import Roster
from strategies.secagg_reply_check import MaskedReplyCheck
from strategies.secure_sum import SecureSumError
from strategies.update_protection import ProtectedExchange, UpdateProtection

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


@dataclass(frozen=True)
class _OpenExchange:
    """An exchange between the messages that ask for it and their replies."""

    number: int
    turn: Turn
    grid: Grid
    drawn: Drawn
    protected: ProtectedExchange | None
    began: float
    bytes_down: int


class HybridStrategy(Strategy):  # type: ignore[misc]
    """Trains extractor, adversary and critic over the crowd.

    Args:
        plan: the exchanges; `start` must be given as many rounds as they are, less those that are done.
        initial: arrays of all groups.
        roster: the clients.
        on_exchange: told about each exchange when it is done.
        done: exchanges of the plan that took place before, whose outcome `restore` is given.
        protection: keeps single clients' updates from the server or from who sees the model; None: neither.
    """

    def __init__(
        self,
        plan: ExchangePlan,
        initial: Mapping[str, Arrays],
        roster: Roster,
        on_exchange: Callable[[Exchange], None] | None = None,
        done: int = 0,
        protection: UpdateProtection | None = None,
    ) -> None:
        self.groups: dict[str, Arrays] = dict(initial)
        self._plan, self._roster, self._protection = plan, roster, protection
        self._before = plan.exchanges.first - 1 + done  # number of the last exchange that took place
        self._on_exchange = on_exchange
        self._open: _OpenExchange | None = None

    def state(self) -> State:
        """Everything that changes from exchange to exchange, for a checkpoint."""
        groups = {f"groups/{name}/{key}": array for name, group in self.groups.items() for key, array in group.items()}
        rules = {
            f"rules/{name}/{key}": array
            for name, rule in self._plan.exchanges.rules.items()
            for key, array in rule.state().items()
        }
        return {**groups, **rules}

    def restore(self, state: State) -> None:
        """Go on from what `state` gave after `done` exchanges."""
        self.groups = {
            name: {key: state[f"groups/{name}/{key}"] for key in group} for name, group in self.groups.items()
        }
        for name, rule in self._plan.exchanges.rules.items():
            start = f"rules/{name}/"
            rule.restore({key.removeprefix(start): array for key, array in state.items() if key.startswith(start)})

    def summary(self) -> None:
        """Nothing to log: rounds.csv has it."""

    def choose(self, exchange: int, draws: int = 0, everybody: bool = False) -> Drawn:
        """Return the clients that an exchange asks, and their weights; 0: the client's number of records.

        Args:
            exchange: its number.
            draws: how many are drawn in proportion to their records; 0: as many as the plan asks, all alike.
            everybody: all of them are asked.
        """
        partitions, count = self._roster.partitions, self._plan.clients_per_round
        if everybody:
            return Drawn(dict.fromkeys(partitions, 1.0))
        most = min(count or len(partitions), len(partitions))
        generator = numpy_generator(self._plan.seed, "sample-clients", exchange)
        by_records = 0 < draws < len(partitions)
        if self._protection is not None and self._protection.draws_clients:
            return self._protection.draw(exchange, min(draws, most) if by_records else most, by_records)
        if by_records:
            return Drawn({p: float(times) for p, times in self._roster.draw(min(draws, most), generator).items()})
        return Drawn(dict.fromkeys(self._roster.sample(most, generator) if most < len(partitions) else partitions, 0.0))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message for every client of the exchange; they share one content."""
        number = self._before + server_round
        turn = self._plan.exchanges.turn(number)
        records = {name: pack_arrays(self.groups[name]) for name in turn.sends}
        settings = {**self._plan.config, "phase": turn.phase, "exchange": number}
        if turn.rate != 1:
            settings["learning_rate"] *= turn.rate
        if turn.local_rounds != 1:
            settings["epochs"] *= turn.local_rounds
        content = RecordDict({**records, CONFIG: ConfigRecord(settings)})
        drawn, began = self.choose(number, turn.draws, turn.sums), time.perf_counter()
        asked: Iterable[int] = drawn.weights
        protected: ProtectedExchange | None = None
        if self._protection is not None:
            sent = {name: self.groups[name] for name in turn.sends}
            with _failing_as_too_many(number, turn):
                protected = self._protection.begin(grid, number, drawn, content, sent)
            asked = protected.present
        messages = [Message(content, dst_node_id=self._roster.node(p), message_type=MessageType.TRAIN) for p in asked]
        down = len(messages) * sum(record.count_bytes() for record in records.values())
        self._open = _OpenExchange(number, turn, grid, drawn, protected, began, down)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Each group by its rule, over good replies in the order of partitions; see `reply_check`.

        Raises:
            TooManyFailuresError: more clients failed, stayed silent or were refused than allowed, or none has a record.
        """
        assert self._open is not None, "an exchange is aggregated after it is configured"
        opened, plan = self._open, self._plan
        number, turn, protected = opened.number, opened.turn, opened.protected
        current = {name: self.groups[name] for name in turn.rules}
        check: ReplyCheck | MaskedReplyCheck = protected.check(current) if protected else ReplyCheck(number, current)
        asked, came = protected.present if protected else opened.drawn.weights, list(replies)
        closed = plan.quorum < 1 and answered(came) >= needed(len(asked), plan.quorum)
        got: Replies[Any] = sort_replies(came, asked, self._roster, check, closed)
        if protected:
            got = Replies(got.good, (*protected.refused, *got.refused))
        good, failures = got.good, got.failures
        if failures > plan.allowed_failures * len(opened.drawn.weights):
            raise TooManyFailuresError(
                f"{failures} of {len(opened.drawn.weights)} clients failed in exchange {number} ({turn.phase}), "
                f"allowed are {plan.allowed_failures:.0%}; the first: {got.first_reason}"
            )
        if protected:
            with _failing_as_too_many(number, turn):
                said, losses = protected.mean(good, current, turn.phase in WEIGHTS)
            weights: list[float] = [len(good) if turn.sums else 1]  # a mean of sums is a share of their total
        else:
            said, weights, losses = self._plain(number, good, opened.drawn.weights)
        for name, rule in turn.rules.items():
            self.groups[name] = plan.exchanges.rules[rule](self.groups[name], [one[name] for one in said], weights)
        if self._on_exchange is not None:
            self._on_exchange(
                Exchange(
                    number,
                    turn.round,
                    turn.phase,
                    len(good),
                    failures,
                    time.perf_counter() - opened.began,
                    opened.bytes_down + (protected.bytes_down if protected else 0),
                    len(good) * check.bytes_of_one() + (protected.bytes_up if protected else 0),
                    losses,
                    dict(sorted({**got.kinds, **losses_of(opened.grid)}.items())),
                    opened.drawn.sampling,
                )
            )
        return pack_arrays(self.groups[LEADER]), MetricRecord(losses)

    def _plain(
        self, exchange: int, good: Mapping[int, Update], drawn: Mapping[int, float]
    ) -> tuple[list[GroupArrays], list[float], dict[str, float]]:
        """What clients with records say, their weights, and their mean losses."""
        busy = {partition: update for partition, update in good.items() if update.records}
        if not busy:
            raise TooManyFailuresError(f"no client has a record in exchange {exchange}")
        weights = [drawn[partition] or update.records for partition, update in busy.items()]
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
