"""Robust aggregation: exact on small examples, near the honest mean under attack, for gradients and weights."""

import numpy as np
import pytest

from fl_tiprdc.config import FederationConfig, Point, build_experiment
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.local_messages import FIRST_NODE
from fl_tiprdc.federated.server_app import train_point
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.wire.messages import pack_arrays, unpack_arrays
from strategies.aggregation import Average, ServerAdam, weighted_mean
from strategies.exchange_plan import gradient_exchanges, weight_exchanges
from strategies.robust import (
    AGGREGATIONS,
    aggregate_for,
    check_aggregation,
    clipped_mean,
    hostile_among,
    median,
    multi_krum,
    trimmed_mean,
)
from strategies.roster import take_roster
from tests.conftest import initial_arrays
from tests.inline_grid import InlineGrid

ROBUST = [name for name in AGGREGATIONS if name != "mean"]


def column(*values: float) -> list[dict[str, np.ndarray]]:
    """Replies of clients with a single number each."""
    return [{"w": np.array([value], dtype=np.float32)} for value in values]


def number(arrays) -> float:
    assert arrays["w"].dtype == np.float32
    return float(arrays["w"][0])


def test_a_rule_of_ones_own_is_registered_from_outside(monkeypatch):
    assert aggregate_for(FederationConfig()) is weighted_mean
    experiment = build_experiment({"federation": {"aggregation": "first"}})
    with pytest.raises(InputError, match=r"federation\.aggregation is 'first': must be one of 'mean', 'trimmed-mean'"):
        check_aggregation(experiment)
    monkeypatch.setitem(AGGREGATIONS, "first", lambda share: lambda replies, weights: replies[0])
    check_aggregation(experiment)
    assert number(aggregate_for(experiment.federation)(column(3, 4), [1, 1])) == 3


@pytest.mark.parametrize(("value", "why"), [(0.5, "below 0.5"), (-0.1, "at least 0")])
def test_half_of_the_clients_or_more_cannot_be_withstood(value, why):
    with pytest.raises(InputError, match=f"federation.byzantine is {value}: must be {why}"):
        build_experiment({"federation": {"byzantine": value}})


def test_the_number_of_hostile_clients_is_rounded_up_and_fewer_than_half():
    assert [hostile_among(n, 0.2) for n in (1, 2, 3, 5, 6, 10, 20, 21)] == [0, 0, 1, 1, 2, 2, 4, 5]
    assert hostile_among(10, 0.3) == 3  # 0.3 · 10 is a little above 3 in floating point
    assert hostile_among(10, 0.0) == 0
    assert hostile_among(10, 0.49) == 4


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 20, 33, 64, 100])
def test_the_median_is_that_of_each_number(count):
    generator = np.random.default_rng(count)
    for values in (
        generator.normal(size=(count, 7, 3)),
        generator.integers(0, 3, size=(count, 50)),
        range(count)[::-1],
    ):
        values = np.asarray(values, dtype=np.float32)
        replies = [{"w": value} for value in values]
        np.testing.assert_allclose(median(replies, [1] * count)["w"], np.median(values, axis=0), rtol=1e-6)


def test_trimmed_mean_by_hand():
    assert number(trimmed_mean(column(100, 1, 3, 2, -50), [1] * 5, 0.2)) == 2
    assert number(trimmed_mean(column(100, 1, 3, 2, -50), [1] * 5, 0.4)) == 2
    assert number(trimmed_mean(column(4, 1, 7), [1] * 3, 0.0)) == 4
    two = [{"w": np.array(values, np.float32)} for values in ([0, 9], [1, 0], [9, 1])]
    assert trimmed_mean(two, [1] * 3, 0.2)["w"].tolist() == [1, 1]  # each coordinate by itself


def test_median_by_hand():
    assert number(median(column(100, 1, 3, 2, -50), [1] * 5)) == 2
    assert number(median(column(100, 1, 3, -50), [1] * 4)) == 2  # between the middle two
    assert number(median(column(5), [1])) == 5


