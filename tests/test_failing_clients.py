"""Clients that raise or hang, actors that are killed, stragglers: training goes on, and every failure is counted."""

import contextlib
import io
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from functools import partial

import numpy as np
import pandas as pd
import pytest
from flwr.app import ConfigRecord, Error, Message, MessageType, RecordDict
from ray.exceptions import RayActorError
from rich.console import Console

from fl_tiprdc.config import Point, build_experiment
from fl_tiprdc.errors import InputError, RunFailedError, TooManyFailuresError
from fl_tiprdc.experiment.carry_out import carry_out
from fl_tiprdc.experiment.run import record_run
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.cohort_actor import CohortActor
from fl_tiprdc.federated.cohort_grid import RayCohortGrid
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.local_grid import LocalGrid, SingleProcessGrid
from fl_tiprdc.federated.local_messages import FIRST_NODE, LOST, RAISED, answer, identify, node_context, stamp
from fl_tiprdc.federated.quorum import EndingGrid, QuorumGrid, at_quorum
from fl_tiprdc.federated.server_app import train_point
from fl_tiprdc.wire.replies import needed
from strategies.roster import take_roster
from tests.conftest import break_client, grid_of, train_messages
from tests.inline_grid import InlineGrid
from tests.test_strategy import AVERAGING, Clients, update

pytestmark = pytest.mark.alone  # it measures time

CLIENTS = 10
RAISE, HANG = (1, 4, 8), (6,)  # 30 % and 10 %


def faulty(hanging=(), slow=(), deadly=(), seconds: float = 3600.0) -> type[CohortActor]:
    """An actor some of whose clients hang, are slow, or take their process with them."""

    class Faulty(CohortActor):
        def train(self, instruction, groups, partitions, secure=None):
            if set(partitions) & set(deadly):
                os._exit(1)
            if set(partitions) & set(hanging):
                time.sleep(3600)
            if set(partitions) & set(slow):
                time.sleep(seconds)
            return super().train(instruction, groups, partitions, secure)

    return Faulty


class Killing(RayCohortGrid):
    """Kills one of its actors in each round, in the middle of an exchange, as the kernel's memory killer would."""

    def __init__(self, store, actors, exchanges) -> None:
        super().__init__(store, actors)
        self.exchanges, self.killed = exchanges, 0

    def answer_all(self, messages, timeout, enough=None):
        training = messages and messages[0].metadata.message_type == MessageType.TRAIN
        number = int(messages[0].content["config"]["exchange"]) if training else 0
        if number in self.exchanges:
            with contextlib.suppress(RayActorError):  # one that was killed as the last exchange ended is still dead
                victim = random.Random(number).choice(self.pids())
                threading.Timer(0.05, os.kill, (victim, signal.SIGKILL)).start()
                self.killed += 1
        return super().answer_all(messages, timeout, enough)


def grid_among(store, **faults) -> RayCohortGrid:
    """Two actors with clients that are `faulty`."""

    class Among(RayCohortGrid):
        actor = faulty(**faults)

    return Among(store, actors=2)


def arrays_of(trained) -> np.ndarray:
    return np.concatenate([value.ravel() for group in trained.groups.values() for value in group.values()])


