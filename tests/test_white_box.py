"""Attackers with the extractor in hand, and what the whole panel says where there is nothing to find."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, audit
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS
from fl_tiprdc.evaluation.frontier import summarize_points
from fl_tiprdc.evaluation.shaped_classifiers import shaped
from fl_tiprdc.evaluation.white_box import WHITE_BOX

SIGMA = 0.5


@pytest.fixture(scope="module")
def scrambled():
    """People of 80 kinds, each kind a place in the plane with a private value of its own: no smooth rule finds it."""
    generator = np.random.default_rng(0)
    places, values = generator.normal(0, 3, (80, 2)), generator.integers(0, 2, 80)
    known, unknown = generator.integers(0, 80, 2000), generator.integers(0, 80, 1500)
    z = places[unknown] + SIGMA * generator.normal(size=(1500, 2))
    likelihood = -((z[:, None] - places[None]) ** 2).sum(2) / (2 * SIGMA**2)
    odds = logsumexp(likelihood[:, values == 1], axis=1) - logsumexp(likelihood[:, values == 0], axis=1)
    clean = places[known].astype(np.float32)
    released = (clean + SIGMA * generator.normal(size=clean.shape)).astype(np.float32)
    return clean, released, values[known], z.astype(np.float32), values[unknown], roc_auc_score(values[unknown], odds)


def test_the_kernel_is_the_bayes_classifier(scrambled):
    clean, _, u, z, answers, best = scrambled
    found = WHITE_BOX["white-box-kernel"](clean, SIGMA, u[:, None], [2], z, 0)[0]
    assert found.shape == (1500, 2)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert roc_auc_score(answers, found[:, 1]) == pytest.approx(best, abs=0.015)
    assert best > 0.75


def test_who_has_the_extractor_learns_more_than_who_has_not(scrambled):
    clean, released, u, z, answers, best = scrambled
    white = WHITE_BOX["white-box-mlp"](clean, SIGMA, u[:, None], [2], z, 0)[0]
    black = CLASSIFIERS["mlp"](released, u[:, None], [2], z, 0)[0]
    areas = [roc_auc_score(answers, p[:, 1]) for p in (white, black)]
    assert areas[1] + 0.02 < areas[0] < best + 0.005


@pytest.mark.parametrize("name", WHITE_BOX)
def test_several_targets_and_classes_and_the_same_seed(name):
    generator = np.random.default_rng(1)
    labels = np.stack([generator.integers(0, 2, 600), generator.integers(0, 3, 600)], axis=1)
    clean = np.eye(3, dtype=np.float32)[labels[:, 1]] * 4  # tells the second, not the first
    test = (clean[:300] + generator.normal(size=(300, 3))).astype(np.float32)
    attack = WHITE_BOX[name]
    first, second = attack(clean[300:], 1.0, labels[300:], [2, 3], test, 0)
    assert first.shape == (300, 2)
    assert (second.argmax(1) == labels[:300, 1]).mean() > 0.95
    assert abs(roc_auc_score(labels[:300, 0], first[:, 1]) - 0.5) < 0.12
    again = attack(clean[300:], 1.0, labels[300:], [2, 3], test, 0)
    np.testing.assert_array_equal(first, again[0])


def truth(generator, n):
    sex = generator.integers(0, 2, n)
    return Truth({"sex": sex}, {}, {"sex": 2}, np.arange(n))


def test_the_white_box_is_for_releases_with_known_noise():
    generator = np.random.default_rng(2)
    known, unknown = truth(generator, 500), truth(generator, 200)
    x = generator.normal(size=(700, 3)).astype(np.float32)
    panel = AuditConfig(attackers=("logistic", "white-box-kernel"), bootstrap=5)
    without = audit(AuditedRelease("raw", "raw", 0.0, 0, x[:500], x[500:]), known, unknown, panel)
    assert set(without["model"]) == {"majority", "logistic"}
    noisy = AuditedRelease("centralized", "m", 0.5, 0, x[:500], x[500:], clean=x[:500], sigma=0.3)
    assert set(audit(noisy, known, unknown, panel)["model"]) == {"majority", "logistic", "white-box-kernel"}


def test_false_alarms():
    """Where z tells nothing, the interval of the attacker chosen leaves out ½ in about one run of twenty.

    The level of the interval is 95 %: of 50 runs 2.5 are expected, and more than 8 have a probability below .002.
    """
    panel = AuditConfig(attackers=("logistic", "nearest", "white-box-kernel"), bootstrap=100)
    alarms, most = 0, []
    for seed in range(50):
        generator = np.random.default_rng(seed)
        known, unknown = truth(generator, 600), truth(generator, 300)
        clean = generator.normal(size=(900, 4)).astype(np.float32)
        z = (clean + 0.5 * generator.normal(size=clean.shape)).astype(np.float32)
        release = AuditedRelease("centralized", "m", 0.5, seed, z[:600], z[600:], clean[:600], 0.5)
        point = summarize_points_of_attacks(audit(release, known, unknown, panel))
        alarms += not point["attack_low"] <= 0.5 <= point["attack_high"]
        most.append((point["attack"], point["attack_most"]))
    assert alarms <= 8
    chosen, largest = np.mean(most, axis=0)
    assert abs(chosen - 0.5) < 0.015  # chosen on others: no bias
    assert largest > 0.515  # which the maximum has


def summarize_points_of_attacks(table):
    """The point of a table without tasks: one made up, which every point has."""
    raw = table.assign(kind="task", target="t")
    both = [table, raw, raw.assign(setting="raw")]
    points = summarize_points(pd.concat(both, ignore_index=True))
    return points[points["setting"] == "centralized"].iloc[0]


# ---- representations that have a shape


@pytest.mark.parametrize(("name", "shape"), [("convolutional", (3, 9, 7)), ("recurrent", (6, 5))])
def test_classifiers_of_shaped_representations_find_what_moves_about(name, shape):
    """The sign of a mark that is somewhere: chance for a linear attacker, and easy for those that share weights."""
    generator = np.random.default_rng(3)
    x = 0.1 * generator.normal(size=(1500, *shape)).astype(np.float32)
    u = generator.integers(0, 2, 1500)
    places = (
        generator.integers(0, shape[-2], 1500) if name == "convolutional" else generator.integers(0, shape[0], 1500)
    )
    for i, place in enumerate(places):  # two marks, alike or unlike
        sign = generator.choice([-1, 1])
        mark = x[i, 0, place] if name == "convolutional" else x[i, place]
        mark[:2] += sign * np.array([3, 3 if u[i] else -3])
    flat = x.reshape(1500, -1)
    found = shaped(name, shape, flat[:1000], u[:1000, None], [2], flat[1000:], 0)[0]
    assert roc_auc_score(u[1000:], found[:, 1]) > 0.9
    known = Truth({"u": u[:1000]}, {}, {"u": 2}, np.arange(1000))
    unknown = Truth({"u": u[1000:]}, {}, {"u": 2}, np.arange(500))
    panel = AuditConfig(attackers=("logistic", "convolutional", "recurrent"), bootstrap=5)
    table = audit(AuditedRelease("raw", "raw", 0.0, 0, flat[:1000], flat[1000:], shape=shape), known, unknown, panel)
    assert set(table["model"]) == {"majority", "logistic", name}
    areas = table[table["metric"] == "auc"].set_index("model")["value"]
    assert areas["logistic"] < 0.6 < 0.9 < areas[name]
    flat_table = audit(AuditedRelease("raw", "raw", 0.0, 0, flat[:1000], flat[1000:]), known, unknown, panel)
    assert set(flat_table["model"]) == {"majority", "logistic"}
