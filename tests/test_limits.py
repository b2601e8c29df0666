"""The most that a task can keep without a leak: against hand arithmetic."""

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from fl_tiprdc.evaluation.audit import Truth
from fl_tiprdc.evaluation.limits import FOLDS, RankWithinClass, cross_fit, joint_classes, task_limits
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.evaluation.scores import resample


def truth(u, t, participant=None, classes=2):
    people = np.arange(len(u)) if participant is None else participant
    return Truth({"u": u}, {"t": t}, {"u": 2, "t": classes}, people)


def certain(n, generator):
    """U is a coin, and t a coin that shows 1 for .3 of one class and .7 of the other; x tells t."""
    u = generator.integers(0, 2, n)
    t = (generator.random(n) < np.where(u, 0.7, 0.3)).astype(np.int64)
    return u, t, t[:, None].astype(np.float32)


# ---- ranks


@pytest.mark.parametrize("values", [2, 7, 10_000])  # many ties, some, none
def test_ranks_are_even_in_every_class_whatever_the_ties(values):
    """Kolmogorov-Smirnov: even in both classes, though the classes' scores have other distributions."""
    generator = np.random.default_rng(0)

    def draw(n):
        u = generator.integers(0, 2, n)
        return np.floor(values * generator.beta(1 + 2 * u, 3 - 2 * u)).astype(np.float32), u

    scores, group = draw(20_000)
    new, new_group = draw(4000)
    ranks = RankWithinClass(scores, group).ranks(new, new_group, np.random.default_rng(1))
    for g in (0, 1):
        assert kstest(ranks[new_group == g], "uniform").pvalue > 0.01


def test_ranks_are_even_exactly_for_few_scores():
    """Three scores, a new one as likely in each of four places: its rank's mean is ½ over all of them."""
    ranking = RankWithinClass(np.array([1, 2, 3], np.float32), np.zeros(3, np.int64))
    new = np.repeat([0.5, 1.5, 2.5, 3.5], 2000).astype(np.float32)
    ranks = ranking.ranks(new, np.zeros(8000, np.int64), np.random.default_rng(0))
    for place in range(4):
        part = ranks[2000 * place : 2000 * (place + 1)]
        assert place / 4 <= part.min()
        assert part.max() <= (place + 1) / 4


# AUC of t by what is sent, where the score tells t, which is 1 for .3 of one class and .7 of the other.
# Without a leak ranks r are even; t = 1 where r > .7 in one class, r > .3 in the other. Of those with t = 1, .6 have
# r > .7 and .4 have .3 < r < .7; of the others .6 have r < .3 and .4 the middle: AUC = 1 - .4 · .4 / 2 = .92.
# Halfway, the upper bin has .4 and .6 of the classes: .9 of those with t = 1 are in it and .1 of the others, all of
# these in its lowest quarter. The lower bin mirrors it: AUC = .9 · .9 + 2 · .1 · (.3 + .6 · .875) = .975.
BY_HAND = {1.0: 0.92, 0.5: 0.975, 0.0: 1.0}


@pytest.mark.parametrize("share", list(BY_HAND))
def test_sending_by_hand(share):
    generator = np.random.default_rng(0)
    u, t, x = certain(40_000, generator)
    ranking = RankWithinClass(x[:, 0], u)
    sent = ranking.send(ranking.ranks(x[:, 0], u, generator), u, share)
    assert roc_auc_score(t, sent) == pytest.approx(BY_HAND[share], abs=0.004)
    # .7 and .3 of the classes in the upper bin: .4 apart
    assert ranking.distance(share) == pytest.approx(0.4 * (1 - share), abs=0.015)
    # the bin tells u as much as it may, and the place in it nothing
    attack = roc_auc_score(u, np.floor(sent))
    assert attack == pytest.approx(0.5 + 0.4 * (1 - share) / 2, abs=0.01)
    in_bin = np.floor(sent) == np.floor(sent).max()
    assert roc_auc_score(u[in_bin], sent[in_bin]) == pytest.approx(0.5, abs=0.015)


def test_distance_is_what_classes_are_apart_afterwards():
    generator = np.random.default_rng(0)
    group = generator.integers(0, 3, 30_000)
    scores = (generator.normal(size=30_000) + group).astype(np.float32)
    ranking = RankWithinClass(scores, group)
    for share in (0.0, 0.6, 1.0):
        sent = np.floor(ranking.send(generator.random(30_000), group, share)).astype(int)
        shares = [np.bincount(sent[group == g], minlength=50) / (group == g).sum() for g in (0, 2)]
        apart = np.abs(shares[0] - shares[1]).sum() / 2
        assert ranking.distance(share) == pytest.approx(apart, abs=0.04)  # of 50 bins with few hundreds each
    assert ranking.distance(0.6) == pytest.approx(0.4 * ranking.distance(0.0))


def test_the_order_of_ranks_in_a_class_stays():
    generator = np.random.default_rng(0)
    scores, group = generator.normal(size=2000).astype(np.float32), generator.integers(0, 2, 2000)
    ranking, ranks = RankWithinClass(scores, group), generator.random(2000)
    for share in (0.0, 0.5, 1.0):
        sent = ranking.send(ranks, group, share)
        for g in (0, 1):
            assert (np.argsort(sent[group == g]) == np.argsort(ranks[group == g])).all()


