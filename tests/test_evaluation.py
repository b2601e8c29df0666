"""The audit: scores, classifiers, one release, and what is made of the table."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, audit, check_panel, truth_of
from fl_tiprdc.evaluation.classifiers import BUILT_IN, CLASSIFIERS, MAJORITY, OF_PACKAGES, majority
from fl_tiprdc.evaluation.frontier import (
    LEVELS,
    VALIDATION,
    best_models,
    compare,
    dial,
    frontier,
    frontier_area,
    over_seeds,
    retention_at,
    retention_of_tasks,
    summarize_points,
)
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.evaluation.mlp import Perceptron
from fl_tiprdc.evaluation.scores import resample, score, weighted_auc
from fl_tiprdc.evaluation.subgroups import GROUP_ACCURACY, accuracy_by_group, group_people
from fl_tiprdc.evaluation.todays_classifiers import PACKAGES
from tests.invented_metrics import metrics_of

# ---- scores


def test_auc_by_hand():
    positive = np.array([True, False, True, False])
    scores = np.array([0.9, 0.5, 0.5, 0.1])
    # pairs: .9>.5, .9>.1, .5=.5 (half), .5>.1: 3.5 of 4
    assert weighted_auc(positive, scores, np.ones((1, 4))) == pytest.approx([3.5 / 4])
    # the second negative three times: .9>.5, 3 of .9>.1, .5=.5, 3 of .5>.1: 7.5 of 8
    assert weighted_auc(positive, scores, np.array([[1.0, 1, 1, 3]])) == pytest.approx([7.5 / 8])
    # a class without weight: no information
    assert weighted_auc(positive, scores, np.array([[1.0, 0, 1, 0]])) == pytest.approx([0.5])
    assert np.isnan(weighted_auc(positive, np.array([np.nan, *scores[1:]]), np.ones((1, 4)))).all()  # no chance level


@pytest.mark.parametrize("digits", [1, 8])  # one digit: many ties
def test_auc_is_scikit_learns(digits):
    generator = np.random.default_rng(0)
    positive = generator.random(300) < 0.3
    scores = np.round(generator.random(300) + 0.3 * positive, digits)
    weights = np.concatenate([np.ones((1, 300)), generator.integers(0, 4, (5, 300))])
    wanted = [roc_auc_score(positive, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(weighted_auc(positive, scores, weights), wanted, atol=1e-12)


def some_answers(classes, n=400):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, classes, n)
    raw = generator.random((n, classes)) + 0.5 * np.eye(classes)[labels]
    return labels, (raw / raw.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_are_scikit_learns(classes):
    labels, probabilities = some_answers(classes)
    found = score(labels, probabilities, resample(np.arange(400), 50, 0))
    auc = (
        roc_auc_score(labels, probabilities[:, 1])
        if classes == 2
        else roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    )
    assert found["auc"].value == pytest.approx(auc, abs=1e-6)
    answers = probabilities.argmax(1)
    assert found["accuracy"].value == pytest.approx((answers == labels).mean())
    assert found["balanced-accuracy"].value == pytest.approx(balanced_accuracy_score(labels, answers))
    for one in found.values():
        assert one.low < one.value < one.high


def test_cross_entropy_by_hand():
    labels = np.array([0, 1, 1])
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]], dtype=np.float32)
    weights = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 0]], dtype=np.float32)
    found = score(labels, probabilities, weights)["cross-entropy"]
    sure_and_wrong = np.log(1e6)  # not infinite
    assert found.value == pytest.approx((np.log(2) + np.log(4) + sure_and_wrong) / 3)
    assert found.low == found.high == pytest.approx((np.log(2) + np.log(4)) / 2)


@pytest.mark.parametrize("classes", [2, 4])
def test_cross_entropy_is_scikit_learns(classes):
    labels, probabilities = some_answers(classes)
    found = score(labels, probabilities, resample(np.arange(400), 5, 0))["cross-entropy"]
    exact = probabilities.astype(np.float64)
    assert found.value == pytest.approx(log_loss(labels, exact / exact.sum(1, keepdims=True)), abs=1e-6)


def test_even_odds_find_a_rare_class_that_is_never_the_likeliest():
    labels = np.array([0] * 8 + [1] * 2)
    probabilities = np.array([[0.9, 0.1]] * 8 + [[0.6, 0.4]] * 2, dtype=np.float32)
    found = score(labels, probabilities, np.ones((2, 10), dtype=np.float32))
    assert found["balanced-accuracy"].value == 0.5
    assert found["even-odds-accuracy"].value == 1


def test_accuracy_by_group_by_hand():
    weights = np.array([[1, 1, 1, 1], [2, 0, 2, 0], [0, 4, 0, 0]], dtype=np.float32)
    private = {"sex": np.array([0, 0, 1, 1]), "race": np.array([2, 2, 2, 2])}
    groups = group_people(private, {"sex": ("f", "m")}, weights)
    assert groups.names == (("sex", "f"), ("sex", "m"), ("race", "2"))
    labels = np.array([0, 1, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8]], dtype=np.float32)
    found = accuracy_by_group(labels, probabilities, weights, groups)
    assert [one.value for one in found.values()] == [0.5, 1, 0.75]
    assert (found["sex", "f"].low, found["sex", "f"].high) == pytest.approx((0.025, 0.975))
    assert (found["sex", "m"].low, found["sex", "m"].high) == (1, 1)  # the empty resample doesn't count
    nobody = np.array([[1, 1, 1, 1], [4, 0, 0, 0]], dtype=np.float32)
    empty = accuracy_by_group(labels, probabilities, nobody, group_people(private, {}, nobody))
    assert (empty["sex", "1"].low, empty["sex", "1"].high) == (0, 1)


def test_a_class_that_the_test_records_lack_is_left_out():
    labels, probabilities = some_answers(2)
    wider = np.concatenate([probabilities * 0.9, np.full((400, 1), 0.1, dtype=np.float32)], axis=1)
    both = (roc_auc_score(labels == k, wider[:, k]) for k in (0, 1))
    found = score(labels, wider, resample(np.arange(400), 5, 0))
    assert found["auc"].value == pytest.approx(np.mean(list(both)), abs=1e-6)
    only = score(np.zeros(400, dtype=int), probabilities, resample(np.arange(400), 5, 0))
    for metric in ("auc", "balanced-accuracy", "even-odds-accuracy"):
        assert np.isnan(only[metric].value)  # not ½, which would look safe


def test_the_bootstrap_draws_people_not_records():
    participant = np.array([7, 7, 7, 2, 2, 9])
    weights = resample(participant, 500, 0)
    assert weights.shape == (501, 6)
    assert (weights[0] == 1).all()  # row 0 is the sample itself
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 3, 5]].sum(1) == 3).all()  # three people are drawn, with replacement
    assert np.array_equal(weights, resample(participant, 500, 0))
    assert not np.array_equal(weights, resample(participant, 500, 1))


def test_intervals_count_people():
    # 100 people of 50 equal records: as uncertain as 100 records, √50 times more than 5000
    generator = np.random.default_rng(0)
    right = generator.random(100) < 0.5
    probabilities = np.stack([right, ~right], axis=1).astype(np.float32).repeat(50, axis=0)
    labels = np.zeros(5000, dtype=int)

    def width(participant):
        found = score(labels, probabilities, resample(participant, 300, 0))["accuracy"]
        return found.high - found.low

    assert width(np.arange(5000) // 50) == pytest.approx(2 * 1.96 * 0.05, rel=0.2)  # √(¼ / 100) = .05
    assert width(np.arange(5000)) == pytest.approx(2 * 1.96 * 0.05 / np.sqrt(50), rel=0.2)


# ---- classifiers


INSTALLED = [*BUILT_IN, *(name for name in OF_PACKAGES if find_spec(PACKAGES[name]))]


def easy_problem(n=900):
    """Three targets that x gives away: a sign, three ranges, and one with a class that nobody has."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(n, 4)).astype(np.float32)
    labels = np.stack([x[:, 0] > 0, np.digitize(x[:, 1], [-0.5, 0.5]), 2 * (x[:, 2] > 0)], axis=1).astype(np.int64)
    return x, labels, (2, 3, 3)


