"""Replies that no honest client sends: refused with the reason, counted by kind, never aggregated."""

from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord

from fl_tiprdc.config import Point
from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.local_messages import FIRST_NODE, stamp
from fl_tiprdc.federated.server_app import Trained, train_point
from fl_tiprdc.wire.messages import LocalArrays, Update, pack_arrays
from strategies.roster import take_roster
from tests.conftest import grid_of, initial_arrays
from tests.inline_grid import InlineGrid
from tests.test_strategy import AVERAGING, Clients, arrays, update

BAD = 2  # the client whose reply is spoilt, of 0 to 4
HONEST = {0: 1.0, 1: 2.0, 3: 6.0, 4: 7.0}
Spoil = Callable[[Message, Callable], None]


def array(**values) -> Spoil:
    """The extractor's arrays replaced by others."""

    def spoil(reply: Message, pack: Callable) -> None:
        reply.content["extractor"] = pack({name: np.asarray(value) for name, value in values.items()})

    return spoil


def metric(**values) -> Spoil:
    """Metrics changed; None: left out."""

    def spoil(reply: Message, pack: Callable) -> None:
        found = dict(reply.content["metrics"]) | {name.replace("_", "-"): value for name, value in values.items()}
        reply.content["metrics"] = MetricRecord({k: v for k, v in found.items() if v is not None})

    return spoil


def record(**records) -> Spoil:
    """Records changed; None: left out."""

    def spoil(reply: Message, pack: Callable) -> None:
        for name, value in records.items():
            if value is None:
                del reply.content[name]
            else:
                reply.content[name] = value

    return spoil


def raw(change: Callable[[Array], Array]) -> Spoil:
    """The bytes of the extractor's array changed."""

    def spoil(reply: Message, pack: Callable) -> None:
        reply.content["extractor"] = ArrayRecord({"w": change(pack_arrays(arrays(99))["w"])})

    return spoil


F = np.float32
# what is wrong -> its kind, what the reason says, how a good reply becomes such a one
CASES: dict[str, tuple[str, str, Spoil]] = {
    "NaN": ("not-finite", "extractor/w", array(w=F([np.nan]))),
    "infinite": ("not-finite", "extractor/w", array(w=F([-np.inf]))),
    "absurdly large": ("not-finite", "absurdly large", array(w=F([1e30]))),
    "loss NaN": ("not-finite", "loss 'privacy' of nan", metric(privacy=float("nan"))),
    "longer": ("shape", r"shape \(2,\); expected \(1,\)", array(w=F([1, 2]))),
    "empty": ("shape", r"shape \(0,\)", array(w=F([]))),
    "other dimensions": ("shape", r"shape \(1, 1\)", array(w=F([[1]]))),
    "double": ("dtype", "type float64; expected float32", array(w=np.array([1.0]))),
    "whole numbers": ("dtype", "type int64", array(w=np.array([1]))),
    "other name": ("names", "has an unknown array extractor/v", array(v=F([1]))),
    "array missing": ("names", "misses array extractor/w", array()),
    "array too many": ("names", "has an unknown array extractor/x", array(w=F([1]), x=F([1]))),
    "group missing": ("groups", "expected adversary, critic, extractor, metrics", record(critic=None)),
    "group too many": ("groups", "labels", record(labels=pack_arrays(arrays(1)))),
    "settings sent": ("groups", "config", record(config=ConfigRecord({"lam": 1.0}))),
    "group of another kind": ("groups", "has adversary", record(critic=MetricRecord({"w": 1.0}))),
    "no metrics": ("metrics", "has no metrics", record(metrics=None)),
    "metrics of another kind": ("metrics", "has no metrics", record(metrics=ConfigRecord({"privacy": 1.0}))),
    "loss missing": ("metrics", "adversary, exchange, information, num-examples$", metric(privacy=None)),
    "metric too many": ("metrics", "women", metric(women=12)),
    "loss a list": ("metrics", "loss 'privacy' that is no number", metric(privacy=[1.0, 2.0])),
    "count missing": ("metrics", "has metrics", metric(num_examples=None)),
    "count negative": ("records", "counts -3 records; the client said to hold 3", metric(num_examples=-3)),
    "count huge": ("records", f"counts {2**62} records", metric(num_examples=2**62)),
    "count not that of the start": ("records", "counts 4 records", metric(num_examples=4)),
    "count zero": ("records", "counts 0 records", metric(num_examples=0)),
    "count no whole number": ("records", "counts 3.0 records", metric(num_examples=3.0)),
    "count a list": ("records", "counts", metric(num_examples=[3])),
    "other exchange": ("stale", "answers exchange 7", metric(exchange=7)),
}
WIRE_CASES: dict[str, tuple[str, str, Spoil]] = {
    "truncated": ("bytes", "bytes; expected", raw(lambda a: Array(a.dtype, a.shape, a.stype, a.data[:-1]))),
    "oversized": ("bytes", "bytes; expected", raw(lambda a: Array(a.dtype, a.shape, a.stype, a.data + bytes(9000)))),
    "no bytes": ("bytes", "in numpy's format", raw(lambda a: Array(a.dtype, a.shape, a.stype, b""))),
    "another format": ("bytes", "in numpy's format", raw(lambda a: Array(a.dtype, a.shape, "pickle", a.data))),
    "another shape inside": (
        "bytes",
        "in numpy's format",
        raw(lambda a: Array(a.dtype, a.shape, a.stype, pack_arrays(arrays(1, 2))["w"].data)),
    ),
}
ALL = [(pack, name) for pack in (pack_arrays, LocalArrays) for name in CASES] + [(pack_arrays, n) for n in WIRE_CASES]


