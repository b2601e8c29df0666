"""What the server does with replies: hand arithmetic, order, failures, sampling."""

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
import torch
from flwr.app import Error, Message

from fl_tiprdc.config import FederationConfig
from fl_tiprdc.errors import InputError, TooManyFailuresError
from fl_tiprdc.federated.local_messages import FIRST_NODE, PartitionOf, identify, stamp
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.wire.messages import Update
from strategies.aggregation import Average, ServerAdam, weighted_mean
from strategies.exchange_plan import ExchangePlan, Exchanges, Turn, gradient_exchanges, weight_exchanges
from strategies.hybrid_strategy import HybridStrategy
from strategies.roster import Roster, take_roster
from tests.conftest import grid_of


def arrays(*values: float) -> dict[str, np.ndarray]:
    return {"w": np.array(values, dtype=np.float32)}


def test_weighted_mean():
    mean = weighted_mean([arrays(1, 2), arrays(4, 8)], [1, 2])
    np.testing.assert_allclose(mean["w"], [3, 6])  # (1·1 + 2·4)/3, (1·2 + 2·8)/3
    assert mean["w"].dtype == np.float32


def test_server_adam_equals_torch():
    rule, current = ServerAdam(0.01, 0.5, lambda step: 1 / (1 + step)), arrays(1, -2, 3)
    parameter = torch.tensor([1.0, -2.0, 3.0])
    adam = torch.optim.Adam([parameter], lr=0.01, betas=(0.5, 0.999), eps=1e-6)
    generator = np.random.default_rng(0)
    for step in range(5):
        adam.param_groups[0]["lr"] = 0.01 / (1 + step)
        gradients = [arrays(*generator.normal(size=3)) for _ in range(2)]
        current = rule(current, gradients, [1, 3])
        parameter.grad = torch.tensor(0.25 * gradients[0]["w"] + 0.75 * gradients[1]["w"])
        adam.step()
    np.testing.assert_allclose(current["w"], parameter.numpy(), rtol=1e-5)


class Clients:
    """A strategy's exchange with three clients whose answers are given; partition p is node p + FIRST_NODE."""

    def __init__(
        self,
        turn: Turn,
        count: int = 0,
        allowed: float = 0.0,
        clients: int = 3,
        sizes=None,
        seed: int = 7,
        quorum: float = 1.0,
    ) -> None:
        identify()
        self.exchanges = []
        exchanges = Exchanges((turn,), {name: Average() for name in turn.rules.values()})
        self.roster = Roster(PartitionOf(clients), sizes or dict.fromkeys(range(clients), 3))
        self.strategy = HybridStrategy(
            ExchangePlan(exchanges, {"lam": 0.5}, seed, count, allowed, quorum),
            {"extractor": arrays(0), "adversary": arrays(0), "critic": arrays(0)},
            self.roster,
            on_exchange=self.exchanges.append,
        )

    def ask(self) -> list[Message]:
        from flwr.app import ArrayRecord, ConfigRecord

        return [stamp(m) for m in self.strategy.configure_train(1, ArrayRecord(), ConfigRecord(), None)]

    @staticmethod
    def reply(message: Message, update: Update | str) -> Message:
        content = Error(2, update) if isinstance(update, str) else update.pack()
        return stamp(Message(content, reply_to=message))


AVERAGING = Turn("local-training", 1, {name: name for name in ("extractor", "adversary", "critic")})


def update(value: float, records: int, loss: float = 0.0) -> Update:
    groups = {"extractor": arrays(value), "adversary": arrays(10 * value), "critic": arrays(-value)}
    return Update(groups, records, (loss, 2 * loss, 3 * loss), 1)