@pytest.mark.parametrize("name", INSTALLED)
def test_every_classifier_learns_an_easy_problem(name):
    x, labels, classes = easy_problem()
    answers = CLASSIFIERS[name](x[:600], labels[:600], classes, x[600:], 0)
    assert [a.shape for a in answers] == [(300, 2), (300, 3), (300, 3)]
    weights = np.ones((2, 300))
    for target, probabilities in enumerate(answers):
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
        floor = 0.85 if target == 1 else 0.95  # the middle of three ranges is no straight line
        assert score(labels[600:, target], probabilities, weights)["auc"].value > floor
    assert answers[2][:, 1].max() < 0.1  # class 1 of the third target is never seen


@pytest.mark.parametrize("name", INSTALLED)
def test_a_class_missing_from_the_training_records(name):
    x, labels, _ = easy_problem(300)
    constant = np.ones((300, 1), dtype=np.int64)
    (alone,) = CLASSIFIERS[name](x, constant, (2,), x[:50], 0)
    assert alone.shape == (50, 2)
    assert (alone[:, 1] > 0.9).all()
    both = CLASSIFIERS[name](x, np.concatenate([labels[:, :1], constant], axis=1), (2, 3), x[:50], 0)
    assert [a.shape for a in both] == [(50, 2), (50, 3)]
    assert (both[1][:, 1] > 0.9).all()