def exchange(allowed: float, pack: Callable = pack_arrays) -> tuple[Clients, list[Message]]:
    """Five clients, four of them with honest replies of HONEST; that of BAD is good too, and far off."""
    clients = Clients(AVERAGING, allowed=allowed, clients=5)
    replies = [
        stamp(Message(update(HONEST.get(i, 1000.0), 3).pack(pack), reply_to=message))
        for i, message in enumerate(clients.ask())
    ]
    return clients, replies


def assert_honest_mean(clients: Clients) -> None:
    got = {name: float(group["w"][0]) for name, group in clients.strategy.groups.items()}
    assert got == {"extractor": 4.0, "adversary": 40.0, "critic": -4.0}


@pytest.mark.parametrize(("pack", "name"), ALL, ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_a_bad_reply_is_refused_and_counted_and_the_rest_is_aggregated(pack, name):
    kind, why, spoil = (CASES | WIRE_CASES)[name]
    clients, replies = exchange(0.2, pack)
    spoil(replies[BAD], pack)
    clients.strategy.aggregate_train(1, replies)
    assert_honest_mean(clients)
    done = clients.exchanges[0]
    assert (done.clients, done.failures, done.failure_kinds) == (4, 1, {kind: 1})
    assert done.losses == {"privacy": 0, "information": 0, "adversary": 0}
    assert done.bytes_up == 4 * sum(pack_arrays(g).count_bytes() for g in update(0, 3).groups.values())

    clients, replies = exchange(0.1, pack)
    spoil(replies[BAD], pack)
    with pytest.raises(TooManyFailuresError, match=f"1 of 5 clients failed .*the first: client 2's reply .*{why}"):
        clients.strategy.aggregate_train(1, replies)
    assert float(clients.strategy.groups["extractor"]["w"][0]) == 0  # nothing half-done


def test_the_same_replies_unspoilt_are_all_used():
    for pack in (pack_arrays, LocalArrays):
        clients, replies = exchange(0.0, pack)
        clients.strategy.aggregate_train(1, replies)
        assert float(clients.strategy.groups["extractor"]["w"][0]) == pytest.approx((16 + 1000) / 5)
        assert clients.exchanges[0].failure_kinds == {}


@pytest.mark.parametrize("order", [1, -1], ids=["as asked", "reversed"])
def test_two_replies_of_one_client_are_both_refused_whichever_comes_first(order):
    clients, replies = exchange(0.2)
    again = stamp(Message(update(5.0, 3).pack(), reply_to=clients.ask()[BAD]))
    clients.strategy.aggregate_train(1, [*replies, again][::order])
    assert_honest_mean(clients)
    assert clients.exchanges[0].failure_kinds == {"duplicate": 1}
    clients, replies = exchange(0.0)
    with pytest.raises(TooManyFailuresError, match="the first: client 2 sent 2 replies"):
        clients.strategy.aggregate_train(1, [*replies, replies[BAD]])


def test_nodes_that_were_not_asked_have_no_say_and_cannot_end_a_run():
    clients, replies = exchange(0.0)
    replies[BAD].content["extractor"] = pack_arrays(arrays(4.0))
    replies[BAD].content["adversary"] = pack_arrays(arrays(40.0))
    replies[BAD].content["critic"] = pack_arrays(arrays(-4.0))
    content = update(1e6, 3).pack()
    question = Message(content, dst_node_id=FIRST_NODE + 900, message_type="train")  # no client at all
    strangers = [stamp(Message(content, reply_to=stamp(question))) for _ in range(3)]
    clients.strategy.aggregate_train(1, [*strangers, *replies])
    assert_honest_mean(clients)
    done = clients.exchanges[0]
    assert (done.clients, done.failures, done.failure_kinds) == (5, 0, {"stranger": 1})


def test_a_client_that_was_not_drawn_is_a_stranger():
    clients = Clients(AVERAGING, clients=5, count=2)
    messages = clients.ask()
    drawn = {m.metadata.dst_node_id for m in messages}
    other = next(node for node in range(FIRST_NODE, FIRST_NODE + 5) if node not in drawn)
    uninvited = stamp(Message(messages[0].content, dst_node_id=other, message_type="train"))
    replies = [clients.reply(m, update(4.0, 3)) for m in messages] + [clients.reply(uninvited, update(1e6, 3))]
    clients.strategy.aggregate_train(1, replies)
    assert_honest_mean(clients)
    assert clients.exchanges[0].failure_kinds == {"stranger": 1}


def test_failures_are_counted_by_kind_and_the_first_telling_reason_is_named():
    clients, replies = exchange(0.6)
    array(w=F([np.nan]))(replies[1], pack_arrays)
    array(w=F([np.nan]))(replies[4], pack_arrays)
    replies[3] = clients.reply(clients.ask()[3], "Traceback\nOSError: broken disk")
    clients.strategy.aggregate_train(1, replies)
    assert clients.exchanges[0].failure_kinds == {"error": 1, "not-finite": 2}
    assert list(clients.exchanges[0].failure_kinds) == ["error", "not-finite"]
    clients, replies = exchange(0.5)
    array(w=F([np.nan]))(replies[4], pack_arrays)
    replies[3] = clients.reply(clients.ask()[3], "Traceback\nOSError: broken disk")
    with pytest.raises(TooManyFailuresError, match=r"4 of 5 clients failed in .*the first: OSError: broken disk"):
        clients.strategy.aggregate_train(1, replies[2:])  # clients 0 and 1 say nothing


class Hostile(InlineGrid):
    """Client 1 spoils its replies."""

    def __init__(self, store, spoil: Spoil | None) -> None:
        super().__init__(build_client_app(str(store.root)), store)
        self.spoil = spoil

    def answer_all(self, messages, timeout):
        replies = super().answer_all(messages, timeout)
        for i, reply in enumerate(replies):
            if reply.metadata.src_node_id == FIRST_NODE + 1 and self.spoil:
                self.spoil(reply, pack_arrays)
            elif reply.metadata.src_node_id == FIRST_NODE + 1:
                replies[i] = stamp(Message(Error(2, "gone"), reply_to=messages[i]))
        return replies


@pytest.mark.parametrize("method", ["tiprdc", "tiprdc+"])
def test_a_training_with_a_hostile_client_is_that_without_it(method, small, make_store, population, one_thread):
    experiment = small(
        clients=5, methods=(method,), federation={"rounds": 2, "allowed_failures": 0.25, "gradient_clients": 0}
    )
    store = make_store(5)
    start = initial_arrays(population, experiment, method)
    poison = {name: np.full(value.shape, np.nan, F) for name, value in start["extractor"].items()}

    def train(spoil: Spoil | None) -> Trained:
        grid, description = Hostile(store, spoil), population.contributors.description
        return train_point(grid, take_roster(grid, 5), experiment, description, Point(method, 0.5, 0))

    def poisoned(reply: Message, pack: Callable) -> None:
        if "extractor" in reply.content:
            reply.content["extractor"] = pack(poison)
        else:
            metric(exchange=999)(reply, pack)

    without, hostile = train(None), train(poisoned)
    for name, group in without.groups.items():
        for key, value in group.items():
            assert np.isfinite(value).all()
            np.testing.assert_array_equal(hostile.groups[name][key], value)
    assert {kind for e in without.exchanges for kind in e.failure_kinds} == {"error"}
    kinds = {"tiprdc": {"not-finite"}, "tiprdc+": {"not-finite", "stale"}}[method]
    assert {kind for e in hostile.exchanges for kind in e.failure_kinds} == kinds
    assert all(e.clients == 4 and e.failures == 1 for e in hostile.exchanges)


def test_an_honest_clients_reply_says_what_it_answers(small, make_store, population):
    seen: list[tuple[int, int]] = []

    class Listening(InlineGrid):
        def answer_all(self, messages, timeout):
            replies = super().answer_all(messages, timeout)
            seen.extend(
                (int(m.content["config"]["exchange"]), Update.unpack(r.content).exchange)
                for m, r in zip(messages, replies, strict=True)
            )
            return replies

    experiment, store = small(clients=3, methods=("tiprdc+",), federation={"rounds": 1}), make_store(3)
    grid = grid_of(store, Listening)
    train_point(grid, take_roster(grid, 3), experiment, population.contributors.description, Point("tiprdc+", 0.5, 0))
    assert {asked for asked, _ in seen} == {1, 2, 3, 4}
    assert all(asked == answered for asked, answered in seen)
