"""The table attack on a finite release: against hand arithmetic, scikit-learn, and releases with a known leak."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import roc_auc_score, roc_curve

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.evaluation.attacks.exact_attack import MODEL, exact_attack, learn_table
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, attackers_of
from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.detection import PAIR_AUC, found_at, pair_area, read_roc, roc_points
from fl_tiprdc.evaluation.finite_codes import MOST_CODES, finite_codes
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.evaluation.posterior_risk import RISK_COLUMNS, posterior_risk
from fl_tiprdc.evaluation.scores import resample
from fl_tiprdc.report.exact_figure import exact_figure

RELEASE = AuditedRelease("federated", "coded", 0.5, 3, np.empty((0, 1), np.float32), np.empty((0, 1), np.float32))


def truth(u, names=()):
    classes = len(names) or int(u.max()) + 1
    return Truth({"u": u}, {}, {"u": classes}, np.arange(len(u)), {"u": names} if names else {})


def attack(codes, u, held_out_codes, held_out_u, names=(), **options):
    """(model, metric) -> row of the exact attack."""
    weights = resample(np.arange(len(held_out_u)), 100, 0)
    table = exact_attack(RELEASE, codes, held_out_codes, truth(u, names), truth(held_out_u, names), weights, **options)
    assert list(table.columns) == COLUMNS
    assert set(table["kind"]) == {"exact"}
    assert set(table["target"]) == {"u"}
    assert (table["setting"] + table["method"] == "federatedcoded").all()
    assert (table[["lam", "seed"]] == [0.5, 3]).all(axis=None)
    metric = table["metric"].where(table["group"] == "", table["group"] + " vs " + table["against"])
    assert table.loc[table["metric"] == PAIR_AUC, "attribute"].eq("u").all()
    return table.assign(metric=metric).set_index(["model", "metric"])


def test_codes_are_attacked_by_a_short_panel_beside_the_exact_attacker():
    config = AuditConfig(attackers=("logistic", "mlp", "boosting"))
    one = np.zeros(1, np.int64)
    assert list(attackers_of(RELEASE, config)) == ["logistic", "mlp", "boosting"]
    assert list(attackers_of(replace(RELEASE, codes=(one, one)), config)) == ["logistic", "boosting"]
    config = AuditConfig(attackers=("forest", "mlp"))  # the panel that was asked for has none of the short one
    assert list(attackers_of(replace(RELEASE, codes=(one, one)), config)) == ["forest", "mlp"]


# ---- the table


def test_the_table_by_hand():
    risk = posterior_risk(np.array([0, 0, 0, 2, 2]), np.array([0, 1, 1, 0, 0]), 2, size=4)
    assert risk.counts.tolist() == [[1, 2], [0, 0], [2, 0], [0, 0]]
    assert risk.records.tolist() == [3, 0, 2, 0]
    np.testing.assert_allclose(risk.prior, [0.6, 0.4])
    np.testing.assert_allclose(risk.posterior(), [[1 / 3, 2 / 3], [0.6, 0.4], [1, 0], [0.6, 0.4]])
    # one more record with the prior's shares in each code: (1 + .6) / 4, .6, (2 + .6) / 3
    np.testing.assert_allclose(risk.posterior(1.0)[:, 0], [0.4, 0.6, 2.6 / 3, 0.6])
    table = risk.table(("f", "m"))
    assert list(table.columns) == list(RISK_COLUMNS)
    row = table[(table["code"] == 0) & (table["class"] == "m")].iloc[0]
    assert (row["records"], row["share"], row["prior"]) == pytest.approx((3, 0.6, 0.4))
    assert row["posterior"] == pytest.approx(2 / 3)
    assert posterior_risk(np.array([0, 3]), np.array([0, 1]), 2).counts.shape == (4, 2)


def test_intervals_are_jeffreys():
    low, high = posterior_risk(np.repeat([0, 1], [10, 5]), np.repeat([0, 1, 1], [3, 7, 5]), 2).interval()
    assert beta(3.5, 7.5).cdf(low[0, 0]) == pytest.approx(0.025)
    assert beta(3.5, 7.5).cdf(high[0, 0]) == pytest.approx(0.975)
    assert (low[0, 1], high[0, 1]) == pytest.approx((1 - high[0, 0], 1 - low[0, 0]))
    assert (low[1, 0], high[1, 1]) == (0, 1)  # nobody, and everybody
    assert beta(5.5, 0.5).cdf(low[1, 1]) == pytest.approx(0.025)


def test_intervals_hold_the_truth_in_19_of_20_codes():
    generator = np.random.default_rng(0)
    codes, u = generator.integers(0, 1000, 100_000), (generator.random(100_000) < 0.3).astype(np.int64)
    low, high = posterior_risk(codes, u, 2).interval()
    held = (low[:, 1] <= 0.3) & (high[:, 1] >= 0.3)
    assert 0.93 < held.mean() < 0.97


# ---- the attack


def test_the_attack_by_hand():
    # P(1 | code): 0 -> 1/4, 1 -> 3/4, and 2 has nobody: the prior, 1/2
    codes, u = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    rows = attack(codes, u, np.array([0, 1, 2, 0, 1]), np.array([0, 0, 1, 1, 1]), smoothing=0.0)
    # negatives ¼ and ¾; positives ½ (beats one), ¼ (ties with one), ¾ (beats one, ties with one): 3 of 6
    assert rows.loc[(MODEL, "auc"), "value"] == pytest.approx((1 + 0.5 + 1.5) / 6)
    nats = -np.log([0.75, 0.25, 0.5, 0.25, 0.75]).mean()
    assert rows.loc[(MODEL, "cross-entropy"), "value"] == pytest.approx(nats, abs=1e-6)
    # the surest code of class 1 has a third of these and half of the others; that of class 0 half of these and a third
    # of the others, which is more
    assert rows.loc[(MODEL, "tpr-at-1%-fpr"), "value"] == pytest.approx(0.01 * (1 / 2) / (1 / 3))
    assert rows.loc[(MAJORITY, "auc"), "value"] == 0.5
    assert rows.loc[(MAJORITY, "tpr-at-5%-fpr"), ["value", "low", "high"]].tolist() == pytest.approx([0.05] * 3)
    assert rows.loc[(MAJORITY, "cross-entropy"), "value"] == pytest.approx(np.log(2), abs=1e-6)
    assert not [metric for _, metric in rows.index if " vs " in metric]  # two classes have one pair


def test_a_table_finds_what_there_is_to_be_found():
    """P(code 1 | u) is .3 and .7: the best attacker's AUC is .7 · .7 + ½ · 2 · .3 · .7 = .7."""
    generator = np.random.default_rng(0)
    u, held_out_u = generator.integers(0, 2, 20_000), generator.integers(0, 2, 20_000)
    codes, held_out_codes = (generator.random(20_000) < np.where(side, 0.7, 0.3) for side in (u, held_out_u))
    rows = attack(codes.astype(int), u, held_out_codes.astype(int), held_out_u)
    auc = rows.loc[(MODEL, "auc")]
    assert auc["value"] == pytest.approx(0.7, abs=0.01)
    assert auc["low"] < auc["value"] < auc["high"]
    # .7 of the positives at .3 of the negatives, in a straight line from 0
    assert rows.loc[(MODEL, "tpr-at-1%-fpr"), "value"] == pytest.approx(0.01 * 7 / 3, abs=0.002)
    assert rows.loc[(MODEL, "tpr-at-5%-fpr"), "value"] == pytest.approx(0.05 * 7 / 3, abs=0.01)


