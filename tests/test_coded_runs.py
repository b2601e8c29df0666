"""Runs with codes, from the records to the certificates."""

import pytest
from rich.console import Console

from fl_tiprdc.config import Point
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.evaluation.attacks.registry import FURTHER
from fl_tiprdc.evaluation.certified import KIND
from fl_tiprdc.evaluation.frontier import best_models, summarize_points
from fl_tiprdc.experiment.carry_out import carry_out
from fl_tiprdc.experiment.outcome import release_folder
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.resume import Kept
from tests.coded_crowd import CODES, LAMBDAS, run_on
from tests.conftest import adult


@pytest.fixture(scope="module")
def people() -> Population:
    return adult(held_out=4000)  # so many, as what λ changes is little beside the noise of some hundred


@pytest.fixture(scope="module")
def found(people, tmp_path_factory):
    """A run of both settings with a panel of three attackers."""
    folder = tmp_path_factory.mktemp("run")
    attackers = ("logistic", "mlp", "boosting")
    audit = {"attackers": attackers, "beside_exact": attackers, "bootstrap": 200}
    outcome, experiment = run_on(people, folder, settings=("centralized", "federated"), audit=audit)
    return outcome, experiment, folder


def test_centralized_and_federated_runs_are_certified(found):
    outcome, _, folder = found
    assert {(one.setting, one.lam) for one in outcome.certified} == {
        (setting, lam) for setting in ("centralized", "federated") for lam in LAMBDAS
    }
    for one in outcome.certified:
        assert one.codes == CODES
        assert set(one.certificates) == {"sex"}
        assert one.certificates["sex"].delta == pytest.approx(0.05 / 4)  # four certificates share it
        assert sum(one.certificates["sex"].people.values()) == pytest.approx(350, abs=70)
    by_lam = {(one.setting, one.lam): one.bound for one in outcome.certified}
    for setting in ("centralized", "federated"):
        assert by_lam[setting, 1.0] < by_lam[setting, 0.0]
    rows = outcome.metrics[outcome.metrics["kind"] == KIND]
    assert set(rows["metric"]) == {"auc-bound", "auc-bound-asymptotic"}
    assert len(rows) == 8
    for one in outcome.certified:
        assert (release_folder(folder / "publication", one.setting, Point("coded", one.lam, 0))).exists() == (
            one.setting == "federated"
        )
    federated = outcome.rounds[outcome.rounds["setting"] == "federated"]
    asked = federated["phase"].str.startswith("codes.")
    assert federated.loc[asked, ["privacy", "information", "adversary"]].isna().all(axis=None)  # nothing is trained
    assert federated.loc[~asked, "information"].notna().all()
    assert set(outcome.extractors["federated", Point("coded", 1.0, 0)]) == {"extractor", "codes"}
    assert set(outcome.extractors["centralized", Point("coded", 1.0, 0)]) == {"extractor", "codes"}


def test_the_certificate_covers_the_exact_attack_and_hiding_costs_the_attacker(found):
    outcome, _, _ = found
    points = summarize_points(outcome.metrics)
    points = points[points["method"] == "coded"]
    assert len(points) == 4
    for (_, setting), curve in points.assign(where=points["setting"]).groupby(["method", "where"]):
        attack = curve.set_index("lam")["exact"]
        assert attack[1.0] < attack[0.0] - 0.05, setting
    assert (points["certified"] > points["exact"]).all()
    assert (points["retention"] > 0.3).all()


def test_the_panel_does_not_beat_the_exact_attack(found):
    """No model that sees codes knows more than the table; the panel's best is above by chance alone."""
    outcome, _, _ = found
    best = best_models(outcome.metrics)
    for setting in ("centralized", "federated"):
        for lam in LAMBDAS:
            where = (best["setting"] == setting) & (best["lam"] == lam)
            exact = best[where & (best["kind"] == "exact")].iloc[0]
            panel = best[where & (best["kind"] == "attack")].iloc[0]
            assert panel["value"] < exact["high"] + 0.01


def test_certifying_people_are_those_from_whom_the_table_is_learned(found, people):
    outcome, _, _ = found
    exact = outcome.metrics[(outcome.metrics["kind"] == "exact") & (outcome.metrics["metric"] == "auc")]
    assert set(exact["model"]) == {"table", "majority"}
    assert len(exact) == 8
    assert (exact[exact["model"] == "majority"]["value"] == 0.5).all()


def test_a_run_resumed_after_its_trainings_finds_the_same(people, found, tmp_path):
    """The centralized codes that were kept are used as they are: certificate and all."""
    outcome, experiment, folder = found
    with Stages(Console(quiet=True)) as stages:
        again = carry_out(experiment, tmp_path / "publication", stages, Kept(folder / "kept"), population=people)
    assert [one.as_record() for one in again.certified] == [one.as_record() for one in outcome.certified]
    assert again.metrics.equals(outcome.metrics)


def test_every_further_attack_takes_codes(tmp_path):
    audit = {"attackers": ("logistic",), "bootstrap": 20, "further": tuple(FURTHER), "reconstruct": "always"}
    audit |= {"reconstruction_records": 100, "reconstruction_steps": 5}
    outcome, _ = run_on(adult(), tmp_path, settings=("federated",), lambdas=(1.0,), audit=audit)
    metrics = outcome.metrics[(outcome.metrics["setting"] == "federated") & (outcome.metrics["method"] == "coded")]
    assert {*FURTHER, "reconstruction"} <= set(metrics["kind"])
    found = metrics[metrics["kind"] == "reidentification"].set_index("model")["value"]
    assert found.max() < 2 * CODES * found["chance"]  # all who share a code look alike
    told = metrics[(metrics["kind"] == "membership") & (metrics["metric"] == "auc")]
    assert told["value"].max() < 0.6
    numbers = metrics[metrics["kind"] == "reconstruction"].set_index("model")["value"]
    assert numbers["constant"] == 0 <= numbers["decoder"] < 0.5
