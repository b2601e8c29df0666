"""Attacks on people rather than attributes: matching to raw records, membership, averaging."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from fl_tiprdc.config import AuditConfig, CentralizedConfig
from fl_tiprdc.data.crowd import Attribute, Column, Description, Records
from fl_tiprdc.data.raw_features import raw_features
from fl_tiprdc.evaluation.attacks.averaging import averaging_attack, mean_release
from fl_tiprdc.evaluation.attacks.membership import (
    COMPANY,
    LOSSES,
    REPRESENTATIONS,
    membership,
    record_losses,
    sampled_losses,
    white_box_records,
)
from fl_tiprdc.evaluation.attacks.reidentification import reidentify, share_with_interval
from fl_tiprdc.evaluation.audit import AuditedRelease
from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.hybrid.centralized import train_centralized
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.draws import draws_from
from tests.conftest import noise_left

PANEL = AuditConfig(attackers=("logistic", "boosting"), probes=("logistic",), bootstrap=100)
N, K = 1500, 12


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


pytestmark = pytest.mark.usefixtures("one_thread_each")


# ---- re-identification


@pytest.fixture(scope="module")
def raw():
    """Raw records of contributors and of held-out people: correlated numbers."""
    mix = normal(0, K, K)
    return normal(1, N, K) @ mix, normal(2, 600, K) @ mix


def match(raw, z, tested_z, **more):
    return reidentify(*(raw[0], z, raw[1], tested_z), np.arange(len(raw[1])), 0, **more)


def test_a_release_of_the_record_itself_finds_everybody(raw):
    found = match(raw, *raw, clean=raw[1], people=500)
    assert (found.people, found.chance) == (500, 1 / 500)
    assert set(found.rates) == {"from-z", "from-x", "white-box"}
    for rate in found.rates.values():
        assert rate.value > 0.99
        assert rate.low > 0.98
    turned = raw[0] @ normal(5, K, K), raw[1] @ normal(5, K, K)  # what is linear hides nobody
    assert match(raw, *turned).worst.value > 0.99


def test_pure_noise_finds_nobody(raw):
    found = match(raw, normal(3, N, 8), normal(4, 600, 8), clean=normal(5, 600, 8))
    assert found.people == 600  # as many as there are
    for rate in found.rates.values():
        assert rate.low <= found.chance <= rate.high
        assert rate.value < 0.01


def test_more_noise_finds_fewer_and_the_extractor_helps(raw):
    """An extractor that is no linear map: who has it matches better than a regression."""
    sides = [np.sign(side @ normal(6, K, 10)) * np.abs(side @ normal(7, K, 10)) ** 0.5 for side in raw]
    rates = []
    for sigma in (0.2, 0.8, 3.0):
        noisy = [side + sigma * normal(8 + i, *side.shape) for i, side in enumerate(sides)]
        rates.append(match(raw, *noisy, clean=sides[1]).rates)
    for name in ("from-z", "from-x", "white-box"):
        assert rates[0][name].value > rates[1][name].value > rates[2][name].value
    assert all(rate["white-box"].value >= max(rate["from-z"].value, rate["from-x"].value) for rate in rates[:2])
    assert rates[0]["white-box"].low > 0.9


def test_people_with_the_same_record_are_told_apart_by_a_guess(raw):
    twice = np.concatenate([raw[1][:100], raw[1][:100]])
    found = match((raw[0], twice), raw[0], twice, clean=twice)
    for rate in found.rates.values():
        assert rate.value == pytest.approx(0.5, abs=0.01)


def test_one_record_of_each_person_is_looked_for(raw):
    people = np.repeat(np.arange(200), 3)
    found = reidentify(raw[0], raw[0], raw[1], raw[1], people, 0)
    assert found.people == 200
    assert found.worst.value > 0.99
    again = reidentify(raw[0], raw[0], raw[1], raw[1], people, 0)
    assert again == found


def test_records_may_be_in_another_order_than_their_releases(raw):
    """A crowd's releases arrive client by client, and some not at all."""
    rows = np.random.default_rng(0).permutation(N)[:1000]
    noisy = raw[0] + normal(9, *raw[0].shape), raw[1] + normal(10, *raw[1].shape)
    told = reidentify(raw[0], noisy[0][rows], raw[1], noisy[1], np.arange(600), 0, rows=rows)
    assert told == reidentify(raw[0][rows], noisy[0][rows], raw[1], noisy[1], np.arange(600), 0)
    astray = reidentify(raw[0][:1000], noisy[0][rows], raw[1], noisy[1], np.arange(600), 0)
    assert astray.worst.value < 0.5 * told.worst.value