def test_nothing_is_found_where_there_is_nothing():
    generator = np.random.default_rng(1)
    codes, u = generator.integers(0, 64, (2, 4000)), generator.integers(0, 2, (2, 4000))
    auc = attack(codes[0], u[0], codes[1], u[1]).loc[(MODEL, "auc")]
    assert auc["low"] < 0.5 < auc["high"]


def test_people_of_the_fit_hide_a_leak_and_others_do_not():
    """Codes that are even among those whom a coupling was fitted on, and tell u of everybody else."""
    generator = np.random.default_rng(2)
    fitted_codes, fitted_u = np.tile([0, 1], 2000), np.repeat([0, 1], 2000)
    others_u, held_out_u = generator.integers(0, 2, (2, 2000))
    others_codes, held_out_codes = (
        np.where(generator.random(2000) < 0.8, side, 1 - side) for side in (others_u, held_out_u)
    )
    codes, u = np.r_[fitted_codes, others_codes], np.r_[fitted_u, others_u]
    others = np.arange(4000, 6000)
    blind = attack(fitted_codes, fitted_u, held_out_codes, held_out_u)
    assert blind.loc[(MODEL, "auc"), "value"] == 0.5
    sees = attack(codes, u, held_out_codes, held_out_u, learn_from=others)
    assert sees.loc[(MODEL, "auc"), "value"] == pytest.approx(0.8, abs=0.03)