# a hanging client costs time in each exchange: tried with the method that has few
@pytest.mark.parametrize(("method", "hanging"), [("tiprdc", HANG), ("tiprdc+", ())], ids=["weights", "gradients"])
def test_a_training_among_failing_clients_is_that_of_the_others(
    method, hanging, small, make_store, population, ray_session, one_thread
):
    """30 % raise, 10 % hang, an actor is killed a round: the result is that of a training without their replies."""
    federation = {"rounds": 2, "updates_per_round": 1, "gradient_clients": 0, "allowed_failures": 0.5, "timeout": 144.0}
    experiment = small(
        clients=CLIENTS,
        methods=(method,),
        federation=federation,
        method={method: {"closing_steps": 0}} if method == "tiprdc+" else {},
    )
    store, description = make_store(CLIENTS), population.contributors.description
    for partition in RAISE:
        break_client(store, partition)

    class Among(Killing):
        actor = faulty(hanging)
        together = alone = 1 / 12  # twelve seconds for a cohort, as processes start, and for one of its clients alone

    grid = Among(store, 2, range(1, 100, 2 if method == "tiprdc+" else 1))
    grid.pids()  # actors are there
    disturbed = train_point(grid, take_roster(grid, CLIENTS), experiment, description, Point(method, 0.5, 0))
    grid.close()

    class Without(InlineGrid):
        def answer_all(self, messages, timeout):
            kept = [m for m in messages if m.metadata.dst_node_id - FIRST_NODE not in (*RAISE, *hanging)]
            return super().answer_all(kept, timeout)

    plain = grid_of(store, Without)
    undisturbed = train_point(plain, take_roster(plain, CLIENTS), experiment, description, Point(method, 0.5, 0))
    assert [e.clients for e in disturbed.exchanges] == [7 - len(hanging)] * len(undisturbed.exchanges)
    np.testing.assert_allclose(arrays_of(disturbed), arrays_of(undisturbed), atol=2e-4)
    kinds = Counter()
    for exchange in disturbed.exchanges:
        kinds.update(exchange.failure_kinds)
        assert exchange.failures == 3 + len(hanging)
    # one that raises may be in the processes that end twice, and is lost then; clients that don't raise never are
    assert kinds["error"] + kinds["lost"] == 3 * len(disturbed.exchanges)
    assert kinds["silent"] == len(hanging) * len(disturbed.exchanges)
    assert 1 <= kinds["actor-died"] <= grid.killed
    # a cohort hung, then its client alone; from then on that one is asked alone
    assert kinds["actor-hung"] == (1 + len(disturbed.exchanges) if hanging else 0)


@pytest.fixture
def messages(small, population):
    """Makes one exchange's messages: messages(number)."""

    def make(exchange: int = 1) -> list[Message]:
        return train_messages(population, small(clients=CLIENTS), exchange=exchange)

    return make


def clients_of(replies) -> set[int]:
    return {reply.metadata.src_node_id - FIRST_NODE for reply in replies if not reply.has_error()}


def test_a_client_that_takes_its_process_along_is_found_and_spoils_no_other(make_store, messages, ray_session):
    grid = grid_among(make_store(CLIENTS), deadly=(3,))
    replies = list(grid.send_and_receive(messages()))
    assert clients_of(replies) == set(range(CLIENTS)) - {3}
    (lost,) = (reply for reply in replies if reply.has_error())
    assert (lost.error.code, "died 2 times" in lost.error.reason) == (LOST, True)
    assert grid.take_losses() == {"actor-died": 2}
    replies = list(grid.send_and_receive(messages()))
    assert clients_of(replies) == set(range(CLIENTS)) - {3}
    (lost,) = (reply for reply in replies if reply.has_error())
    assert (lost.error.code, "died 2 times" in lost.error.reason) == (LOST, True)
    assert grid.take_losses() == {"actor-died": 2}  # its own: no cohort has died with it again
    assert len(set(grid.pids())) == 2  # both actors are there for the next exchange
    assert grid.take_losses() == {}
    grid.close()


def test_an_exchange_closes_at_its_quorum_and_what_was_abandoned_delays_and_answers_nothing(
    make_store, messages, ray_session
):
    grid = grid_among(make_store(CLIENTS), slow=(0,), seconds=4.0)
    grid.pids()
    closed = at_quorum(grid, 0.5)
    assert isinstance(closed, QuorumGrid)
    for exchange in (1, 2, 3):
        began = time.monotonic()
        replies = list(closed.send_and_receive(messages(exchange), timeout=60))
        assert time.monotonic() - began < (3.5 if exchange == 1 else 30)
        assert needed(CLIENTS, 0.5) <= len(clients_of(replies)) < CLIENTS
        assert {int(reply.content["metrics"]["exchange"]) for reply in replies} == {exchange}
    grid.close()