def test_wide_records_and_wide_releases_are_matched(raw):
    wide = [np.concatenate([side, normal(20 + i, len(side), 600)], axis=1) for i, side in enumerate(raw)]
    assert reidentify(wide[0], wide[0], wide[1], wide[1], np.arange(600), 0).worst.value > 0.9


def test_the_interval_of_few_hits_is_none_too_narrow():
    none, all_ = share_with_interval(0, 1000), share_with_interval(1000, 1000)
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 1000)))  # exact by hand
    assert (all_.value, all_.low, all_.high) == pytest.approx((1, 0.025 ** (1 / 1000), 1))
    draws = np.random.default_rng(0).binomial(1000, 1 / 1000, 400)
    covered = [share_with_interval(int(hits), 1000) for hits in draws]
    assert np.mean([score.low <= 1 / 1000 <= score.high for score in covered]) >= 0.95


def test_matching_as_rows_of_metrics(raw):
    release = AuditedRelease("federated", "m", 0.5, 3, *raw)
    rows = match(raw, *raw).metrics(release)
    assert list(rows.columns) == COLUMNS
    assert set(rows["model"]) == {"chance", "from-z", "from-x"}
    assert (rows[["setting", "method", "lam", "seed", "kind"]] == ["federated", "m", 0.5, 3, "reidentification"]).all(
        axis=None
    )
    assert (rows["metric"] == "top-1").all()  # never taken for an AUC


# ---- membership


def auc(table, target, model):
    rows = table[(table["target"] == target) & (table["model"] == model) & (table["metric"] == "auc")]
    return rows.iloc[0]


def release_of(contributors, held_out):
    return AuditedRelease("centralized", "m", 0.5, 0, contributors, held_out)


def test_a_release_that_marks_members_is_caught():
    marked = release_of(normal(1, 600, 6) + 0.7, normal(2, 400, 6))
    table = membership(marked, np.arange(600), np.arange(400), PANEL)
    assert list(table.columns) == COLUMNS
    assert set(table["kind"]) == {"membership"}
    assert set(table["target"]) == {REPRESENTATIONS}
    for name in PANEL.attackers:
        assert auc(table, REPRESENTATIONS, name)["low"] > 0.75
    chance = table[(table["model"] == MAJORITY) & table["metric"].isin(["auc", "accuracy", "balanced-accuracy"])]
    assert (chance["value"] == 0.5).all()  # groups of one size: accuracy as well as AUC


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_release_that_knows_no_members_is_not(seed):
    same = release_of(normal(10 + seed, 900, 6), normal(20 + seed, 900, 6))
    table = membership(same, np.arange(900), np.arange(900), PANEL)
    row = auc(table, REPRESENTATIONS, "logistic")
    assert row["low"] <= 0.5 <= row["high"]


def test_nobody_is_both_learned_from_and_tested():
    """Each person has a fingerprint in all 5 records: known people would be told at once, new ones can't be."""
    prints = normal(3, 400, 6)
    people = np.repeat(np.arange(200), 5)
    sides = [np.repeat(side, 5, axis=0) + 0.01 * normal(4, 1000, 6) for side in (prints[:200], prints[200:])]
    table = membership(release_of(*sides), people, people, PANEL)
    assert auc(table, REPRESENTATIONS, "boosting")["value"] < 0.65
    assert auc(table, REPRESENTATIONS, "logistic")["low"] <= 0.5