# ---- limits


def limits(known, unknown, raw_auc, **options):
    weights = resample(np.arange(len(unknown[0])), 100, 0)
    table = task_limits(
        known[2], unknown[2], truth(*known[:2]), truth(*unknown[:2]), weights, raw_auc, classifier="logistic", **options
    )
    assert list(table.columns) == COLUMNS
    assert set(table["kind"]) == set(table["setting"]) == {"limit"}
    assert set(table["model"]) == {"rank-within-class"}
    assert set(table["target"]) == {"t"}
    return table.set_index(["lam", "metric"])


def test_the_limit_by_hand():
    generator = np.random.default_rng(1)
    rows = limits(certain(8000, generator), certain(8000, generator), {"t": 1.0}, shares=(1.0, 0.0))
    auc, retention = rows.loc[(1.0, "auc")], rows.loc[(1.0, "retention")]
    assert auc["value"] == pytest.approx(0.92, abs=0.008)
    assert auc["low"] < auc["value"] < auc["high"]
    for end in ("value", "low", "high"):
        assert retention[end] == pytest.approx((auc[end] - 0.5) / 0.5)
    assert rows.loc[(1.0, "distance"), "value"] == 0
    assert rows.loc[(0.0, "auc"), "value"] > 0.99


def test_a_task_that_has_nothing_to_do_with_u_keeps_everything():
    generator = np.random.default_rng(2)

    def draw(n):
        x = generator.normal(size=(n, 3)).astype(np.float32)
        t = (x[:, 0] + 0.5 * generator.normal(size=n) > 0).astype(np.int64)
        return generator.integers(0, 2, n), t, x

    known, unknown = draw(6000), draw(6000)
    raw = roc_auc_score(unknown[1], unknown[2][:, 0])
    rows = limits(known, unknown, {"t": raw})
    assert rows.loc[(1.0, "retention"), "value"] == pytest.approx(1.0, abs=0.01)


def test_a_task_that_is_u_keeps_nothing():
    generator = np.random.default_rng(3)
    sides = []
    for n in (4000, 4000):
        u = generator.integers(0, 2, n)
        sides.append((u, u, u[:, None].astype(np.float32)))
    auc = limits(*sides, {"t": 1.0}).loc[(1.0, "auc")]
    assert auc["low"] < 0.5 < auc["high"]


def test_a_task_that_raw_records_do_not_tell_has_no_retention():
    generator = np.random.default_rng(4)
    sides = certain(500, generator), certain(500, generator)
    for raw_auc in ({"t": 0.5}, {}):
        rows = limits(*sides, raw_auc)
        assert set(rows.index.get_level_values("metric")) == {"auc", "distance"}


def test_the_same_seed_gives_the_same_limit_and_records_are_drawn():
    generator = np.random.default_rng(5)
    sides = certain(2000, generator), certain(500, generator)
    first, again = (limits(*sides, {"t": 1.0}, seed=1, records=600) for _ in range(2))
    assert first.equals(again)
    assert not first["value"].equals(limits(*sides, {"t": 1.0}, seed=2, records=600)["value"])


def test_a_task_of_three_classes():
    generator = np.random.default_rng(6)
    sides = []
    for n in (3000, 3000):
        t, u = generator.integers(0, 3, n), generator.integers(0, 2, n)
        sides.append((truth(u, t, classes=3), np.eye(3, dtype=np.float32)[t]))
    weights = resample(np.arange(3000), 20, 0)
    table = task_limits(sides[0][1], sides[1][1], sides[0][0], sides[1][0], weights, {}, classifier="logistic")
    assert table.loc[table["metric"] == "auc", "value"].item() > 0.98


def test_classes_of_all_attributes_together():
    def side(a, b):
        n = len(a)
        return Truth({"a": np.array(a), "b": np.array(b)}, {}, {"a": 2, "b": 3}, np.arange(n))

    known, unknown = joint_classes(side([0, 0, 1, 1, 1], [0, 2, 0, 1, 1]), side([0, 1, 0, 1], [2, 1, 1, 2]))
    assert known.tolist() == [0, 1, 2, 3, 3]
    assert unknown.tolist() == [1, 3, 3, 3]  # nobody contributes (0, 1) or (1, 2): the most frequent class


def test_nobody_is_scored_by_a_model_that_has_learned_from_the_person():
    """Labels by lot and people with ten equal records each: whoever was seen would be recognized."""
    generator = np.random.default_rng(7)
    people = np.repeat(np.arange(200), 10)
    x = np.repeat(generator.normal(size=(200, 4)), 10, axis=0).astype(np.float32)
    t, u = np.repeat(generator.integers(0, 2, 200), 10), np.repeat(generator.integers(0, 2, 200), 10)
    known = truth(u, t, people)
    scores, held_out = cross_fit(x, x[:100], known, u, u[:100], 0, "boosting")
    assert roc_auc_score(t, scores[0][:, 1]) < 0.65
    assert [one.shape for one in (*scores, *held_out)] == [(2000, 2), (100, 2)]
    seen = roc_auc_score(t[:100], held_out[0][:, 1])
    assert seen > 0.9  # these are contributors, whom most of the models do know
    assert FOLDS > 1
