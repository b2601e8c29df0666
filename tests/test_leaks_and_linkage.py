"""Attackers that know few labels, and attackers that see several records of a person."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.evaluation.attack_answers import AttackAnswer, answers_of, answers_table
from fl_tiprdc.evaluation.attacks.exact_attack import exact_attack
from fl_tiprdc.evaluation.attacks.leaks import leaks
from fl_tiprdc.evaluation.attacks.linkage import LEAST, OWN, POOLED, bundle, linkage, pool
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, audit
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, MAJORITY
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.evaluation.scores import resample

PANEL = AuditConfig(attackers=("logistic", "boosting"), probes=("logistic",), bootstrap=60)
ONE = PANEL.model_copy(update={"attackers": ("logistic",)})


pytestmark = pytest.mark.usefixtures("one_thread_each")


def truth(u, participant=None):
    people = np.arange(len(u)) if participant is None else participant
    return Truth({"u": u}, {"t": u}, {"u": int(u.max()) + 1, "t": int(u.max()) + 1}, people)


def case(effect, n=1600, m=1000, seed=0, d=6):
    """A release and truths: u moves the first of d normal coordinates by `effect`."""
    generator = np.random.default_rng(seed)
    sides = []
    for size in (n, m):
        u = generator.integers(0, 2, size)
        z = generator.normal(size=(size, d))
        z[:, 0] += effect * u
        sides.append((z.astype(np.float32), u))
    (known_z, known_u), (z, u) = sides
    return AuditedRelease("federated", "m", 0.5, 0, known_z, z), truth(known_u), truth(u)


def areas(table: pd.DataFrame) -> pd.DataFrame:
    """AUC with interval by (model, level)."""
    rows = table[table["metric"] == "auc"]
    return rows.set_index(["model", "level"])[["value", "low", "high"]]


def test_who_has_a_copy_of_the_private_value_needs_few_leaks():
    release, known, unknown = case(effect=0.0)
    copied = AuditedRelease(
        *("federated", "m", 0.5, 0),
        np.column_stack([release.contributors, known.attacks["u"]]).astype(np.float32),
        np.column_stack([release.held_out, unknown.attacks["u"]]).astype(np.float32),
    )
    table = leaks(copied, known, unknown, PANEL)
    assert list(table.columns) == COLUMNS
    assert set(table["kind"]) == {"leaks"}
    assert set(table["target"]) == {"u"}  # no task
    assert (table["group"] == "").all()
    found = areas(table)
    assert set(found.index.get_level_values("level")) == {100, 1000, 1600}  # there are no 10,000
    for name in PANEL.attackers:
        assert found.loc[(name, 1000), "value"] > 0.99
        assert found.loc[(name, 1600), "value"] > 0.99
    assert (found.loc[MAJORITY, ["value", "low", "high"]] == 0.5).all(axis=None)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_number_of_leaks_helps_against_independence(seed):
    found = areas(leaks(*case(0.0, seed=seed), ONE))
    assert (found["low"] <= 0.5).all()
    assert (found["high"] >= 0.5).all()


def test_more_leaks_tell_more_and_draws_are_nested_and_few(monkeypatch):
    release, known, unknown = case(0.7, d=20)
    seen = []

    def spy(x, labels, classes, test, seed):
        chosen_by = test[: -len(release.held_out)]  # they leak too
        seen.append(np.concatenate([x, chosen_by]))
        assert len(x) == len(labels)
        return CLASSIFIERS["logistic"](x, labels, classes, test, seed)

    monkeypatch.setitem(CLASSIFIERS, "spy", spy)
    config = ONE.model_copy(update={"attackers": ("spy",), "probes": ()})
    found = areas(leaks(release, known, unknown, config, sizes=(50, 400, 1200)))
    assert [len(rows) for rows in seen] == [1600, 50, 400, 1200, 50, 400, 50, 400]
    for few, more in ((1, 2), (2, 3), (4, 5), (6, 7)):
        assert set(seen[few][:, 0]) < set(seen[more][:, 0])
    assert set(seen[1][:, 0]) != set(seen[4][:, 0])
    line = found.loc["spy"].sort_index()
    assert line["value"].loc[[50, 400, 1600]].is_monotonic_increasing
    assert line["value"].loc[1600] - line["value"].loc[50] > 0.02
    assert line["low"].loc[50] < line["low"].loc[1600]  # the interval holds all draws


def test_all_leaks_are_what_the_audit_found():
    release, known, unknown = case(0.5)
    config = ONE.model_copy(update={"attack_records": 700})
    audited = audit(release, known, unknown, config)
    table = leaks(release, known, unknown, config, audited)
    pd.testing.assert_frame_equal(table, leaks(release, known, unknown, config))  # the same, found anew
    assert set(areas(table).index.get_level_values("level")) == {100, 700}
    mine = areas(table).loc[("logistic", 700)]
    own = audited[(audited["kind"] == "attack") & (audited["model"] == "logistic") & (audited["metric"] == "auc")]
    assert mine["value"] == own["value"].iloc[0]
    assert (mine["low"], mine["high"]) == (own["low"].iloc[0], own["high"].iloc[0])


# ---- linkage


def linked(release, known, unknown, config):
    """What linkage makes of the answers of an audit."""
    answers: list[AttackAnswer] = []
    audit(release, known, unknown, config, on_answer=answers.append)
    return linkage(release, known, unknown, config, answers)


@pytest.mark.parametrize("effect", [0.2, 0.5])
def test_pooled_records_tell_what_theory_says(effect):
    """The mean of k draws from N(0, 1) or N(δ, 1) has an AUC of Φ(√k δ / √2)."""
    table = linked(*case(effect, n=10_000, m=9600, d=2), ONE)
    assert list(table.columns) == COLUMNS
    assert set(table["kind"]) == {"linkage"}
    assert (table["unit"] == POOLED).all()
    found = areas(table)
    for k, tolerance in ((1, 0.015), (4, 0.03), (16, 0.05)):
        row = found.loc[("logistic", k)]
        wanted = norm.cdf(np.sqrt(k) * effect / np.sqrt(2))
        assert row["value"] == pytest.approx(wanted, abs=tolerance)
        assert row["low"] <= wanted <= row["high"]
        assert (found.loc[(MAJORITY, k), ["value", "low", "high"]] == 0.5).all()


def of_people(effect, each=8, people=500, shared=0.0, seed=0):
    """A crowd in which everybody has `each` records; `shared` is the share of a record's noise that is the person's."""
    generator = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        u = generator.integers(0, 2, people)
        own, rest = generator.normal(size=(people, 1, 2)), generator.normal(size=(people, each, 2))
        z = np.sqrt(shared) * own + np.sqrt(1 - shared) * rest
        z[:, :, 0] += effect * u[:, None]
        sides.append(
            (z.reshape(-1, 2).astype(np.float32), truth(np.repeat(u, each), np.repeat(np.arange(people), each)))
        )
    (known_z, known), (z, unknown) = sides
    return AuditedRelease("federated", "m", 0.5, 0, known_z, z), known, unknown


def test_the_records_of_each_person_are_pooled():
    table = linked(*of_people(0.4), ONE)
    assert (table["unit"] == OWN).all()
    found = areas(table).loc["logistic"]
    assert list(found.index) == [1, 2, 4, 8]
    for k, row in found.iterrows():
        assert row["value"] == pytest.approx(norm.cdf(np.sqrt(k) * 0.4 / np.sqrt(2)), abs=0.05)
    assert found["value"].is_monotonic_increasing
    widths = found["high"] - found["low"]
    assert widths[1] == pytest.approx(4 * np.sqrt(501 / 12) / 250, rel=0.3)  # of 500 people, not of 4,000 records


def test_records_that_are_all_the_same_tell_no_more_than_one():
    found = areas(linked(*of_people(0.4, shared=1.0), ONE)).loc["logistic"]
    assert found["value"].loc[8] == pytest.approx(found["value"].loc[1], abs=0.005)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_number_of_records_helps_against_independence(seed):
    for found in (linked(*case(0.0, seed=seed), ONE), linked(*of_people(0.0, seed=seed), ONE)):
        rows = areas(found)
        assert (rows["low"] <= 0.5).all()
        assert (rows["high"] >= 0.5).all()


def test_each_record_is_in_one_bundle_of_its_person_and_value():
    generator = np.random.default_rng(0)
    people, labels = generator.integers(0, 60, 500), generator.integers(0, 3, 500)
    for found in bundle(people, labels, 0):
        assert found.unit == OWN
        assert len(np.unique(found.rows)) == found.rows.size
        for of in (people, labels):
            assert (of[found.rows] == of[found.rows[:, :1]]).all()
        assert (people[found.rows[:, 0]] == found.person).all()
        both = np.column_stack([found.person, labels[found.rows[:, 0]]])
        assert len(np.unique(both, axis=0)) == len(both)  # one bundle of each
    pooled = bundle(np.arange(500), labels, 0)
    assert [some.rows.shape[1] for some in pooled] == [1, 4, 16]
    for some in pooled:
        assert some.unit == POOLED
        assert len(np.unique(some.rows)) == some.rows.size > 500 - 3 * 16
        assert (labels[some.rows] == labels[some.rows[:, :1]]).all()
        assert len(np.unique(some.person)) == len(some.rows)
    assert [some.rows.tolist() for some in pooled] != [some.rows.tolist() for some in bundle(np.arange(500), labels, 1)]


def test_sizes_that_few_people_have_are_left_out():
    few = np.r_[np.arange(100), np.arange(LEAST - 1)]  # the first have two records
    assert [some.rows.shape[1] for some in bundle(few, few % 2, 0)] == [1, 4]  # so different people's are pooled
    enough = np.r_[np.arange(100), np.arange(LEAST)]
    assert [(some.rows.shape, some.unit) for some in bundle(enough, enough % 2, 0)] == [
        ((100, 1), OWN),
        ((LEAST, 2), OWN),
    ]
    assert bundle(np.arange(5), np.arange(5) % 2, 0) == []


def test_pooling_by_hand():
    """p(c)·Π p(c | z)/p(c), normalized: for shares of ½, ¼, ¼ and twice the answer ¼, ½, ¼."""
    answers = np.array([[[0.25, 0.5, 0.25]] * 2], dtype=np.float32)
    together = pool(answers, np.array([0.5, 0.25, 0.25]))
    weights = np.array([0.5 * 0.5**2, 0.25 * 2**2, 0.25])
    np.testing.assert_allclose(together[0], weights / weights.sum(), rtol=1e-6)
    np.testing.assert_allclose(pool(answers[:, :1], np.array([0.5, 0.25, 0.25]))[0], answers[0, 0], rtol=1e-6)
    sure = pool(np.array([[[1.0, 0.0], [0.0, 1.0]]], dtype=np.float32), np.array([0.5, 0.5]))
    np.testing.assert_allclose(sure, 0.5)  # who is sure of both isn't infinitely sure


def test_several_classes_and_attributes():
    release, known, unknown = case(1.0)
    both = [
        Truth({"u": t.attacks["u"], "v": (t.attacks["u"] + t.participant) % 3}, {}, {"u": 2, "v": 3}, t.participant)
        for t in (known, unknown)
    ]
    table = linked(release, *both, PANEL.model_copy(update={"attackers": ("logistic", "forest")}))
    assert set(table["target"]) == {"u", "v"}
    assert "forest" not in set(table["model"])  # its votes are too coarse to be multiplied
    alone = linked(release, *both, PANEL.model_copy(update={"attackers": ("forest",)}))
    assert "forest" in set(alone["model"])  # but better than nobody
    pd.testing.assert_frame_equal(alone, linked(release, *both, PANEL.model_copy(update={"attackers": ("forest",)})))


def test_a_release_of_codes_is_linked_by_its_exact_attacker():
    """Of k records with codes 0 or 1, P(code = u) = .6, the number of ones tells all; the table finds as much."""
    generator = np.random.default_rng(0)
    sides = []
    for n in (4000, 16_000):
        u = generator.integers(0, 2, n)
        sides.append((np.where(generator.random(n) < 0.6, u, 1 - u), u))
    (codes, known_u), (new_codes, new_u) = sides
    release = AuditedRelease("federated", "m", 0.5, 0, *(c[:, None].astype(np.float32) for c in (codes, new_codes)))
    known, unknown = truth(known_u), truth(new_u)
    answers: list[AttackAnswer] = []
    weights = resample(unknown.participant, PANEL.bootstrap, 0)
    exact_attack(release, codes, new_codes, known, unknown, weights, on_answer=answers.append)
    found = areas(linkage(release, known, unknown, PANEL, answers))
    assert set(found.index.get_level_values("model")) == {"table", MAJORITY}
    for k in (1, 4, 16):
        ones = np.arange(k + 1)
        mass = [binom.pmf(ones, k, p) for p in (0.4, 0.6)]
        wanted = sum(mass[0][i] * (mass[1][i + 1 :].sum() + mass[1][i] / 2) for i in ones)
        row = found.loc[("table", k)]
        assert row["low"] <= wanted <= row["high"]
        assert row["value"] == pytest.approx(wanted, abs=0.03)


def test_all_that_answered_finely_are_pooled(monkeypatch):
    monkeypatch.setitem(CLASSIFIERS, "own", CLASSIFIERS["logistic"])
    attackers = ("forest", "mlp-tuned", "own")
    table = linked(*case(0.5, n=300, m=300), PANEL.model_copy(update={"attackers": attackers}))
    assert set(table["model"]) == {MAJORITY, "mlp-tuned", "own"}
    release, known, unknown = case(0.5)
    assert linkage(release, known, unknown, PANEL, ()).empty


def test_answers_come_back_from_a_file(tmp_path):
    generator = np.random.default_rng(0)
    given = [
        AttackAnswer(name, model, generator.random((5, k), dtype=np.float32), generator.random(k))
        for name, k in (("u", 2), ("v", 3))
        for model in ("logistic", "table")
    ]
    answers_table(given).to_parquet(tmp_path / "answers.parquet", index=False)
    back = answers_of(pd.read_parquet(tmp_path / "answers.parquet"))
    assert [(one.target, one.model) for one in back] == [(one.target, one.model) for one in given]
    for one, other in zip(back, given, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        np.testing.assert_array_equal(one.prior, other.prior)
    answers_table([]).to_parquet(tmp_path / "none.parquet", index=False)
    assert answers_of(pd.read_parquet(tmp_path / "none.parquet")) == ()