def test_a_table_of_few_is_drawn_towards_its_start_as_far_as_that_tells_them():
    counts = np.array([[3, 1], [0, 0]])
    start = np.array([[0.5, 0.5], [0.2, 0.8]])
    assert learn_table(counts, start)[1].tolist() == pytest.approx([0.2, 0.8])  # a code of nobody answers the start
    # many codes of few people each: a start that is the truth is worth many records, one that is wrong the fewest
    generator = np.random.default_rng(5)
    truth = generator.uniform(0.2, 0.8, 500)
    counts = np.stack([drawn := generator.binomial(20, truth), 20 - drawn], axis=1)
    right, wrong = np.stack([truth, 1 - truth], axis=1), np.stack([1 - truth, truth], axis=1)
    assert np.abs(learn_table(counts, right) - right).mean() < 0.02 < np.abs(counts / 20 - right).mean()
    assert np.abs(learn_table(counts, wrong) - right).mean() < np.abs(counts / 20 - right).mean() + 0.002


def test_people_of_the_fit_help_where_their_codes_tell_as_much():
    """500 codes, of which the few who certify have too few each: without the others' table less is found."""
    generator = np.random.default_rng(6)
    tilt = generator.normal(0, 0.5, 500)

    def draw(n):
        codes = generator.integers(0, 500, n)
        return codes, (generator.random(n) < 1 / (1 + np.exp(-tilt[codes]))).astype(np.int64)

    (codes, u), (new, new_u) = draw(20_000), draw(20_000)
    few = np.arange(4000)
    alone = attack(codes[few], u[few], new, new_u).loc[(MODEL, "auc"), "value"]
    started = attack(codes, u, new, new_u, learn_from=few).loc[(MODEL, "auc"), "value"]
    assert alone + 0.02 < started < roc_auc_score(new_u, tilt[new]) + 0.005


def test_the_attack_is_the_better_of_two_tables():
    """Whoever fitted the codes says nothing here, or the contrary: who certify tell as much as alone."""
    generator = np.random.default_rng(7)
    codes, u = generator.integers(0, 8, (2, 3000)) % np.array([[8], [2]])
    told = codes.copy()
    told[:300] = 4 * u[:300] + generator.integers(0, 4, 300)
    new_u = generator.integers(0, 2, 3000)
    new = 4 * new_u + generator.integers(0, 4, 3000)
    few = np.arange(300)
    alone = attack(told[few], u[few], new, new_u).loc[(MODEL, "auc"), "value"]
    assert alone == 1.0
    assert attack(told, u, new, new_u, learn_from=few).loc[(MODEL, "auc"), "value"] == 1.0
    contrary = np.where(np.arange(3000) < 300, told, 4 * (1 - u) + codes % 4)
    assert attack(contrary, u, new, new_u, learn_from=few).loc[(MODEL, "auc"), "value"] == 1.0


