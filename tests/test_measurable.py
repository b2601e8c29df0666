"""What can't be measured is refused or said, and never shown as the level of chance."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands import audit as command
from fl_tiprdc.config import AuditConfig, DataConfig
from fl_tiprdc.data.own_table import load_table
from fl_tiprdc.data.population import hold_out
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.exact_attack import exact_attack
from fl_tiprdc.evaluation.attacks.known_record import known_record
from fl_tiprdc.evaluation.attacks.update_attack import read_features
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, audit
from fl_tiprdc.evaluation.frontier import best_models, frontier_area, over_seeds, summarize_points
from fl_tiprdc.evaluation.further_summary import summarize_further, summarize_known
from fl_tiprdc.evaluation.guarantees import guarantees, trade_offs
from fl_tiprdc.evaluation.measurable import check_measurable, unmeasured, unmeasured_lines
from fl_tiprdc.evaluation.scores import resample
from fl_tiprdc.notices import DataNotice
from fl_tiprdc.report.figures import frontier_figure
from fl_tiprdc.report.page_tables import page_tables
from fl_tiprdc.report.run_tables import read_run

N, TESTED = 200, 50
PANEL = AuditConfig(attackers=("logistic", "forest"), probes=("logistic",), bootstrap=20)


def truth(n, generator, **constant):
    """Labels of two private attributes and two tasks; those named in `constant` are the same for all."""
    labels = {name: generator.integers(0, 2, n) for name in ("sex", "event", "rich", "tall")}
    labels |= {name: np.full(n, value) for name, value in constant.items()}
    attacks, tasks = ({name: labels[name] for name in names} for names in (("sex", "event"), ("rich", "tall")))
    return Truth(attacks, tasks, dict.fromkeys(labels, 2), np.arange(n), {"event": ("no", "yes")})


def sides(held_out=None, contributors=None):
    generator = np.random.default_rng(0)
    known, unknown = truth(N, generator, **(contributors or {})), truth(TESTED, generator, **(held_out or {}))
    release = AuditedRelease(
        "raw", "raw", 0.0, 0, *(generator.normal(size=(n, 4)).astype(np.float32) for n in (N, TESTED))
    )
    return release, known, unknown


# ---- the split


def test_a_class_that_the_plain_split_would_leave_out_is_on_both_sides():
    for few in range(2, 6):
        labels = pd.Series(np.where(np.arange(60) < few, "yes", "no"))
        for shift in range(0, 60, 7):
            tested = hold_out(np.arange(60), 0.2, [pd.Series(np.roll(labels, shift))])
            assert tested.sum() == 12
            assert {len(set(np.roll(labels, shift)[side])) for side in (tested, ~tested)} == {2}


def test_the_split_is_the_plain_one_where_that_has_every_class():
    generator = np.random.default_rng(0)
    for n in (50, 300):
        labels = [pd.Series(generator.choice(["a", "b", "c"], n)), pd.Series(generator.normal(size=n))]
        np.testing.assert_array_equal(hold_out(np.arange(n), 0.2, labels), hold_out(np.arange(n), 0.2))


def test_a_person_is_moved_with_all_records():
    person = np.repeat(np.arange(30), 4)
    labels = pd.Series(np.where(np.isin(person, [3, 4]) & (np.arange(120) % 4 == 0), "yes", "no"))
    tested = hold_out(person, 0.2, [labels])
    assert not set(person[tested]) & set(person[~tested])
    assert {3, 4} & set(person[tested])
    assert {3, 4} & set(person[~tested])
    assert len(set(person[tested])) == 6


def test_a_table_is_encoded_with_the_split_that_has_every_class(tmp_path):
    """Medians and rare classes are taken of the same contributors who contribute in the end."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"event": np.where(np.arange(60) < 2, "yes", "no"), "rich": generator.integers(0, 2, 60)})
    frame.assign(age=generator.normal(size=60)).to_csv(tmp_path / "people.csv", index=False)
    config = DataConfig(file=tmp_path / "people.csv", tasks=("rich",))
    population = load_table(config, ["event"], 0.2)
    assert population.contributors.description.attributes[0].classes == ("no", "yes")
    assert {len(set(crowd.private[:, 0])) for crowd in (population.contributors, population.held_out)} == {2}


# ---- before any work


def test_people_of_whom_nothing_can_be_measured_are_refused():
    for lacking in ({"held_out": {"sex": 0, "event": 0}}, {"contributors": {"sex": 1, "event": 0}}):
        _, known, unknown = sides(**lacking)
        with pytest.raises(InputError, match=r"no private attribute can be measured: .*'event': .* single value, 'no'"):
            check_measurable(known, unknown)


def test_one_of_several_that_cant_be_measured_is_told_of():
    _, known, unknown = sides(held_out={"event": 0, "tall": 1})
    with pytest.warns(DataNotice, match="private attribute 'event': the 50 held-out people.*; task 'tall'"):
        check_measurable(known, unknown)


def test_a_class_that_one_side_lacks_is_told_of_and_not_counted():
    release, known, unknown = sides()
    three = {**known.classes, "sex": 3}
    known, unknown = replace(known, classes=three), replace(unknown, classes=three)
    with pytest.warns(DataNotice, match="class '2' of 'sex': nobody among contributors and held-out people"):
        check_measurable(known, unknown)
    unknown.attacks["sex"][:10] = 2  # nobody could learn it: ½ for it would draw the mean to chance
    told = np.zeros((N + TESTED, 4), np.float32)
    told[:, 0] = np.concatenate([known.attacks["sex"], unknown.attacks["sex"] % 2])
    table = audit(replace(release, contributors=told[:N], held_out=told[N:]), known, unknown, PANEL)
    (auc,) = best_models(table[(table["kind"] == "attack") & (table["target"] == "sex")])["value"]
    assert auc > 0.85


