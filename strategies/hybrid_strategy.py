"""Flower strategy for hybrid training: three groups of arrays, each with a rule and turns of its own."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.release.arrays import Arrays, GroupArrays
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.wire.messages import CONFIG, LOSSES, Update, pack_arrays
from fl_tiprdc.wire.phases import WEIGHTS
from fl_tiprdc.wire.replies import answered, losses_of, needed
from strategies.aggregation import State
from strategies.differential_privacy import Drawn
from strategies.exchange_plan import ExchangePlan, Turn
from strategies.reply_check import Replies, ReplyCheck, sort_replies
from strategies.roster import Roster
from strategies.secagg_reply_check import MaskedReplyCheck
from strategies.secure_sum import SecureSumError
from strategies.update_protection import UNKNOWN_LOSSES, ProtectedExchange, UpdateProtection

LEADER = "extractor"  # Strategy.start hands this one group from round to round; the strategy keeps the others


@contextmanager
def _failing_as_too_many(exchange: int, turn: Turn) -> Iterator[None]:
    """Turn the error of a sum that can't be opened into that of too many lost clients."""
    try:
        yield
    except SecureSumError as error:
        raise TooManyFailuresError(f"exchange {exchange} ({turn.phase}): {error}") from None


@dataclass(frozen=True)
class Exchange:
    """Records what happened in one exchange: a row of rounds.csv.

    Attributes:
        exchange: number of the exchange, from 1.
        round: number of the round to which it belongs.
        phase: work that clients were asked for.
        clients: number of clients whose replies were used.
        failures: number of clients asked whose reply is missing or was refused.
        seconds: time from asking to the next arrays.
        bytes_down: size of the arrays sent.
        bytes_up: size of the arrays received and used.
        losses: mean losses over clients; NaN of sums, and with noise, as they would tell what the noise hides.
        failure_kinds: number of failures by kind, see `reply_check.Kind`. Some kinds are no failures of clients asked:
            "late", not waited for, as enough others had replied; "stranger", replies of nodes that weren't asked
            (nobody may end a run who takes no part in it); "actor-died" and "actor-hung", processes that were replaced.
        sampling: with noise, the largest probability with which a client was drawn.
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
    """Holds an exchange between the messages that ask for it and their replies."""

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
        plan: exchanges of the training; `start` must be given their number as rounds, less those that are done.
        initial: arrays of all groups.
        roster: tells which node is which client.
        on_exchange: called with each exchange when it is done.
        done: number of exchanges of the plan that took place before; `restore` takes their outcome.
        protection: keeps single clients' updates from the server, or from whoever sees the model; None: from nobody.
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
        """Return everything that changes from exchange to exchange, for a checkpoint."""
        groups = {f"groups/{name}/{key}": array for name, group in self.groups.items() for key, array in group.items()}
        rules = {
            f"rules/{name}/{key}": array
            for name, rule in self._plan.exchanges.rules.items()
            for key, array in rule.state().items()
        }
        return {**groups, **rules}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned after `done` exchanges."""
        self.groups = {
            name: {key: state[f"groups/{name}/{key}"] for key in group} for name, group in self.groups.items()
        }
        for name, rule in self._plan.exchanges.rules.items():
            prefix = f"rules/{name}/"
            rule.restore({key.removeprefix(prefix): array for key, array in state.items() if key.startswith(prefix)})

    def summary(self) -> None:
        """Log nothing: rounds.csv records every exchange."""

    def choose(self, exchange: int, draws: int = 0, everybody: bool = False) -> Drawn:
        """Return the clients that an exchange asks, and their weights; 0: the client's number of records.

        Args:
            exchange: number of the exchange.
            draws: number of clients drawn in proportion to their records; 0: as many as the plan asks, all alike.
            everybody: asks all clients.
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
        """Return one message for every client of the exchange; they share one content."""
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
        """Aggregate each group by its rule, over good replies in the order of partitions; see `reply_check`.

        Raises:
            TooManyFailuresError: more clients failed, stayed silent or were refused than allowed, or none has a record.
        """
        assert self._open is not None, "an exchange is aggregated after it is configured"
        opened, plan = self._open, self._plan
        number, turn, protected = opened.number, opened.turn, opened.protected
        current = {name: self.groups[name] for name in turn.rules}
        check: ReplyCheck | MaskedReplyCheck = protected.check(current) if protected else ReplyCheck(number, current)
        asked, messages = protected.present if protected else opened.drawn.weights, list(replies)
        closed = plan.quorum < 1 and answered(messages) >= needed(len(asked), plan.quorum)
        checked: Replies[Any] = sort_replies(messages, asked, self._roster, check, closed)
        if protected:
            checked = Replies(checked.good, (*protected.refused, *checked.refused))
        good, failures = checked.good, checked.failures
        if failures > self._roster.may_fail(plan.allowed_failures, len(opened.drawn.weights)):
            raise TooManyFailuresError(
                f"{failures} of {len(opened.drawn.weights)} clients failed in exchange {number} ({turn.phase}), "
                f"allowed are {plan.allowed_failures:.0%}; the first: {checked.first_reason}"
            )
        if protected:
            with _failing_as_too_many(number, turn):
                updates, losses = protected.mean(good, current, turn.phase in WEIGHTS)
            weights: list[float] = [len(good) if turn.sums else 1]  # a mean of sums is a share of their total
        else:
            updates, weights, losses = self._plain(number, good, opened.drawn.weights)
        if turn.sums:  # nothing is trained
            losses = UNKNOWN_LOSSES
        for name, rule in turn.rules.items():
            replies_of_group = [update[name] for update in updates]
            self.groups[name] = plan.exchanges.rules[rule](self.groups[name], replies_of_group, weights)
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
                    dict(sorted({**checked.kinds, **losses_of(opened.grid)}.items())),
                    opened.drawn.sampling,
                )
            )
        return pack_arrays(self.groups[LEADER]), MetricRecord(losses)

    def _plain(
        self, exchange: int, good: Mapping[int, Update], drawn: Mapping[int, float]
    ) -> tuple[list[GroupArrays], list[float], dict[str, float]]:
        """Return the updates of clients with records, their weights and their mean losses."""
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
        """Return no messages: updates carry their losses, and the audit does the evaluation."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return None; see `configure_evaluate`."""
        return None