def test_three_groups_are_aggregated_in_one_exchange_and_losses_weighted_by_records():
    clients = Clients(AVERAGING, sizes=[1, 1, 2])
    messages = clients.ask()
    replies = [clients.reply(m, update(v, n, v)) for m, v, n in zip(messages, (1, 2, 5), (1, 1, 2), strict=True)]
    clients.strategy.aggregate_train(1, replies)
    groups = clients.strategy.groups
    assert [float(groups[name]["w"][0]) for name in ("extractor", "adversary", "critic")] == [3.25, 32.5, -3.25]
    exchange = clients.exchanges[0]
    assert exchange.losses == pytest.approx({"privacy": 3.25, "information": 6.5, "adversary": 9.75})
    assert (exchange.clients, exchange.failures, exchange.bytes_up > 0) == (3, 0, True)
    assert not exchange.failure_kinds


def test_the_order_of_arrival_changes_no_bit():
    values = np.random.default_rng(1).normal(size=(12, 50)).astype(np.float32)
    results = []
    for order in (range(12), reversed(range(12)), np.random.default_rng(2).permutation(12)):
        clients = Clients(AVERAGING, clients=12)
        messages = clients.ask()
        replies = [clients.reply(m, update(0, 3)) for m in messages]
        for reply, value in zip(replies, values, strict=True):
            reply.content["extractor"] = Update({"extractor": {"w": value}}, 3, (0, 0, 0), 1).pack()["extractor"]
        clients.strategy.groups["extractor"] = {"w": np.zeros(50, np.float32)}
        clients.strategy.aggregate_train(1, [replies[i] for i in order])
        results.append(clients.strategy.groups["extractor"]["w"])
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_server_momentum_repeats_a_share_of_the_last_step_and_goes_on_from_a_checkpoint():
    def after(rule, current, moved):
        return rule(current, [{k: v + moved for k, v in current.items()}], [1])

    names = ("weight", "norm.running_mean")  # the second is no step of training: nothing of it is repeated
    start = {name: np.zeros(2, np.float32) for name in names}
    rule = Average(momentum=0.5)
    first = after(rule, start, 1)
    resumed = Average(momentum=0.5)
    resumed.restore(rule.state())
    for one in (rule, resumed):
        second = after(one, first, 1)
        third = after(one, second, 0)
        assert [float(arrays["weight"][0]) for arrays in (first, second, third)] == [1, 2.5, 3.25]
        assert [float(arrays["norm.running_mean"][0]) for arrays in (first, second, third)] == [1, 2, 2]


def test_failures_within_the_allowed_share_are_left_out():
    clients = Clients(AVERAGING, allowed=0.34, sizes=[5, 5, 5])
    messages = clients.ask()
    replies = [clients.reply(messages[0], update(2, 5)), clients.reply(messages[1], "broken disk")]
    replies.append(clients.reply(messages[2], update(4, 5)))
    clients.strategy.aggregate_train(1, replies)
    assert float(clients.strategy.groups["extractor"]["w"][0]) == 3
    assert clients.exchanges[0].failures == 1
    assert clients.exchanges[0].failure_kinds == {"error": 1}


@pytest.mark.parametrize("silent", [True, False], ids=["no reply", "error reply"])
def test_more_failures_end_the_run_with_the_first_reason(silent):
    clients = Clients(AVERAGING, allowed=0.3)
    messages = clients.ask()
    replies = [clients.reply(m, update(1, 3)) for m in messages[:2]]
    if not silent:
        replies.append(clients.reply(messages[2], "Traceback ...\nOSError: broken disk"))
    with pytest.raises(TooManyFailuresError, match=r"1 of 3 clients failed in exchange 1") as caught:
        clients.strategy.aggregate_train(1, replies)
    assert ("no reply in time" if silent else "OSError: broken disk") in str(caught.value)
    assert float(clients.strategy.groups["extractor"]["w"][0]) == 0  # nothing half-done


