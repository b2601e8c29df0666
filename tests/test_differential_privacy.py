"""Client-level differential privacy: what one client can change, the noise on it, and what ε says."""

import json
import math
import sys

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import FederationConfig, Point, ProtectionConfig
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation import privacy_budget as budgets
from fl_tiprdc.evaluation.privacy_budget import budget_lines, epsilon, privacy_budget
from fl_tiprdc.federated.local_messages import PartitionOf
from fl_tiprdc.federated.server_app import exchanges_for, training_name
from fl_tiprdc.wire.update_rows import clip_factors, flatten, unflatten, update_rows
from strategies.differential_privacy import PrivateMean
from strategies.roster import Roster
from strategies.server_draws import SecretDraws, SeededDraws, TrainingName, server_draws
from strategies.update_protection import update_protection
from tests.test_secagg import Faulty, train

EACH_DRAWS = pytest.mark.parametrize(
    "draws", [SeededDraws(0), SecretDraws(bytes(32))], ids=["simulation", "deployment"]
)
SIZES = [500, 1, 20, 20, 20, 20, 300, 0, 19, 100]


def roster(sizes=SIZES) -> Roster:
    return Roster(PartitionOf(len(sizes)), dict(enumerate(sizes)))


def groups_of(generator, clients: int, scale: float = 1.0):
    shapes = {"extractor": {"w": (3, 4), "b": (4,)}, "adversary": {"w": (5,)}}
    return {
        group: {name: (scale * generator.normal(size=(clients, *s))).astype(np.float32) for name, s in arrays.items()}
        for group, arrays in shapes.items()
    }


# ---- clipping


def test_flat_and_back():
    generator = np.random.default_rng(0)
    groups = groups_of(generator, 3)
    rows = flatten(groups)
    assert rows.shape == (3, 21)
    back = unflatten(rows[1], {g: {k: v[0] for k, v in arrays.items()} for g, arrays in groups.items()})
    assert [list(arrays) for arrays in back.values()] == [["w", "b"], ["w"]]  # in their order
    for group, arrays in groups.items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(back[group][name], value[1])


def test_a_clients_whole_part_is_clipped_with_its_weight():
    generator = np.random.default_rng(1)
    groups, weights = groups_of(generator, 6), [1, 2, 1, 0, 50, 1e-4]
    rows = update_rows(groups, weights, clip=2.0)
    plain = flatten(groups) * np.array(weights)[:, None]
    norms, before = np.linalg.norm(rows, axis=1), np.linalg.norm(plain, axis=1)
    assert (norms <= 2.0 * (1 + 1e-12)).all()
    np.testing.assert_allclose(norms, np.minimum(before, 2.0))
    np.testing.assert_allclose(rows[5], plain[5])  # small ones stay as they are
    origin = {g: {k: v[0] for k, v in arrays.items()} for g, arrays in groups.items()}
    assert np.abs(update_rows(groups, weights, origin)[0]).max() == 0
    assert clip_factors(np.array([0.0, 1.0, 4.0]), 2.0).tolist() == [1, 1, 0.5]


@pytest.mark.parametrize("by_records", [True, False])
def test_one_client_changes_the_sum_by_the_clipping_norm_at_most_however_large_it_is(by_records):
    """For every draw that it is in, whatever its update: the sensitivity that the accountant takes for granted."""
    private = PrivateMean(ProtectionConfig(noise=1.0, clip=0.7), SeededDraws(3))
    generator = np.random.default_rng(2)
    largest, heaviest = 0.0, 0.0
    for exchange in range(40):
        drawn = private.draw(roster(), exchange, 4, by_records)
        if not drawn.weights:
            continue
        rows = update_rows(groups_of(generator, len(drawn.weights), 10.0), list(drawn.weights.values()), clip=0.7)
        for i, weight in enumerate(drawn.weights.values()):
            change = rows.sum(axis=0) - np.delete(rows, i, axis=0).sum(axis=0)
            largest, heaviest = max(largest, float(np.linalg.norm(change))), max(heaviest, weight)
        assert drawn.expected == 4  # the denominator doesn't depend on who was drawn
    assert heaviest > 1.5
    assert largest == pytest.approx(0.7)