@pytest.fixture(scope="module")
def task():
    """A crowd whose private value is a coin toss: what an adversary knows of it, it has learned by heart."""
    columns = tuple(Column(f"x{i}", "numeric", i) for i in range(20))
    description = Description.of_table(columns, (Attribute("u", ("a", "b")),), ((0.5, 0.5),))
    sides = [
        Records(normal(30 + i, n, 20), np.random.default_rng(40 + i).integers(0, 2, (n, 1)))
        for i, n in enumerate((80, 80 + COMPANY))
    ]
    return description, *sides


def losses_after(task, small, epochs):
    """Losses of networks after `epochs` over the members, extractor and adversary trained to tell u."""
    description, members, others = task
    experiment = small(network={"representation": 16, "extractor_hidden": (128,), "adversary_hidden": (128,)})
    step = HybridStep(description, experiment.network, experiment.method_config("tiprdc+"))
    groups = step.initial(0)
    trained = {name: {k: v.clone().requires_grad_() for k, v in groups[name].items()} for name in groups}
    optimizer = torch.optim.Adam([v for name in ("extractor", "adversary") for v in trained[name].values()], lr=3e-3)
    from torch.func import functional_call

    x, u = torch.tensor(members.x), torch.tensor(members.private)
    for _ in range(epochs):
        optimizer.zero_grad()
        z = step.represent(trained["extractor"], x, torch.zeros(len(x), step.d), 0.0)
        logits = functional_call(step._modules["adversary"], trained["adversary"], (z,))
        functional.cross_entropy(logits, u[:, 0]).backward()
        optimizer.step()
    final = {name: {k: v.detach() for k, v in group.items()} for name, group in trained.items()}
    return step, final, record_losses(step, final, members, others, 0.0, 0)


def test_networks_that_know_their_members_by_heart_are_caught(task, small):
    _, members, others = task
    panel = PANEL.model_copy(update={"attackers": ("logistic",)})
    people = np.arange(len(members)), np.arange(len(others))
    results = {}
    for epochs in (0, 150):
        _, _, losses = losses_after(task, small, epochs)
        assert losses[0].shape == (80, 3)
        assert np.isnan(losses[1][:COMPANY]).all()  # the company is nobody to test on
        assert np.isfinite(losses[0]).all()
        assert np.isfinite(losses[1][COMPANY:]).all()
        blank = release_of(normal(1, len(members), 2), normal(2, len(others), 2))
        table = membership(blank, *people, panel, losses)
        assert set(table["target"]) == {REPRESENTATIONS, LOSSES}
        results[epochs] = auc(table, LOSSES, "logistic")
    assert results[150]["low"] > 0.6
    assert results[0]["low"] <= 0.5 <= results[0]["high"]  # fresh networks know nobody


def test_stacked_losses_are_those_of_one_record_after_the_other(task, small):
    _, members, others = task
    step, groups, stacked = losses_after(task, small, 3)
    few = Records(members.x[:6], members.private[:6])
    step.stacks = "never"
    one_by_one = record_losses(step, groups, few, others, 0.0, 0)
    np.testing.assert_allclose(one_by_one[0], stacked[0][:6], atol=1e-5)


def test_losses_of_some_records_only(task, small):
    """Those drawn have their own losses, whichever rows are looked at; the others are left out of the attack."""
    step, groups, _ = losses_after(task, small, 2)
    assert white_box_records(step) == 500
    u = np.random.default_rng(50).integers(0, 2, (600, 1))
    members, others = Records(normal(51, 560, 20), u[:560]), Records(normal(52, 600, 20), u)
    whole, whole_others = record_losses(step, groups, members, others, 0.0, 0)
    rows = np.arange(559, 9, -1)
    mine, theirs = sampled_losses(step, groups, members, others, 0.0, 0, rows)
    assert (mine.shape, theirs.shape) == ((550, 3), (len(others), 3))
    for some, place in ((mine, whole[rows]), (theirs, whole_others)):
        kept = np.isfinite(some).all(1)
        assert kept.sum() == 500
        np.testing.assert_allclose(some[kept], place[kept], atol=1e-5)
    assert np.isnan(theirs[:COMPANY]).all()