def test_each_pair_of_classes_has_an_auc():
    generator = np.random.default_rng(3)
    u, held_out_u = generator.integers(0, 3, (2, 3000))
    codes, held_out_codes = ((side + generator.integers(0, 3, 3000)) % 4 for side in (u, held_out_u))
    rows = attack(codes, u, held_out_codes, held_out_u, names=("a", "b", "c"), smoothing=0.0)
    posterior = posterior_risk(codes, u, 3).posterior()
    pairs = {"a vs b": (0, 1), "a vs c": (0, 2), "b vs c": (1, 2)}
    assert set(pairs) == {metric for model, metric in rows.index if model == MODEL and " vs " in metric}
    for metric, (first, second) in pairs.items():
        either = np.isin(held_out_u, (first, second))
        p = posterior[held_out_codes[either]]
        wanted = roc_auc_score(held_out_u[either] == first, p[:, first] / (p[:, first] + p[:, second]))
        assert rows.loc[(MODEL, metric), "value"] == pytest.approx(wanted, abs=1e-6)
        assert rows.loc[(MAJORITY, metric), "value"] == 0.5


def test_a_code_of_neither_class_is_no_evidence_between_them():
    probabilities = np.array([[0, 0, 1], [0.6, 0.4, 0], [0.2, 0.8, 0]], dtype=np.float32)
    prior, ones = np.array([0.25, 0.25, 0.5]), np.ones((1, 3), np.float32)
    # first class: odds ½ (of the prior); second: .6 and .2: beaten by one, beats one
    assert pair_area(np.array([0, 1, 1]), probabilities, prior, ones, (0, 1)) == pytest.approx([0.5])


def test_reading_a_curve_by_hand():
    # thresholds: .9 (one positive), .5 (one positive, two negatives), .1 (two negatives)
    positive = np.array([True, True, False, False, False, False])
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.1], dtype=np.float32)
    false_positive, true_positive = roc_points(positive, scores, np.array([[1] * 6, [1, 1, 0, 0, 0, 0]], np.float32))
    assert false_positive[0].tolist() == [0, 0, 0.5, 1]
    assert true_positive[0].tolist() == [0, 0.5, 1, 1]
    for rate, wanted in ((0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.75, 1.0)):
        # the second row has no negatives: chance
        assert read_roc(false_positive, true_positive, rate).tolist() == pytest.approx([wanted, rate])


@pytest.mark.parametrize("digits", [1, 8])  # one digit: many ties
def test_curves_are_scikit_learns(digits):
    generator = np.random.default_rng(4)
    positive = generator.random(500) < 0.3
    scores = np.round(generator.random(500) + 0.3 * positive, digits).astype(np.float32)
    weights = np.concatenate([np.ones((1, 500)), generator.integers(0, 4, (3, 500))]).astype(np.float32)
    for rate in (0.013, 0.05, 0.5):
        wanted = []
        for row in weights:
            false_positive, true_positive, _ = roc_curve(positive, scores, sample_weight=row, drop_intermediate=False)
            wanted.append(np.interp(rate, false_positive, true_positive))
        assert read_roc(*roc_points(positive, scores, weights), rate) == pytest.approx(wanted, abs=1e-6)


def test_the_class_that_is_found_most_counts():
    """Ten of class 1 are found for certain; of class 0 nobody is without accusing others."""
    labels = np.repeat([0, 1], [100, 100])
    scores = np.r_[np.full(100, 0.4), np.full(10, 0.99), np.full(90, 0.4)].astype(np.float32)
    probabilities = np.stack([1 - scores, scores], axis=1)
    value = found_at(labels, probabilities, np.ones((2, 200), np.float32))["tpr-at-1%-fpr"].value
    assert value == pytest.approx(0.1 + 0.01 * 0.9)
    mirrored = found_at(1 - labels, probabilities[:, ::-1], np.ones((2, 200), np.float32))
    assert mirrored["tpr-at-1%-fpr"].value == pytest.approx(value)