# ---- draws


@EACH_DRAWS
@pytest.mark.parametrize("by_records", [True, False])
def test_clients_are_drawn_by_coins_of_their_own_and_the_mean_is_that_over_records(by_records, draws):
    private, count, times = PrivateMean(ProtectionConfig(noise=1.0), draws), 4, 4000
    drawn = [private.draw(roster(), exchange, count, by_records) for exchange in range(times)]
    there = np.array([[p in one.weights for p in range(10)] for one in drawn])
    mean = np.array([[one.weights.get(p, 0.0) for p in range(10)] for one in drawn]).mean(axis=0)
    np.testing.assert_allclose(mean, count * np.array(SIZES) / 1000, atol=0.06)
    chance = np.minimum(1, count * np.array(SIZES) / 1000) if by_records else np.full(10, 0.4)
    chance[7] = 0  # holds nothing
    np.testing.assert_allclose(there.mean(axis=0), chance, atol=0.03)
    assert {one.sampling for one in drawn} == {1.0 if by_records else 0.4}
    loose = [i for i in range(10) if 0.05 < chance[i] < 0.95]
    correlations = np.corrcoef(there[:, loose].T) - np.eye(len(loose))
    assert np.abs(correlations).max() < 0.06  # independent: what the accountant's amplification needs
    assert len({int(row.sum()) for row in there}) > 2  # and so not always as many


def test_the_usual_draw_is_not_independent():
    """Why noise has a draw of its own: with clients of one size, the usual one takes exactly as many each time."""
    generator = np.random.default_rng(0)
    assert {len(roster([10] * 8).draw(4, generator)) for _ in range(50)} == {4}


def test_no_two_exchanges_or_trainings_share_coins_or_noise(small):
    def noise(method: str, lam: float, seed: int, exchange: int, **changes) -> np.ndarray:
        protection = {"noise": 1.0, **changes.pop("protection", {})}
        experiment = small(methods=(method,), protection=protection, **changes)
        draws = server_draws(experiment, training_name(experiment, Point(method, lam, seed)), None)
        assert draws is not None
        return PrivateMean(experiment.protection, draws).add_noise(np.zeros(50), exchange)

    same = noise("tiprdc+", 0.5, 0, 1)
    np.testing.assert_array_equal(same, noise("tiprdc+", 0.5, 0, 1, runtime="flower", protection={"secagg": True}))
    others = [noise(*which) for which in (("tiprdc+", 0.5, 0, 2), ("tiprdc+", 0.9, 0, 1), ("tiprdc", 0.5, 0, 1))]
    others += [noise("tiprdc+", 0.5, 1, 1), noise("tiprdc+", 0.5, 0, 1, federation={"rounds": 9})]
    for other in others:
        assert abs(np.corrcoef(same, other)[0, 1]) < 0.5


@EACH_DRAWS
def test_the_noise_has_the_multiplier_times_the_clipping_norm(draws):
    private = PrivateMean(ProtectionConfig(noise=0.8, clip=2.5), draws)
    noise = np.concatenate([private.add_noise(np.zeros(20_000), exchange) for exchange in range(5)])
    assert noise.std() == pytest.approx(2.0, rel=0.01)
    assert abs(noise.mean()) < 0.02


# ---- trainings


def test_without_protection_there_is_none():
    assert update_protection(ProtectionConfig(), roster(), TrainingName("x"), 0, FederationConfig()) is None
    with pytest.raises(ValueError, match="noise and what it is drawn from"):
        update_protection(ProtectionConfig(noise=1.0), roster(), TrainingName("x"), 0, FederationConfig())