def test_a_client_without_a_record_has_no_say_and_all_without_end_the_run():
    clients = Clients(AVERAGING, sizes=[1, 0, 1])
    replies = [clients.reply(m, update(v, n)) for m, v, n in zip(clients.ask(), (2, 99, 4), (1, 0, 1), strict=True)]
    clients.strategy.aggregate_train(1, replies)
    assert float(clients.strategy.groups["extractor"]["w"][0]) == 3
    clients = Clients(AVERAGING, sizes=[0, 0, 0])
    with pytest.raises(TooManyFailuresError, match="no client has a record"):
        clients.strategy.aggregate_train(1, [clients.reply(m, update(1, 0)) for m in clients.ask()])


@pytest.mark.parametrize("turn", [AVERAGING, replace(AVERAGING, draws=4)], ids=["all alike", "by records"])
def test_sampling_is_by_partition_and_seed(turn):
    def asked(seed: int, round_number: int) -> list[int]:
        clients = Clients(turn, count=4, clients=20, seed=seed)
        return list(clients.strategy.choose(round_number, turn.draws).weights)

    assert asked(1, 1) == asked(1, 1)
    assert asked(1, 1) != asked(1, 2)
    assert asked(1, 1) != asked(2, 1)
    assert len(set(asked(1, 1))) == 4


def test_messages_carry_no_private_label_nor_their_counts():
    clients = Clients(AVERAGING)
    for message in clients.ask():
        assert set(message.content) == {"extractor", "adversary", "critic", "config"}
    reply = clients.reply(clients.ask()[0], update(1, 5))
    losses = {"privacy", "information", "adversary"}
    assert set(reply.content.metric_records["metrics"]) == {"num-examples", "exchange", *losses}


def test_draws_are_in_proportion_to_records():
    sizes = [0, 1, 2, 3, 10, 24]
    roster = Roster(PartitionOf(6), np.array(sizes))
    counts = np.zeros(6)
    for seed in range(2000):
        drawn = roster.draw(4, np.random.default_rng(seed))
        assert sum(drawn.values()) == 4
        assert list(drawn) == sorted(drawn)
        for partition, times in drawn.items():
            assert times in (int(4 * sizes[partition] / 40), int(4 * sizes[partition] / 40) + 1)
            counts[partition] += times
    np.testing.assert_allclose(counts / 2000, [4 * size / 40 for size in sizes], atol=0.03)


def test_draws_are_the_weights_of_a_gradient():
    turn = Turn("adversary-gradient", 1, {"adversary": "adversary"}, draws=2)
    sizes = {0: 90, 1: 5, 2: 5}
    clients = Clients(turn, clients=3, sizes=sizes)
    messages = clients.ask()
    asked = [clients.roster.partition_of[m.metadata.dst_node_id] for m in messages]
    assert asked in ([0], [0, 1], [0, 2])
    values = {0: 1.0, 1: 4.0, 2: 4.0}
    groups = {p: {"adversary": update(values[p], 0).groups["adversary"]} for p in asked}
    replies = [
        clients.reply(m, Update(groups[p], sizes[p], (0, 0, 0), 1)) for m, p in zip(messages, asked, strict=True)
    ]
    clients.strategy.aggregate_train(1, replies)
    assert float(clients.strategy.groups["adversary"]["w"][0]) == (10 if asked == [0] else 25)


def test_turns():
    federation = FederationConfig(rounds=2, updates_per_round=2, server_learning_rate=0.1, gradient_clients=7)
    exchanges = gradient_exchanges(federation, MethodConfig(adversary_steps=2, closing_steps=0, decay=0.5))
    turns, rules = exchanges.turns, exchanges.rules
    assert [turn.phase for turn in turns] == ["adversary-gradient", "adversary-gradient", "hybrid-gradient"] * 4
    assert [turn.round for turn in turns] == [1] * 6 + [2] * 6
    assert {turn.draws for turn in turns} == {7}
    assert turns[0].sends == ("extractor", "adversary")
    assert {turn.rules["adversary"] for turn in turns} == {"adversary"}  # one Adam
    steps = []
    for turn in turns[2::3]:
        before = arrays(0.0)
        steps.append(-float(rules[turn.rules["extractor"]](before, [arrays(1.0)], [1])["w"][0]))
    assert steps == pytest.approx([0.1, 0.1, 0.1, 0.05], rel=1e-4)  # falls over the last half of the updates
    weights = weight_exchanges(FederationConfig(rounds=3), MethodConfig())
    assert [turn.phase for turn in weights.turns] == ["local-training"] * 3