# ---- which releases are finite


def test_few_distinct_rows_are_codes():
    generator = np.random.default_rng(0)
    codewords = generator.normal(size=(8, 5)).astype(np.float32)
    codewords = codewords[np.lexsort(codewords.T[::-1])]
    known, new = generator.integers(0, 8, 400), generator.integers(0, 8, 50)
    found = finite_codes(codewords[known], codewords[new])
    assert found is not None
    codes, held_out_codes, size = found
    assert size == 8
    assert (codes == known).all()
    assert (held_out_codes == new).all()


def test_a_row_that_no_contributor_has_is_unseen():
    known, new = np.tile([[-3.0], [0.0], [7.0]], (30, 1)), np.array([[7.0], [1.0], [-0.0], [99.0]])
    found = finite_codes(known.astype(np.float32), new.astype(np.float32))
    assert found is not None
    codes, held_out_codes, size = found
    assert size == 3
    assert codes.tolist() == [0, 1, 2] * 30
    assert held_out_codes.tolist() == [2, 3, 1, 3]  # -0 is 0; 1 and 99 are no code of a contributor's


def test_what_is_not_finite():
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(2000, 4)).astype(np.float32)
    assert finite_codes(numbers, numbers) is None
    one_in_two = np.repeat(numbers[:, :1], 2, axis=0)
    assert finite_codes(one_in_two, numbers[:, :1]) is None  # numbers with decimals need twenty records each
    whole = np.repeat(np.arange(1000.0), 2)[:, None].astype(np.float32)
    assert finite_codes(whole, whole) is not None  # whole ones need two
    assert finite_codes(whole[::2], whole) is None  # record numbers are no codes
    many = np.repeat(np.arange(MOST_CODES + 1.0), 25)[:, None].astype(np.float32)
    assert finite_codes(many, many) is None
    # the first rows are all the same: a look at these isn't enough
    late = np.concatenate([np.zeros((500, 4), np.float32), numbers])
    assert finite_codes(late, numbers) is None
    assert finite_codes(np.empty((0, 3), np.float32), np.empty((0, 3), np.float32)) is None


# ---- the figure


def risk_table(classes, size=12, n=3000):
    generator = np.random.default_rng(0)
    codes, u = generator.integers(0, size, n), generator.integers(0, 2 * classes - 1, n) // 2
    return posterior_risk(codes, u, classes, size + 1).table([f"class {k}" for k in range(classes)])


def test_the_figure_of_two_classes_draws_the_rarer_one():
    table = risk_table(2)
    axes = [one for one in exact_figure(table, "u").axes if one.get_visible()]
    assert len(axes) == 1
    assert axes[0].get_ylabel() == "P(class 1 | code)"  # a third of the records
    boxes = axes[0].patches[:12]
    rows = table[(table["class"] == "class 1") & (table["records"] > 0)].sort_values("posterior")
    np.testing.assert_allclose([box.get_width() for box in boxes], rows["share"])
    np.testing.assert_allclose([box.get_y() for box in boxes], rows["low"])
    np.testing.assert_allclose([box.get_y() + box.get_height() for box in boxes], rows["high"])
    assert axes[0].lines[0].get_ydata()[0] == pytest.approx(rows["prior"].iloc[0])
    outside = (rows["low"] > rows["prior"]) | (rows["high"] < rows["prior"])
    assert f"outside {outside.sum()} of 12" in axes[0].get_title()


def test_the_figure_of_more_classes_has_a_panel_for_each():
    axes = [one for one in exact_figure(risk_table(3), "u").axes if one.get_visible()]
    assert [one.get_ylabel() for one in axes] == [f"P(class {k} | code)" for k in range(3)]