@pytest.mark.parametrize("method", ["tiprdc", "tiprdc+"])
def test_little_noise_and_no_clipping_is_the_plain_model(method, small, make_store, population, one_thread):
    """All clients in each exchange, so that the coins play no part."""
    store = make_store(9, "dirichlet:0.3")
    plain = train(Faulty(store, {}), small, population, method)
    private = train(Faulty(store, {}), small, population, method, protection={"noise": 1e-12, "clip": 1e4})
    for name, arrays in plain.groups.items():
        for key, value in arrays.items():
            np.testing.assert_allclose(private.groups[name][key], value, atol=1e-4)


@pytest.mark.parametrize("method", ["tiprdc", "tiprdc+"])
def test_secure_aggregation_changes_nothing_of_it(method, small, make_store, population, one_thread):
    """Clients clip, the server adds the same noise to the sum."""
    store, noise = make_store(9), {"noise": 1.0, "clip": 0.1}
    one = train(Faulty(store, {}), small, population, method, protection=noise)
    both = train(Faulty(store, {}), small, population, method, protection={**noise, "secagg": True})
    for name, arrays in one.groups.items():
        for key, value in arrays.items():
            np.testing.assert_allclose(both.groups[name][key], value, atol=1e-5)
    assert {e.sampling for e in both.exchanges} == {1.0}
    assert all(
        math.isnan(loss) for e in both.exchanges for loss in e.losses.values()
    )  # they would tell around the noise


@pytest.mark.parametrize("secagg", [False, True])
def test_one_clients_records_change_an_exchanges_mean_by_the_clipping_norm_at_most(
    secagg, small, make_store, population, one_thread
):
    """Two crowds that differ in all records of one client: same noise, so that the difference is what it changes."""
    store, other = make_store(9), make_store(9, "iid", 0)
    protection = {"noise": 1.0, "clip": 0.05, "secagg": secagg}
    rows = slice(store.offsets[4], store.offsets[5])
    changed = {"federation": {"rounds": 1, "learning_rate": 1e-3}}
    one = train(Faulty(store, {}), small, population, "tiprdc", protection=protection, **changed)
    x = np.lib.format.open_memmap(other.root / "x.npy", mode="r+")
    private = np.lib.format.open_memmap(other.root / "private.npy", mode="r+")
    x[rows], private[rows] = 100 * x[rows], 1 - private[rows]
    x.flush()
    private.flush()
    two = train(Faulty(other, {}), small, population, "tiprdc", protection=protection, **changed)
    square = sum(
        float(((one.groups[name][key] - value).astype(np.float64) ** 2).sum())
        for name, arrays in two.groups.items()
        for key, value in arrays.items()
    )
    assert 0 < math.sqrt(square) * 9 <= 2 * 0.05 * (1 + 1e-3)  # replaced: taken out and put in


def test_a_draw_of_nobody_or_too_few_for_a_secure_sum_leaves_noise(small, make_store, population, one_thread):
    store = make_store(9)
    for secagg in (False, True):
        few = {"gradient_clients": 3, "rounds": 2, "allowed_failures": 0.0}
        trained = train(
            Faulty(store, {}), small, population, protection={"noise": 1.0, "secagg": secagg}, federation=few
        )
        clients = [e.clients for e in trained.exchanges]
        assert min(clients) == 0 or not secagg
        assert not {1, 2} & set(clients) or not secagg
        assert {e.failures for e in trained.exchanges} == {0}
        assert all(np.isfinite(value).all() for value in trained.groups["extractor"].values())


# ---- ε


def test_epsilon_is_that_of_the_gaussian_mechanism_without_sampling():
    """One exchange with everybody: the exact ε of the Gaussian mechanism (Balle and Wang 2018) is below, not far."""
    pytest.importorskip("opacus")
    from scipy.optimize import brentq
    from scipy.stats import norm

    def delta_of(eps: float, sigma: float) -> float:
        return norm.cdf(0.5 / sigma - eps * sigma) - math.exp(eps) * norm.cdf(-0.5 / sigma - eps * sigma)

    for sigma, times in ((1.0, 1), (2.0, 1), (4.0, 16)):
        one = sigma / math.sqrt(times)
        exact = brentq(lambda e, s=one: delta_of(e, s) - 1e-5, 0.01, 60)
        found = epsilon(sigma, [(1.0, times)], 1e-5)
        assert exact <= found < 1.12 * exact