def test_the_quorum_counts_answers_and_no_errors():
    asked = Clients(AVERAGING, clients=5).ask()
    good = [Clients.reply(message, update(1.0, 3)) for message in asked]
    broken = [Clients.reply(message, "broken disk") for message in asked]

    class Late(LocalGrid):
        """Everybody answers at once but is heard one after the other."""

        def __init__(self, replies) -> None:
            identify()
            self.replies, self.heard = replies, 0

        def answer_until(self, messages, timeout, enough):
            while self.heard < len(self.replies) and not enough(self.replies[: self.heard]):
                self.heard += 1
            return self.replies[: self.heard]

    for replies, heard in ((good, 3), ([broken[0], broken[1], *good[2:]], 5), ([good[0], good[0], *good[1:]], 4)):
        grid = Late(replies)
        list(at_quorum(grid, 0.6).send_and_receive(asked))
        assert grid.heard == heard


def test_a_grid_of_flowers_is_polled_and_its_messages_expire(make_store):
    store = make_store(3)
    app = build_client_app(str(store.root))

    class Engine(InlineGrid):
        """Has an answer to one more message each time it is asked, as an engine of Flower has."""

        def __init__(self) -> None:
            super().__init__(app, store)
            self.sent: list[Message] = []

        def push_messages(self, messages):
            self.sent = [stamp(message) for message in messages]
            self.waiting = list(self.sent)
            return [message.metadata.message_id for message in self.sent]

        def pull_messages(self, message_ids):
            if not self.waiting:
                return []
            message = self.waiting.pop(0)
            return [answer(app, message, node_context(message.metadata.dst_node_id, 3))]

    grid = Engine()
    question = RecordDict({"config": ConfigRecord({})})
    asked = [Message(question, dst_node_id=FIRST_NODE + i, message_type="query.who") for i in range(3)]
    replies = list(QuorumGrid(grid, 0.6).send_and_receive(asked, timeout=30))
    assert clients_of(replies) == {0, 1}
    assert all(message.metadata.ttl == 30 for message in grid.sent)
    began = time.monotonic()
    grid.push_messages = lambda messages: [stamp(message).metadata.message_id for message in messages]
    grid.waiting = []
    assert list(QuorumGrid(grid, 0.6).send_and_receive(asked, timeout=0.5)) == []
    assert time.monotonic() - began < 5


def test_nobody_waits_for_an_engine_that_has_ended(make_store):
    grid, ended = grid_of(make_store(3)), threading.Event()
    grid.push_messages = lambda messages: [stamp(message).metadata.message_id for message in messages]
    grid.pull_messages = lambda message_ids: []
    asked = [Message(RecordDict(), dst_node_id=FIRST_NODE, message_type="query.who")]
    threading.Timer(0.3, ended.set).start()
    waiting = EndingGrid(grid, ended)
    assert list(waiting.get_node_ids())
    for ask in (waiting.send_and_receive, QuorumGrid(waiting, 0.6).send_and_receive):
        with pytest.raises(RunFailedError, match="the engine has ended"):
            ask(asked, timeout=60)
    with pytest.raises(RunFailedError, match="the engine has ended"):
        waiting.get_node_ids()


def test_where_clients_answer_in_turn_nobody_is_left_behind(make_store):
    store = make_store(3)
    for grid in (grid_of(store), SingleProcessGrid(store)):
        assert at_quorum(grid, 0.5) is grid