def test_the_adversary_learns_more_while_the_extractor_comes_to_rest():
    federation = FederationConfig(rounds=2, updates_per_round=3)
    exchanges = gradient_exchanges(federation, MethodConfig(adversary_steps=1, closing_steps=2, decay=0.4, drop=0.5))
    turns = exchanges.turns
    counts = [len(list(run)) for alone, run in groupby(turns, lambda t: t.phase == "adversary-gradient") if alone]
    assert counts == [1, 1, 1, 1, 3, 3]  # of 6 updates the step size falls in the last two
    assert [turn.round for turn in turns] == [1] * 6 + [2] * (2 + 2 * 4)
    rates = []
    for turn in turns:
        before = arrays(0.0)
        rates.append(-float(exchanges.rules[turn.rules["adversary"]](before, [arrays(1.0)], [1])["w"][0]))
    # its own step size falls to a tenth after half of the updates, however many steps those have
    assert rates == pytest.approx([0.002] * 6 + [0.0002] * 10, rel=1e-3)


def test_the_roster_asks_who_is_who_and_says_who_is_missing(make_store):

    store = make_store(4)

    class Plain:
        """Only Flower's own interface."""

        def __init__(self, there: int) -> None:
            self.inner = grid_of(store)
            self.there = there

        def get_node_ids(self):
            return [FIRST_NODE + i for i in (2, 0, 3, 1)][: self.there]

        def send_and_receive(self, messages, *, timeout=None):
            return list(reversed(list(self.inner.send_and_receive(messages, timeout=timeout))))

    roster = take_roster(Plain(4), 4)
    assert roster.partitions == [0, 1, 2, 3]
    assert roster.node(3) == FIRST_NODE + 3
    with pytest.raises(TimeoutError, match="only 2 of 4 clients are there after 0 s"):
        take_roster(Plain(2), 4, patience=0.1)
    some = take_roster(Plain(3), 4, patience=0.1, allowed_failures=0.25)
    assert (some.partitions, some.absent) == ([0, 2, 3], [1])
    assert some.may_fail(0.25, 3) == 0  # the share of all clients that may fail is missing already
    assert some.may_fail(0.5, 3) == 1
    assert roster.may_fail(0.25, 2) == 0.5
    with pytest.raises(TimeoutError, match="only 3 of 4 clients are there"):
        take_roster(Plain(3), 4, patience=0.1, allowed_failures=0.2)

    class Liar(Plain):
        """Client 1 says about itself what is given."""

        def __init__(self, **says: object) -> None:
            super().__init__(4)
            self.says = says

        def send_and_receive(self, messages, *, timeout=None):
            replies = super().send_and_receive(messages, timeout=timeout)
            for reply in replies:
                if reply.metadata.src_node_id == FIRST_NODE + 1:
                    for name, value in self.says.items():
                        reply.content["config"][name.replace("_", "-")] = value
            return replies

    for says in ({"num_examples": -1}, {"num_examples": 1e12}, {"partition_id": "1"}):
        with pytest.raises(TimeoutError, match="only 3 of 4 clients said who they are"):
            take_roster(Liar(**says), 4)
        assert take_roster(Liar(**says), 4, allowed_failures=0.25).partitions == [0, 2, 3]
    with pytest.raises(InputError, match="more than one node says to be client 2"):
        take_roster(Liar(partition_id=2), 4)