def test_epsilon_is_the_known_one_of_a_sampled_training_and_of_opacus():
    """Known: Abadi et al. 2016 (arXiv 1607.00133): q = 0.01, σ = 4, δ = 1e-5, 10,000 steps give ε = 1.26."""
    pytest.importorskip("opacus")
    from opacus.accountants import PRVAccountant, RDPAccountant

    assert epsilon(4.0, [(0.01, 10_000)], 1e-5) <= 1.27
    accountant = RDPAccountant()
    for _ in range(30):
        accountant.step(noise_multiplier=1.1, sample_rate=0.2)
    found = epsilon(1.1, [(0.2, 30)], 1e-5)
    assert found <= accountant.get_epsilon(1e-5) * (1 + 1e-9)
    tight = PRVAccountant()
    tight.history = [(1.1, 0.2, 30)]
    assert tight.get_epsilon(1e-5) < found < 1.2 * tight.get_epsilon(1e-5)
    assert epsilon(1.1, [(0.2, 10), (0.2, 20)], 1e-5) == pytest.approx(found)
    assert epsilon(1.1, [], 1e-5) == 0


def rounds(points: int, exchanges: int, sampling: float) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"setting": "federated", "method": "m", "lam": i / 10, "seed": 0, "sampling": sampling}
            for i in range(points)
            for _ in range(exchanges)
        ]
        + [{"setting": "centralized", "method": "m", "lam": 0.0, "seed": 0}]
    )


def test_the_budget_composes_over_the_points_of_a_sweep():
    pytest.importorskip("opacus")
    protection = ProtectionConfig(noise=2.0, delta=1e-6)
    found = privacy_budget(protection, rounds(3, 20, 0.1))
    assert [point["exchanges"] for point in found["points"]] == [20, 20, 20]
    assert {point["epsilon"] for point in found["points"]} == {round(epsilon(2.0, [(0.1, 20)], 1e-6), 4)}
    assert found["epsilon_of_all_points"] == round(epsilon(2.0, [(0.1, 60)], 1e-6), 4)
    json.dumps(found, allow_nan=False)
    each, together = budget_lines(found)
    assert "δ = 1e-06" in each
    assert "20 exchanges" in each
    assert "all 3 trainings" in together
    assert len(budget_lines(privacy_budget(protection, rounds(1, 20, 0.1)))) == 1
    assert privacy_budget(ProtectionConfig(), rounds(1, 20, 0.0)) == {}
    assert budget_lines({}) == []
    assert "epsilon_to_members" not in found
    both = privacy_budget(protection.model_copy(update={"secagg": True}), rounds(3, 20, 0.1))
    assert both["epsilon_of_all_points"] == found["epsilon_of_all_points"]
    assert both["epsilon_to_members"] == round(epsilon(2.0, [(1.0, 60)], 1e-6), 4)  # who know the coins
    assert "to clients, who are told" in budget_lines(both)[-1]
    json.dumps(privacy_budget(ProtectionConfig(noise=1e-6), rounds(1, 5, 1.0)), allow_nan=False)


def test_without_opacus_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(InputError, match=r"needs opacus: pip install -e '.\[dp\]'"):
        budgets.check_accountant()


def test_as_many_exchanges_are_counted_as_a_training_has(small, make_store, population, one_thread):
    trained = train(Faulty(make_store(9), {}), small, population, protection={"noise": 1.0})
    experiment = small(clients=9, federation={"rounds": 1, "gradient_clients": 0})
    assert len(trained.exchanges) == len(exchanges_for(experiment, "tiprdc+"))
    assert all(e.sampling > 0 for e in trained.exchanges)