def test_multi_krum_by_hand():
    # n = 5, f = 1: each is scored by its 2 nearest: 0: 1+4, 1: 1+1, 2: 1+4, 9: 49+64, 4: 4+9
    assert number(multi_krum(column(0, 1, 2, 9, 4), [1] * 5, 0.2)) == pytest.approx((0 + 1 + 2 + 4) / 4)
    # f = 2: the nearest alone: 0: 1, 1: 1, 2: 1; 4 and 9 are left out
    assert number(multi_krum(column(9, 0, 1, 2, 4), [1] * 5, 0.4)) == pytest.approx(1)
    assert number(multi_krum(column(3, 5), [1] * 2, 0.2)) == 4
    assert number(multi_krum(column(3), [1], 0.2)) == 3


def test_multi_krum_takes_whole_replies_and_sees_small_distances_beside_a_huge_one():
    generator = np.random.default_rng(0)
    honest = [{"a": generator.normal(size=(3, 2)).astype(np.float32), "b": np.float32([i])} for i in range(4)]
    outlier = {"a": np.full((3, 2), 1.0, np.float32), "b": np.float32([1e9])}
    got = multi_krum([*honest[:2], outlier, *honest[2:]], [1] * 5, 0.2)
    want = weighted_mean(honest, [1] * 4)
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value)


def test_clipping_by_hand():
    replies = [{"a": np.float32([3]), "b": np.float32([4])}, {"a": np.float32([30]), "b": np.float32([-40])}]
    got = clipped_mean(replies, [1, 1], limit=5.0)  # the norm is over all arrays: 5 and 50
    assert (float(got["a"][0]), float(got["b"][0])) == (3, 0)
    got = clipped_mean(replies, [1, 1], limit=2.5)
    assert (float(got["a"][0]), float(got["b"][0])) == (1.5, 0)
    assert number(clipped_mean(column(1, 2, -1000), [1] * 3)) == pytest.approx((1 + 2 - 2) / 3)  # the median norm is 2
    assert number(clipped_mean(column(0, 0, 0), [1] * 3)) == 0


@pytest.mark.parametrize("name", ROBUST)
def test_a_client_cannot_buy_weight(name):
    aggregate = AGGREGATIONS[name](0.2)
    replies = column(1, 2, 3, 4, 90)
    assert number(aggregate(replies, [1, 1, 1, 1, 10**9])) == number(aggregate(replies, [1] * 5))
    assert number(weighted_mean(replies, [1, 1, 1, 1, 10**9])) > 89


# relative distance to the honest mean that is near: clipped replies still count, with a norm that is no larger
NEAR = {"trimmed-mean": 0.3, "median": 0.3, "multi-krum": 0.05, "norm-clipping": 0.45}


@pytest.mark.parametrize("name", ROBUST)
@pytest.mark.parametrize("seed", range(3))
def test_a_fifth_of_sign_flipped_updates_changes_little(name, seed):
    generator = np.random.default_rng(seed)
    truth = {"w": generator.normal(size=(30, 10)), "b": generator.normal(size=10)}
    honest = [
        {k: (v + 0.3 * generator.normal(size=v.shape)).astype(np.float32) for k, v in truth.items()} for _ in range(16)
    ]
    hostile = [{k: -10 * v for k, v in reply.items()} for reply in honest[:4]]
    replies = [*hostile[:2], *honest, *hostile[2:]]
    want = weighted_mean(honest, [1] * 16)

    def off(arrays) -> float:
        squares = [((arrays[k] - want[k]) ** 2).sum() for k in want]
        return float(np.sqrt(sum(squares) / sum((v**2).sum() for v in want.values())))

    assert off(weighted_mean(replies, [1] * 20)) > 2
    assert off(AGGREGATIONS[name](0.2)(replies, [1] * 20)) < NEAR[name]


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_weights_are_aggregated_as_updates(name):
    current = {"w": np.float32([10, 20])}
    updates = [{"w": np.float32(v)} for v in ([1, 1], [2, 0], [3, 2], [2, 1], [-90, 90])]
    replies = [{"w": current["w"] + u["w"]} for u in updates]
    aggregate = AGGREGATIONS[name](0.2)
    got = Average(aggregate)(current, replies, [1] * 5)["w"]
    np.testing.assert_allclose(got, current["w"] + aggregate(updates, [1] * 5)["w"], rtol=1e-5)
    assert got.dtype == np.float32