def test_losses_of_wide_records_take_fewer_of_them():
    from fl_tiprdc.config import build_experiment

    experiment = build_experiment({})
    found = []
    for side in (16, 64, 200):
        shape = Description((Attribute("u", ("a", "b")),), ((0.5, 0.5),), (3, side, side), "image")
        found.append(white_box_records(HybridStep(shape, experiment.network, experiment.method_config("tiprdc+"))))
    assert found == [500, 100, 0]


def test_a_short_training_of_the_method_itself_keeps_its_members(population, small):
    """360 records of Adult: neither representations nor losses tell who trained."""
    experiment = small(centralized={"steps": 60})
    crowd, others = population.contributors, population.held_out
    step = HybridStep(crowd.description, experiment.network, experiment.method_config("tiprdc+"))
    config = CentralizedConfig(steps=60, batch_size=64)
    result, _ = train_centralized(step, crowd.records(), [0.5], 0, config)
    groups = {name: {k: v[0] for k, v in group.items()} for name, group in result.groups.items()}
    sigma = step.method.sigma(0.5)
    sides = [
        step.release(groups, 0.5).apply(side.x, side.private, draws_from(torch.Generator().manual_seed(i))).z
        for i, side in enumerate((crowd, others))
    ]
    losses = record_losses(step, groups, crowd.records(), others.records(), sigma, 0)
    table = membership(release_of(*sides), crowd.participant, others.participant, PANEL, losses)
    for target in (REPRESENTATIONS, LOSSES):
        row = auc(table, target, "logistic")
        assert row["low"] <= 0.5 <= row["high"]


# ---- averaging


@pytest.fixture(scope="module")
def noisy_release(population):
    from fl_tiprdc.config import build_experiment
    from tests.conftest import SMALL

    experiment = build_experiment(SMALL)
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config("tiprdc+"))
    groups = step.initial(0)
    return lambda sigma: step.release(groups, 0.5, sigma)


def test_the_mean_of_independent_draws_has_less_noise(noisy_release, population):
    crowd, sigma = population.contributors, 2.0
    clean = mean_release(noisy_release(0.0), crowd, 1, 0)
    for draws in (1, 4, 16):
        left = noise_left(mean_release(noisy_release(sigma), crowd, draws, 0), clean)
        assert left == pytest.approx(sigma / np.sqrt(draws), rel=0.05)


def test_who_averages_beats_who_does_not(noisy_release, population):
    noisy = noisy_release(3.0)  # untrained: it hides nothing but by its noise
    where = release_of(np.empty((0, 8)), np.empty((0, 8)))
    table = averaging_attack(noisy, population.contributors, population.held_out, 3.0, where, PANEL, draws=(1, 64))
    assert list(table.columns) == COLUMNS
    assert set(table["kind"]) == {"averaging"}
    best = {k: max(auc(table[table["level"] == k], "sex", name)["value"] for name in PANEL.attackers) for k in (1, 64)}
    assert best[64] > best[1] + 0.1
    one = population.held_out
    clean = mean_release(noisy_release(0.0), one, 1, 0)
    rates = {}
    for k in (1, 64):  # and finds the person as well
        sides = [mean_release(noisy, side, k, i) for i, side in enumerate((population.contributors, one))]
        raw = raw_features(population.contributors), raw_features(one)
        rates[k] = reidentify(raw[0], sides[0], raw[1], sides[1], one.participant, 0, clean).rates["white-box"].value
    assert rates[64] > 2 * rates[1] + 0.05