def test_late_clients_are_no_failures_and_silent_ones_are():
    def exchange(quorum: float, replies: int, errors: int = 0) -> Clients:
        clients = Clients(AVERAGING, clients=5, quorum=quorum)
        messages = clients.ask()
        sent = [clients.reply(message, update(1.0, 3)) for message in messages[:replies]]
        sent += [clients.reply(message, "broken disk") for message in messages[replies : replies + errors]]
        clients.strategy.aggregate_train(1, sent)
        return clients

    (done,) = exchange(0.6, 3).exchanges
    assert (done.clients, done.failures, done.failure_kinds) == (3, 0, {"late": 2})
    with pytest.raises(TooManyFailuresError, match=r"2 of 5 clients failed .*no reply in time"):
        exchange(1.0, 3)
    with pytest.raises(TooManyFailuresError, match=r"3 of 5 clients failed .*no reply in time"):
        exchange(0.6, 2)  # the deadline came before the quorum
    with pytest.raises(TooManyFailuresError, match=r"1 of 5 clients failed .*broken disk"):
        exchange(0.6, 3, errors=1)


def test_lost_clients_are_counted_apart_from_those_that_say_what_is_wrong():
    clients = Clients(AVERAGING, clients=5, allowed=0.4)
    messages = clients.ask()
    replies = [clients.reply(message, update(1.0, 3)) for message in messages[:3]]
    replies += [clients.reply(messages[3], "broken disk"), stamp(Message(Error(LOST, "died"), reply_to=messages[4]))]
    clients.strategy.aggregate_train(1, replies)
    assert clients.exchanges[0].failure_kinds == {"error": 1, "lost": 1}


@pytest.mark.parametrize("value", [0, -0.5, 1.5])
def test_wrong_quorums(value):
    with pytest.raises(InputError, match=rf"federation.quorum is {value}: must be"):
        build_experiment({"federation": {"quorum": value}})
    assert [needed(10, q) for q in (1.0, 0.3, 0.31, 0.01)] == [10, 3, 4, 1]


def test_flower_counts_clients_that_raise_too(small, make_store, population):
    store = make_store(6)
    break_client(store, 2)
    experiment = small(clients=6, federation={"allowed_failures": 0.2, "rounds": 1, "quorum": 0.9, "timeout": 60.0})
    trained = launch(
        "flower",
        lambda grid: train_point(
            grid, take_roster(grid, 6), experiment, population.contributors.description, Point("tiprdc", 0.5, 0)
        ),
        store.root,
        2,
    )
    assert trained.exchanges[0].failure_kinds == {"error": 1}
    assert trained.exchanges[0].clients == 5


def test_failures_end_up_in_rounds_in_the_summary_and_in_one_closing_line(small, make_store, population, tmp_path):
    class Failing(InlineGrid):
        """Client 0 says nothing while it is to train, and client 1 raises."""

        def answer_all(self, messages, timeout):
            training = bool(messages) and messages[0].metadata.message_type == MessageType.TRAIN
            kept = [message for message in messages if not training or message.metadata.dst_node_id != FIRST_NODE]
            replies = super().answer_all(kept, timeout)
            for i, message in enumerate(kept):
                if training and message.metadata.dst_node_id == FIRST_NODE + 1:
                    replies[i] = stamp(Message(Error(RAISED, "OSError: broken disk"), reply_to=message))
            return replies

    federation = {"rounds": 2, "allowed_failures": 0.4}
    experiment = small(settings=("federated",), methods=("tiprdc",), private=("sex",), federation=federation)
    said = io.StringIO()
    work = partial(carry_out, population=population, grid=grid_of(make_store(), Failing))
    record_run(experiment, tmp_path / "out", Console(file=said, width=200), work)
    rounds = pd.read_csv(tmp_path / "out" / "rounds.csv")
    assert rounds[["failures_error", "failures_silent"]].to_numpy().tolist() == [[1, 1]] * 2
    assert rounds["failures"].tolist() == [2, 2]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["failures"] == {"error": 2, "silent": 2}
    (line,) = (line for line in said.getvalue().splitlines() if line.startswith("failures"))
    assert line == "failures: 4 of 12 requests to clients; 2 error, 2 silent"
