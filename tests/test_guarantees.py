"""What follows from the audit: exact small cases, and data whose mutual information is known."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import AuditConfig, DataConfig
from fl_tiprdc.data.avatars import VALUES
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, audit
from fl_tiprdc.evaluation.classifiers import BUILT_IN, MAJORITY
from fl_tiprdc.evaluation.guarantees import (
    channel_capacity,
    entropy_bits,
    fano_success,
    guarantees,
    least_error_sum,
    most_group_mean,
    most_information_bits,
    most_success,
    trade_offs,
)
from fl_tiprdc.evaluation.subgroups import worst_groups
from fl_tiprdc.release.channel import capacity_bits
from fl_tiprdc.report.bounds_figure import bounds_figure
from tests.avatar_law import information_bits, joint_distribution
from tests.invented_metrics import metrics_of

# ---- formulas


def coin(p):
    return entropy_bits(p, 1 - p)


def test_bounds_by_hand():
    assert entropy_bits(0.25, 0.25, 0.5, 0) == pytest.approx(1.5)
    assert most_success(0) == 1
    assert most_success(1) == pytest.approx(1 - 1 / (2 * math.log2(6)))
    assert most_success(0.6) == pytest.approx(1 - 0.6 / (2 * math.log2(10)))
    assert most_information_bits(0.9, capacity_bits(1, 2.0)) == pytest.approx(0.5 * math.log2(1.25))
    assert most_information_bits(0.9, math.inf) == 0.9
    assert least_error_sum(0.4, 0.1) == pytest.approx(0.3)
    assert least_error_sum(0.1, 0.4) == 0
    assert most_group_mean(0.4, 0.5) == pytest.approx(0.8)
    assert most_group_mean(0.4, 0.6) == pytest.approx(0.9)
    assert most_group_mean(0.4, 0.9) == 1
    assert most_group_mean(0.4, 0.45) == most_group_mean(0.4, 0.5)  # no distance is below 0


@pytest.mark.parametrize("error", [0.0, 0.01, 0.1, 0.3, 0.5])
def test_fano_is_sharp_for_a_binary_symmetric_channel(error):
    assert fano_success(coin(error), 2) == pytest.approx(1 - error, abs=1e-6)
    assert fano_success(coin(error), 2) <= most_success(coin(error)) + 1e-9


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_fano_is_sharp_for_a_symmetric_channel_of_any_size(classes):
    error = 0.2  # equally often taken for each of the other classes
    bits = entropy_bits(1 - error, *[error / (classes - 1)] * (classes - 1))
    assert fano_success(bits, classes) == pytest.approx(1 - error)
    assert fano_success(math.log2(classes), classes) == pytest.approx(1 / classes, abs=1e-4)
    assert fano_success(0, classes) == 1
    assert fano_success(1.0, 1) == 1


def some_law(seed):
    """Probabilities of (t, u, z): [2, 2, 4]."""
    law = np.random.default_rng(seed).dirichlet(np.full(16, 0.4)).reshape(2, 2, 4)
    return law


def avatars_law(correlation, seen):
    """Exact law of (first task, first private attribute, z), z being two attributes together."""
    law = joint_distribution(("shape",), DataConfig(correlation=correlation))
    names = list(VALUES)
    kept = ["color", "shape", *seen]
    law = np.einsum(law, range(5), [names.index(name) for name in dict.fromkeys(kept)])
    if seen[0] == "color":  # t is a part of z
        law = np.stack([law[0], np.zeros_like(law[0])], 1), np.stack([np.zeros_like(law[1]), law[1]], 1)
        law = np.stack(law)
    return law.reshape(2, 2, 4)


LAWS = [some_law(seed) for seed in range(20)]
LAWS += [avatars_law(r, seen) for r in (0, 0.6, 1) for seen in (("color", "hat"), ("background", "position"))]


@pytest.mark.parametrize("law", LAWS)
def test_no_deterministic_classifier_escapes_a_bound(law):
    of_group = law / law.sum((0, 2), keepdims=True)
    gap = abs(of_group[1, 0].sum() - of_group[1, 1].sum())
    u_and_z = of_group.sum(0)
    distance = np.abs(u_and_z[0] - u_and_z[1]).sum() / 2
    balanced = (1 + distance) / 2  # of the best possible attacker
    joint = law.sum(0)
    conditional = entropy_bits(*joint.reshape(-1)) - entropy_bits(*joint.sum(0))
    reached = []
    for answers in map(np.array, itertools.product((0, 1), repeat=4)):  # all functions of z
        errors = np.array([(of_group[0, u] * (answers == 1) + of_group[1, u] * (answers == 0)).sum() for u in (0, 1)])
        assert errors.sum() >= least_error_sum(gap, distance) - 1e-9
        assert (1 - errors).mean() <= most_group_mean(gap, balanced) + 1e-9
        # the same answers taken for u or its opposite: an attack that is as good as the errors are small
        taken = abs(u_and_z[0] @ answers - u_and_z[1] @ answers)
        assert (1 + taken) / 2 >= (1 + gap - errors.sum()) / 2 - 1e-9
        right = joint[1] @ answers + joint[0] @ (1 - answers)
        reached.append(max(right, 1 - right))
    assert max(reached) <= fano_success(conditional, 2) + 1e-9 <= most_success(conditional) + 2e-9


def test_the_law_of_avatars_has_the_information_that_it_says():
    law = avatars_law(0.6, ("color", "hat")).sum(0)
    information = entropy_bits(*law.sum(1)) + entropy_bits(*law.sum(0)) - entropy_bits(*law.reshape(-1))
    assert information == pytest.approx(information_bits(DataConfig(correlation=0.6)))
    # all that can be said of u: 1 - error = (1 + .6) / 2
    assert fano_success(1 - information, 2) == pytest.approx(0.8)


# ---- estimates on data with a known law


def audited(z, u, t, attackers=("logistic",), bootstrap=20, setting="federated", names=None) -> pd.DataFrame:
    """Audit z [n, d] with private u and task t [n]; the second half is held out."""
    half = len(z) // 2
    sides = [
        Truth({"u": u[part]}, {"t": t[part]}, {"u": int(u.max()) + 1, "t": 2}, np.arange(half), names or {})
        for part in (slice(half), slice(half, None))
    ]
    panel = AuditConfig(attackers=attackers, probes=("logistic",), bootstrap=bootstrap)
    return audit(AuditedRelease(setting, "tiprdc+", 0.5, 0, z[:half], z[half:]), *sides, panel)


def flipped(bits, error, seed):
    return np.where(np.random.default_rng(seed).random(len(bits)) < error, 1 - bits, bits)


@pytest.mark.parametrize("error", [0.1, 0.3])
def test_the_entropy_of_a_binary_symmetric_channel_is_found(error):
    generator = np.random.default_rng(0)
    u, t = generator.integers(0, 2, (2, 20000))
    z = flipped(u, error, 1)[:, None].astype(np.float32)
    row = guarantees(audited(z, u, t)).iloc[0]
    # the sample's entropy has a standard deviation of √(Var(ln p) / 10000) < .01 bits
    assert row["conditional"] == pytest.approx(coin(error), abs=0.03)
    assert row["entropy"] == pytest.approx(1, abs=0.001)
    assert row["information"] == pytest.approx(1 - coin(error), abs=0.03)
    assert row["success"] == pytest.approx(1 - error, abs=0.015)  # Bayes' rule: answer z
    assert 1 - error <= row["most_success"]
    assert row["fano_success"] == pytest.approx(1 - error, abs=0.015)
    assert (row["most_information"], row["capacity_success"]) == (row["entropy"], 1)


def test_the_channel_bounds_every_attacker():
    capacity = channel_capacity(
        [{"method": "tiprdc+", "lam": 0.5, "bits": 0.2}, {"method": "tiprdc+", "lam": 0.9, "bits": None}]
    )
    assert capacity("federated", "tiprdc+", 0.5) == 0.2
    for other in (("federated", "tiprdc+", 0.9), ("raw", "tiprdc+", 0.5), ("federated", "tiprdc", 0.5)):
        assert capacity(*other) == math.inf
    u, t = np.random.default_rng(0).integers(0, 2, (2, 2000))
    row = guarantees(audited(flipped(u, 0.3, 1)[:, None].astype(np.float32), u, t), capacity).iloc[0]
    assert row["most_information"] == 0.2
    assert row["capacity_success"] == pytest.approx(fano_success(row["entropy"] - 0.2, 2))


def test_with_three_classes_only_fano_says_something():
    u = np.random.default_rng(0).integers(0, 3, 3000)
    row = guarantees(audited(np.eye(3, dtype=np.float32)[u], u, u % 2)).iloc[0]
    assert np.isnan(row["most_success"])
    assert row["entropy"] == pytest.approx(math.log2(3), abs=0.01)
    assert row["fano_success"] > 0.99
    assert trade_offs(audited(np.eye(3, dtype=np.float32)[u], u, u % 2)).empty


def correlated(n=8000, correlation=0.6):
    generator = np.random.default_rng(0)
    u = generator.integers(0, 2, n)
    t = flipped(u, (1 - correlation) / 2, 1)
    return u, t, generator.normal(size=(n, 1)).astype(np.float32)


def test_trade_off_of_a_task_that_goes_with_the_private_attribute():
    u, t, noise = correlated()
    told = trade_offs(audited(t[:, None].astype(np.float32), u, t)).iloc[0]
    hidden = trade_offs(audited(noise, u, t)).iloc[0]
    assert (told["attribute"], told["task"]) == ("u", "t")
    for row in (told, hidden):
        assert row["base_gap"] == pytest.approx(0.6, abs=0.03)
        assert row["chance"] == pytest.approx(0.5, abs=0.03)
        assert row["group_mean"] <= row["bound"]
    assert told["group_mean"] == 1  # z is t: all of it, at the price of an attack of (1 + .6) / 2
    assert told["attack"] == pytest.approx(0.8, abs=0.015)
    assert told["bound"] == pytest.approx(1, abs=0.001)
    assert hidden["attack"] == pytest.approx(0.5, abs=0.03)
    assert hidden["bound"] == pytest.approx(0.7, abs=0.04)


def test_the_figure_has_a_panel_for_each_task_and_the_bound():
    u, t, noise = correlated(1000)
    tables = [audited(noise + s * t[:, None], u, t, setting=setting) for setting, s in (("raw", 9), ("federated", 1))]
    trades = trade_offs(pd.concat(tables, ignore_index=True))
    for panels in (1, 3):
        several = pd.concat([trades.assign(task=f"t{i}") for i in range(panels)])
        figure = bounds_figure(several)
        shown = [axes for axes in figure.axes if axes.get_visible()]
        assert len(shown) == panels
        assert all(axes.get_title() and axes.get_ylabel() for axes in shown)
        assert shown[-1].get_xlabel()
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert labels == ["tiprdc+, federated", "raw data", "bound for this attack", "most frequent answer"]
        bound = next(line for line in shown[0].lines if line.get_label() == "bound for this attack")
        gap = trades["base_gap"].iloc[0]
        wanted = [most_group_mean(gap, attack) for attack in bound.get_xdata()]
        np.testing.assert_allclose(bound.get_ydata(), wanted)


# ---- private groups


def test_the_group_that_is_served_worst_is_named():
    generator = np.random.default_rng(0)
    u, t = generator.integers(0, 2, (2, 4000))
    z = np.where(u == 0, t, generator.integers(0, 2, 4000))[:, None].astype(np.float32)  # t is lost in group 1
    table = audited(z, u, t, names={"u": ("few", "many")})
    (row,) = worst_groups(table).to_dict("records")
    assert (row["task"], row["probe"], row["attribute"], row["group"]) == ("t", "logistic", "u", "many")
    assert row["group_accuracy"] == pytest.approx(0.5, abs=0.05)
    assert row["group_low"] < row["group_accuracy"] < row["group_high"]
    assert row["accuracy"] == pytest.approx(0.75, abs=0.04)
    assert row["shortfall"] == pytest.approx(row["accuracy"] - row["group_accuracy"])
    # for an attacker on u it is the recall of the class; their mean is the balanced accuracy
    attack = table[(table["kind"] == "attack") & (table["model"] == "logistic")].set_index("metric")
    recalls = attack.loc["group-accuracy"]
    assert recalls["group"].tolist() == ["few", "many"]
    assert recalls["value"].mean() == pytest.approx(attack.loc["balanced-accuracy", "value"])


def test_tables_without_groups_have_no_guarantees():
    where = ("federated", "tiprdc+", 0.5, 0)
    rows = [(*where, "attack", "u", "mlp", metric, 0.6, 0.5, 0.7) for metric in ("auc", "accuracy")]
    rows += [(*where, "task", "t", "mlp", metric, 0.6, 0.5, 0.7) for metric in ("auc", "accuracy")]
    old = metrics_of(rows)
    assert guarantees(old).empty
    assert trade_offs(old).empty
    assert worst_groups(old).empty


# ---- can the audit be trusted?


def test_false_alarms_are_as_rare_as_the_interval_says():
    covered, above = 0, 0
    for seed in range(50):
        generator = np.random.default_rng(seed)
        u, t = generator.integers(0, 2, (2, 600))
        table = audited(generator.normal(size=(600, 3)).astype(np.float32), u, t, bootstrap=200)
        row = table[(table["kind"] == "attack") & (table["model"] == "logistic") & (table["metric"] == "auc")].iloc[0]
        covered += row["low"] <= 0.5 <= row["high"]
        above += row["low"] > 0.5
    # one attacker: 95 % of 50 are 47.5, with a standard deviation of 1.5. The worst of a panel alarms more often: the
    # best of several looks at the same noise is biased upwards.
    assert covered >= 43
    assert above <= 4


@pytest.mark.parametrize("attacker", BUILT_IN)
def test_every_attacker_finds_a_coordinate_that_is_u(attacker):
    generator = np.random.default_rng(0)
    u, t = generator.integers(0, 2, (2, 3000))
    z = generator.normal(size=(3000, 12)).astype(np.float32)
    z[:, 7] = u
    table = audited(z, u, t, attackers=(attacker,))
    found = table[(table["kind"] == "attack") & (table["model"] != MAJORITY)].set_index("metric")["value"]
    assert found["auc"] > 0.99
    assert found["cross-entropy"] < 0.35  # nats; ln 2 = .69 without a look