# ---- what an audit finds


@pytest.mark.parametrize("lacking", [{"held_out": {"event": 0, "tall": 1}}, {"contributors": {"event": 0, "tall": 1}}])
def test_what_cant_be_measured_has_no_number_and_is_not_counted(lacking):
    release, known, unknown = sides(**lacking)
    table = audit(release, known, unknown, PANEL)
    lost = table[table["target"].isin(["event", "tall"])]
    assert len(lost)
    assert lost["value"].isna().all()
    assert set(best_models(table)["target"]) == {"sex", "rich"}
    (point,) = summarize_points(table).to_dict("records")
    assert point["attribute"] == "sex"
    assert set(guarantees(table)["attribute"]) == {"sex"}
    assert set(trade_offs(table)["attribute"]) <= {"sex"}
    missing = unmeasured(table)
    assert list(zip(missing["kind"], missing["target"], strict=True)) == [("attack", "event"), ("task", "tall")]
    assert unmeasured_lines(missing)[0].startswith("not measured, and not counted: attack on event (raw raw 0, seed 0)")


def test_a_point_without_any_measured_attack_has_no_a_and_is_named_in_the_figure():
    release, known, unknown = sides()
    _, same, _ = sides(contributors={"sex": 1, "event": 0})
    published = replace(release, setting="federated", method="tiprdc+", lam=0.5)
    tables = audit(release, known, unknown, PANEL), audit(published, same, unknown, PANEL)
    points = summarize_points(pd.concat(tables, ignore_index=True))
    assert points["setting"].tolist() == ["raw", "federated"]
    assert points["attack"].isna().tolist() == [False, True]
    assert frontier_area(points[points["setting"] == "federated"]) == 0
    assert over_seeds(points)["attack"].isna().sum() == 1
    texts = [text.get_text() for text in frontier_figure(points).axes[0].texts]
    assert any("not measured" in text and "tiprdc+ federated 0.5" in " ".join(text.split()) for text in texts)


def test_an_attack_none_of_whose_attackers_could_be_fitted_is_told_of():
    release, known, unknown = sides()
    table = audit(release, known, unknown, PANEL.model_copy(update={"attackers": ("white-box-mlp",)}))
    assert unmeasured(table)["target"].tolist() == ["sex", "event"]


def test_validation_people_leave_somebody_of_each_class_to_learn_from():
    generator = np.random.default_rng(0)
    for seed in range(10):
        release, known, unknown = sides()
        known.attacks["event"][:] = np.arange(N) == generator.integers(N)  # one person, wherever
        table = audit(replace(release, seed=seed), known, unknown, PANEL)
        assert unmeasured(table).empty


def test_the_exact_and_the_further_attacks_have_no_number_either():
    release, known, unknown = sides(held_out={"event": 0})
    weights = resample(unknown.participant, 10, 0)
    codes = np.arange(N) % 4, np.arange(TESTED) % 4
    exact = exact_attack(release, *codes, known, unknown, weights)
    assert set(best_models(exact)["target"]) == {"sex"}
    assert exact.loc[exact["target"] == "event", "value"].isna().all()
    raw = np.zeros((N, 2), np.float32), np.zeros((TESTED, 2), np.float32)
    further = known_record(release, raw, known, unknown, PANEL)
    assert set(summarize_known(further)["target"]) == {"sex"}
    assert set(unmeasured(further)["target"]) == {"event"}
    assert summarize_further(further).empty


def test_an_update_attack_with_nothing_to_learn_from_has_no_auc():
    generator = np.random.default_rng(0)
    x, test = generator.normal(size=(30, 3)), generator.normal(size=(10, 3))
    reading = read_features(
        x, test, np.arange(30), np.arange(10), np.zeros(30), np.arange(10) / 10, 0.5, seed=0, bootstrap=5
    )
    assert reading.attacker == "none"
    assert np.isnan(reading.auc.value)


def test_the_page_has_a_table_of_what_was_not_measured(tmp_path):
    release, known, unknown = sides(held_out={"event": 0})
    audit(release, known, unknown, PANEL).to_csv(tmp_path / "metrics.csv", index=False, float_format="%.6f")
    (table,) = [one for one in page_tables(read_run(tmp_path)) if one.heading == "Not measured"]
    assert table.frame["target"].tolist() == ["event"]


# ---- the audit of a publication


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Runs the command: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*flags):
        with pytest.raises(SystemExit) as exit_:
            guard(lambda _: command.main(flags))
        said = capsys.readouterr()
        return exit_.value.code, said.out, said.err

    return call


def test_an_audit_holds_out_people_of_each_class_and_prints_names_in_full(call, tmp_path):
    generator = np.random.default_rng(0)
    labels = pd.DataFrame(
        {"sex [/m]": np.where(np.arange(60) < 3, "f", "m"), "weight [kg]": generator.integers(0, 2, 60)}
    )
    np.savez(tmp_path / "z.npz", z=generator.normal(size=(60, 3)))
    labels.to_csv("labels.csv", index=False)
    flags = ("--labels", "labels.csv", "--private", "sex [/m]", "--tasks", "weight [kg]", "--attacks", "none")
    status, out, _ = call("z.npz", *flags, "--output", "o")
    assert status == 0
    assert "attack: sex [/m]" in out
    assert "task: weight [kg]" in out
    assert " on sex [/m], AUC" in out
    (attack, _) = json.loads((tmp_path / "o" / "summary.json").read_text())["best"]
    assert attack["auc"] != 0.5