@pytest.mark.parametrize("name", INSTALLED)
def test_classifiers_are_deterministic_in_the_seed(name):
    x, labels, classes = easy_problem(300)
    labels = np.where(np.random.default_rng(1).random(labels.shape) < 0.3, 0, labels)  # so that seeds matter
    with threadpool_limits(1):  # as in the audit: threads add up in any order
        first = CLASSIFIERS[name](x, labels, classes, x[:50], 5)
        again = CLASSIFIERS[name](x, labels, classes, x[:50], 5)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    if name in ("forest", "mlp"):  # the other two are deterministic by nature
        other = CLASSIFIERS[name](x, labels, classes, x[:50], 6)
        assert not np.array_equal(first[0], other[0])


def test_majority_answers_the_shares():
    (answers,) = majority(np.zeros((4, 1)), np.array([[0], [1], [1], [1]]), (3,), np.zeros((2, 1)), 0)
    assert answers.tolist() == [[0.25, 0.75, 0.0]] * 2


def noisy_problem():
    """Labels that are mostly noise: a network that trains too long learns them by heart."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 20)).astype(np.float32)
    labels = (x[:, 0] + 2 * generator.normal(size=300) > 0).astype(np.int64)[:, None]
    test = generator.normal(size=(2000, 20)).astype(np.float32)
    return x, labels, test, (test[:, 0] > 0).astype(np.int64)


def test_the_perceptron_keeps_its_best_epoch():
    x, labels, test, truth = noisy_problem()

    def answer(epochs, patience):
        return Perceptron(0, epochs=epochs, patience=patience).fit_predict(x, labels, (2,), test)[0]

    def loss(probabilities):
        return -np.log(probabilities[np.arange(2000), truth]).mean()

    long = answer(60, 60)
    # epochs are the same whatever their number, so runs of 1, 2, ... epochs show where the best one lies
    best = next(epochs for epochs in range(1, 60) if np.array_equal(answer(epochs, 60), long))
    assert best < 30  # what came after was worse, and is not in the answer
    assert np.array_equal(answer(60, 3), long)  # it waits for three epochs without a better one, then stops
    assert loss(long) < 1.0  # a network that has learned noise by heart is sure and wrong


def test_the_perceptron_stops_when_patience_is_over(monkeypatch):
    x, labels, test, _ = noisy_problem()
    asked = []
    import torch

    shuffle = torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda *a, **k: asked.append(1) or shuffle(*a, **k))
    Perceptron(0, epochs=60, patience=3).fit_predict(x, labels, (2,), test)
    assert 3 < len(asked) < 30  # one shuffle an epoch


def test_a_column_that_is_constant_in_training_does_not_blow_up():
    x, labels, test, truth = noisy_problem()
    x, test = np.c_[x, np.zeros(300)].astype(np.float32), np.c_[test, np.ones(2000)].astype(np.float32)
    probabilities = Perceptron(0).fit_predict(x, labels, (2,), test)[0]
    assert probabilities.min() > 0.001  # nobody is certain of anything on such data
    assert score(truth, probabilities, np.ones((2, 2000)))["auc"].value > 0.6


# ---- audit of one release

SCORES = {"accuracy", "balanced-accuracy", "even-odds-accuracy", "auc", "cross-entropy"}
EACH = {*SCORES, GROUP_ACCURACY}
PANEL = AuditConfig(attackers=("logistic", "boosting"), probes=("logistic",), bootstrap=20)


def audited(population, contributors, held_out, config=PANEL) -> pd.DataFrame:
    release = AuditedRelease("centralized", "m", 0.5, 0, contributors, held_out)
    return audit(release, truth_of(population.contributors), truth_of(population.held_out), config)


def leak(crowd):
    return crowd.private.astype(np.float32)


def noise(crowd, seed):
    return np.random.default_rng(seed).normal(size=(len(crowd), 4)).astype(np.float32)


def value(table, kind, model, target, metric="auc") -> float:
    rows = table[(table["kind"] == kind) & (table["model"] == model) & (table["target"] == target)]
    return float(rows[rows["metric"] == metric]["value"].iloc[0])


def test_audit_of_a_release_that_leaks_u(population):
    table = audited(population, leak(population.contributors), leak(population.held_out))
    assert list(table.columns) == COLUMNS
    assert set(table["kind"]) == {"attack", "task"}
    tasks = {"income", "married", "college", "white-collar"}
    assert set(table[table["kind"] == "attack"]["target"]) == {"sex"}
    assert set(table[table["kind"] == "task"]["target"]) == tasks
    assert set(table[table["kind"] == "attack"]["model"]) == {MAJORITY, "logistic", "boosting"}
    assert set(table["metric"]) == {*EACH, VALIDATION}
    # (3 attackers on one attribute + 2 probes on four tasks) · (5 scores + 2 groups), validation of all but chance
    assert len(table) == (3 + 2 * 4) * 7 + 2 + 1 * 4
    table = table[table["metric"] != VALIDATION]  # no interval
    assert (table[["setting", "method", "lam", "seed"]] == ["centralized", "m", 0.5, 0]).all(axis=None)
    for attacker in PANEL.attackers:
        for metric in ("auc", "accuracy", "balanced-accuracy"):
            assert value(table, "attack", attacker, "sex", metric) == 1
    # resamples are summed in single precision
    assert (table["low"] <= table["value"] + 1e-6).all()
    assert (table["value"] <= table["high"] + 1e-6).all()


def test_the_majority_is_the_level_of_chance(population):
    table = audited(population, leak(population.contributors), leak(population.held_out))
    chance = table[table["model"] == MAJORITY]
    for metric in ("auc", "balanced-accuracy"):
        assert (chance[chance["metric"] == metric][["value", "low", "high"]] == 0.5).all(axis=None)
    male = population.held_out.private[:, 0].mean()
    assert value(table, "attack", MAJORITY, "sex", "accuracy") == pytest.approx(max(male, 1 - male))


def test_audit_of_pure_noise(population):
    table = audited(population, noise(population.contributors, 1), noise(population.held_out, 2))
    # 200 held-out people, a third of them women: a standard deviation of about √(1 / (12 · 67) · (200 / 133)) = .043
    for attacker in PANEL.attackers:
        assert value(table, "attack", attacker, "sex") == pytest.approx(0.5, abs=3 * 0.043)


def test_audit_is_deterministic_and_takes_as_many_records_as_it_is_told(population):
    x = noise(population.contributors, 1), noise(population.held_out, 2)
    few = PANEL.model_copy(update={"attack_records": 100, "probe_records": 50})
    pd.testing.assert_frame_equal(audited(population, *x, few), audited(population, *x, few))
    assert value(audited(population, *x, few), "attack", "boosting", "sex") != value(
        audited(population, *x), "attack", "boosting", "sex"
    )


def test_audit_of_several_private_attributes_with_three_classes():
    generator = np.random.default_rng(0)

    def truth(n):
        attacks = {"a": generator.integers(0, 2, n), "b": generator.integers(0, 3, n)}
        return Truth(attacks, {"t": generator.integers(0, 2, n)}, {"a": 2, "b": 3, "t": 2}, np.arange(n))

    known, unknown = truth(300), truth(200)

    def leak_b(side):  # b is given away, a is not
        return np.eye(3, dtype=np.float32)[side.attacks["b"]]

    panel = AuditConfig(attackers=tuple(BUILT_IN), probes=("logistic",), bootstrap=5)
    table = audit(AuditedRelease("raw", "raw", 0, 0, leak_b(known), leak_b(unknown)), known, unknown, panel)
    for attacker in BUILT_IN:
        assert value(table, "attack", attacker, "b") > 0.999
        assert 0.35 < value(table, "attack", attacker, "a") < 0.65
    points = summarize_points(table)
    assert points["attribute"].tolist() == ["b"]  # the worst attack is over all attributes


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"attackers": ("mlp", "oracle")}, "unknown attacker 'oracle': choose one of logistic, .*, white-box-kernel"),
        ({"probes": ("majority",)}, "unknown probe 'majority': choose one of logistic, boosting, forest, mlp"),
        ({"probes": ("white-box-mlp",)}, "unknown probe 'white-box-mlp': choose one of logistic"),
    ],
)
def test_unknown_names_in_the_panel(changes, why):
    with pytest.raises(InputError, match=why):
        check_panel(AuditConfig(**changes))


# ---- from the table to the answer


def scored(rows) -> pd.DataFrame:
    """Rows (setting, method, lam, seed, kind, target, model, auc) as a table, with intervals of ± .01."""
    table = []
    for setting, method, lam, seed, kind, target, model, auc in rows:
        where = (setting, method, lam, seed, kind, target, model)
        table.append((*where, "auc", auc, auc - 0.01, auc + 0.01))
        table.append((*where, "accuracy", 0.99, 0.98, 1.0))  # never to be mistaken for the AUC
    return metrics_of(table)


RAW = [
    ("raw", "raw", 0.0, 0, "attack", "sex", "mlp", 0.94),
    ("raw", "raw", 0.0, 0, "task", "income", "logistic", 0.85),
    ("raw", "raw", 0.0, 0, "task", "income", "mlp", 0.90),  # the best probe: .4 above chance
    ("raw", "raw", 0.0, 0, "task", "college", "mlp", 0.70),  # .2 above chance
]


def a_point(setting, lam, attack, income, college, method="m", seed=0):
    return [
        (setting, method, lam, seed, "attack", "sex", "majority", 0.99),  # never the worst attacker
        (setting, method, lam, seed, "attack", "sex", "mlp", attack),
        (setting, method, lam, seed, "attack", "sex", "logistic", attack - 0.05),
        (setting, method, lam, seed, "task", "income", "mlp", income),
        (setting, method, lam, seed, "task", "income", "logistic", income - 0.05),
        (setting, method, lam, seed, "task", "college", "mlp", college),
    ]


@pytest.fixture
def metrics():
    """Retentions: (income - ½) / .4 and (college - ½) / .2."""
    return scored(
        RAW
        + a_point("centralized", 0.2, 0.80, 0.90, 0.70)  # 1, 1
        + a_point("centralized", 0.8, 0.60, 0.70, 0.60)  # ½, ½
        + a_point("federated", 0.2, 0.85, 0.82, 0.70)  # .8, 1
        + a_point("federated", 0.8, 0.70, 0.70, 0.54)  # ½, .2
    )


@pytest.fixture
def points(metrics):
    return summarize_points(metrics)


def test_best_models_are_the_best_of_each_target():
    best = best_models(scored(RAW + a_point("federated", 0.2, 0.85, 0.82, 0.70)))
    assert len(best) == 3 + 3
    assert (best["metric"] == "auc").all()
    assert set(best["model"]) == {"mlp"}


def test_the_best_model_is_chosen_on_validation_people():
    """The luckiest on held-out people is not the answer; its AUC is given beside it."""
    rows = RAW + a_point("federated", 0.2, 0.85, 0.82, 0.70)
    metrics = scored(rows)
    chosen = [(*row[:7], VALIDATION, 0.7 + 0.1 * (row[6] == "logistic"), np.nan, np.nan) for row in rows]
    metrics = pd.concat([metrics, metrics_of(c for c in chosen if c[6] != MAJORITY)])
    row = summarize_points(metrics).iloc[-1]
    assert (row["attacker"], row["attack"], row["attack_most"]) == ("logistic", pytest.approx(0.80), 0.85)
    best = best_models(metrics)
    assert set(best.loc[best["target"] != "college", "model"]) == {"logistic", "mlp"}  # raw has one attacker
    assert list(best.columns) == COLUMNS


def test_summarize_points(points):
    assert len(points) == 5
    raw = points[points["setting"] == "raw"].iloc[0]
    assert (raw["attack"], raw["retention"]) == (0.94, 1.0)
    row = points[(points["setting"] == "federated") & (points["lam"] == 0.8)].iloc[0]
    assert (row["attacker"], row["attribute"]) == ("mlp", "sex")
    assert (row["attack"], row["attack_low"], row["attack_high"]) == pytest.approx((0.70, 0.69, 0.71))
    assert row["retention"] == pytest.approx(0.35)


def test_each_task_has_a_retention_at_each_point(metrics):
    tasks = retention_of_tasks(metrics)
    assert list(tasks.columns) == ["setting", "method", "lam", "seed", "task", "retention"]
    assert len(tasks) == 5 * 2
    own = tasks[(tasks["setting"] == "federated") & (tasks["lam"] == 0.8)]
    assert own["task"].tolist() == ["college", "income"]
    assert own["retention"].tolist() == pytest.approx([0.2, 0.5])


def test_the_worst_attack_is_the_best_attacker_whoever_it_is():
    rows = RAW + a_point("federated", 0.2, 0.85, 0.82, 0.70)
    rows += [("federated", "m", 0.2, 0, "attack", "race", "forest", 0.91)]
    row = summarize_points(scored(rows)).iloc[-1]
    assert (row["attack"], row["attacker"], row["attribute"]) == (0.91, "forest", "race")


def test_attackers_without_the_extractor_are_reported_apart():
    rows = RAW + a_point("federated", 0.2, 0.85, 0.82, 0.70)
    rows += [("federated", "m", 0.2, 0, "attack", "sex", "white-box-kernel", 0.90)]
    row = summarize_points(scored(rows)).iloc[-1]
    assert (row["attack"], row["attacker"], row["attack_outside"]) == (0.90, "white-box-kernel", 0.85)


def test_a_task_that_raw_data_cannot_tell_has_no_retention():
    rows = RAW + a_point("federated", 0.2, 0.85, 0.82, 0.70)
    rows += [(*row[:4], "task", "coin", "mlp", 0.5) for row in (RAW[0], rows[-1])]
    row, tasks = summarize_points(scored(rows)).iloc[-1], retention_of_tasks(scored(rows))
    assert tasks.loc[tasks["task"] == "coin", "retention"].isna().tolist() == [True, True]
    assert row["retention"] == pytest.approx(0.9)  # the mean of .8 and 1


def test_frontier_and_its_area_by_hand(points):
    central = points[points["setting"] == "centralized"]
    curve = frontier(central)  # nothing below .6, then ½, then 1 from .8 on
    assert curve[LEVELS < 0.599].max() == 0
    assert curve[(LEVELS > 0.601) & (LEVELS < 0.799)] == pytest.approx(0.5)
    assert curve[LEVELS > 0.801] == pytest.approx(1)
    # (½ · .2 + 1 · .2) / .5, up to the width of a level
    assert frontier_area(central) == pytest.approx(0.6, abs=0.01)


def test_a_dominated_point_adds_nothing_to_the_frontier(points):
    central = points[points["setting"] == "centralized"]
    worse = central.iloc[:1].assign(attack=0.9, retention=0.1, lam=0.1)
    assert frontier_area(pd.concat([central, worse])) == frontier_area(central)


def test_the_area_is_the_mean_over_seeds(points):
    central = points[points["setting"] == "centralized"]
    useless = central.assign(seed=1, retention=0.0)
    assert frontier_area(pd.concat([central, useless])) == pytest.approx(frontier_area(central) / 2)


def test_a_perfect_release_has_area_one():
    perfect = pd.DataFrame({"seed": [0], "attack": [0.5], "retention": [1.0]})
    assert frontier_area(perfect) == pytest.approx(1)


def test_compare_is_federated_less_centralized(points):
    table = compare(points)
    assert table["lam"].tolist() == [0.2, 0.8]
    assert table["attack_difference"].tolist() == pytest.approx([0.05, 0.10])
    assert table["retention_difference"].tolist() == pytest.approx([-0.10, -0.15])
    assert table["retention_federated"].tolist() == pytest.approx([0.9, 0.35])


def test_over_seeds_gives_mean_and_range():
    rows = RAW + [(*row[:3], 1, *row[4:]) for row in RAW]
    rows += a_point("federated", 0.2, 0.80, 0.90, 0.70) + a_point("federated", 0.2, 0.70, 0.70, 0.60, seed=1)
    mean = over_seeds(summarize_points(scored(rows)))
    row = mean[mean["setting"] == "federated"].iloc[0]
    assert len(mean) == 2
    assert row["seeds"] == 2
    assert row["attack"] == pytest.approx(0.75)
    assert (row["attack_low"], row["attack_high"]) == pytest.approx((0.69, 0.81))  # the intervals' ends
    assert (row["retention"], row["retention_low"], row["retention_high"]) == pytest.approx((0.75, 0.5, 1.0))


def curve(attacks, retentions, seed=0):
    lams = np.linspace(0.1, 0.9, len(attacks))
    return pd.DataFrame({"seed": seed, "lam": lams, "attack": attacks, "retention": retentions})


def test_retention_at_an_attack_is_read_between_the_points():
    assert retention_at(curve([0.8, 0.7, 0.5], [0.9, 0.8, 0.4]), 0.6) == pytest.approx(0.6)
    # a point that a safer one beats doesn't count
    assert retention_at(curve([0.8, 0.6, 0.5], [0.9, 0.3, 0.5]), 0.6) == pytest.approx(0.5)
    both = pd.concat([curve([0.7, 0.5], [0.8, 0.4]), curve([0.8, 0.6], [1.0, 0.6], seed=1)])
    assert retention_at(both, 0.65) == pytest.approx(0.7)  # halfway on the curve of means, (0.55, 0.5) to (0.75, 0.9)
    assert np.isnan(retention_at(curve([0.8, 0.7], [0.9, 0.8]), 0.6))  # never that safe


def test_the_dial_is_the_rank_correlation():
    assert dial(curve([0.9, 0.8, 0.7], [1, 1, 1])) == pytest.approx(-1)
    assert dial(curve([0.9, 0.7, 0.8], [1, 1, 1])) == pytest.approx(-0.5)
    assert dial(pd.concat([curve([0.9, 0.8], [1, 1]), curve([0.8, 0.9], [1, 1], seed=1)])) == pytest.approx(0)


def test_compare_with_a_single_setting(points):
    table = compare(points[points["setting"] != "centralized"])
    assert len(table)
    assert table["attack_federated"].notna().all()
    assert table[["attack_centralized", "attack_difference"]].isna().all(axis=None)