def test_the_mean_of_weights_is_the_plain_one_to_the_bit():
    generator = np.random.default_rng(0)
    current, *replies = ({"w": generator.normal(size=100).astype(np.float32)} for _ in range(8))
    weights = list(range(1, 8))
    want = weighted_mean(replies, weights)["w"]
    assert np.array_equal(Average()(current, replies, weights)["w"], want)
    assert np.array_equal(Average(AGGREGATIONS["mean"](0.2))(current, replies, weights)["w"], want)


@pytest.mark.parametrize("name", ROBUST)
def test_gradients_are_aggregated_before_adam(name):
    current, aggregate = {"w": np.float32([1, 1])}, AGGREGATIONS[name](0.2)
    gradients = [{"w": np.float32(v)} for v in ([1, -1], [2, -2], [1, -1], [1, -2], [-900, 900])]
    robust, plain = ServerAdam(0.1, 0.5, aggregate=aggregate), ServerAdam(0.1, 0.5)
    want = plain(current, [aggregate(gradients, [1] * 5)], [1])["w"]
    got = robust(current, gradients, [1] * 5)["w"]
    np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(got, [0.9, 1.1], rtol=1e-4)  # down the honest slope
    np.testing.assert_allclose(ServerAdam(0.1, 0.5)(current, gradients, [1] * 5)["w"], [1.1, 0.9], rtol=1e-4)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_turns_aggregate_as_the_settings_say(name):
    federation = FederationConfig(rounds=1, updates_per_round=1, aggregation=name, server_learning_rate=0.1)
    replies, current = column(1, 1, 1, 1, -900), {"w": np.float32([0])}
    up = 1 if name != "mean" else -1
    weights = weight_exchanges(federation, MethodConfig())
    assert {np.sign(number(rule(current, replies, [1] * 5))) for rule in weights.rules.values()} == {up}
    gradients = gradient_exchanges(federation, MethodConfig(pretraining=1))
    assert {np.sign(number(rule(current, replies, [1] * 5))) for rule in gradients.rules.values()} == {-up}


class Flipping(InlineGrid):
    """Clients 1 and 6 send ten times the opposite of what they found."""

    hostile = (1, 6)

    def answer_all(self, messages, timeout):
        replies = super().answer_all(messages, timeout)
        for message, reply in zip(messages, replies, strict=True):
            if message.metadata.dst_node_id - FIRST_NODE not in self.hostile:
                continue
            weights = message.content["config"]["phase"].startswith("local")
            for name in [n for n in reply.content if n != "metrics"]:
                got, sent = unpack_arrays(reply.content[name]), unpack_arrays(message.content[name])
                lie = {k: v - 11 * (v - weights * sent[k]) for k, v in got.items()}
                reply.content[name] = pack_arrays(lie)
        return replies


@pytest.mark.parametrize("method", ["tiprdc", "tiprdc+"])
def test_a_training_under_attack_goes_the_honest_way(method, small, make_store, population, one_thread):
    store = make_store(10)
    app = build_client_app(str(store.root))

    def moved(grid, aggregation: str) -> dict[str, np.ndarray]:
        changes = {"rounds": 1, "gradient_clients": 0, "gradient_records": 0, "aggregation": aggregation}
        experiment = small(clients=10, methods=(method,), federation=changes)
        start = initial_arrays(population, experiment, method)
        description = population.contributors.description
        trained = train_point(grid, take_roster(grid, 10), experiment, description, Point(method, 0.5, 0))
        return {
            name: np.concatenate([(group[key] - start[name][key]).ravel() for key in group])
            for name, group in trained.groups.items()
        }

    def cosine(a, b) -> float:
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    honest = moved(InlineGrid(app, store), "mean")
    attacked = moved(Flipping(app, store), "mean")
    assert all(cosine(attacked[name], honest[name]) < 0 for name in honest)
    for aggregation in ROBUST:
        robust = moved(Flipping(app, store), aggregation)
        for name in honest:
            # Adam makes small differences between small gradients large ones
            assert cosine(robust[name], honest[name]) > 0.5, (aggregation, name)
