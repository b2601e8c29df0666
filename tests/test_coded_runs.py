"""Releases of codes from end to end: what is trained, published, refused, certified and resumed."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from flwr.app import MetricRecord
from rich.console import Console

import simulations.running.experiment as experiment_module
from fl_tiprdc.config import DataConfig
from fl_tiprdc.data import load_population
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.certified import KIND
from fl_tiprdc.evaluation.frontier import best_models, summarize_points
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.inline_grid import InlineGrid
from fl_tiprdc.federated.local_work import publication_of
from fl_tiprdc.federated.messages import pack_arrays, released_groups
from fl_tiprdc.federated.publication import publish, read_published_codes, read_store, whole_parts
from fl_tiprdc.federated.server_app import Point, instruction_for
from fl_tiprdc.release.codes import Codes
from simulations.running.experiment import run_experiment
from simulations.running.kept import Kept
from simulations.running.outcome import Outcome, release_folder
from simulations.running.stages import Stages
from strategies.hybrid_strategy import TooManyFailuresError
from strategies.roster import take_roster
from tests.coded_crowd import CLIENTS, CODES, LAMBDAS, adult, coded, grid_of, publication_at, server_of, store_of

WIDTH = 8  # numbers in a representation


@pytest.fixture(scope="module")
def people() -> Population:
    return adult()


@pytest.fixture(scope="module")
def served(people, tmp_path_factory):
    """The clients' store, what the server ended with for each λ, and the folder of their publications."""
    folder, crowd = tmp_path_factory.mktemp("served"), people.contributors
    store = store_of(crowd, folder / "clients")
    return store, server_of(coded(), crowd, folder / "published")(grid_of(store)), folder / "published"


def run_on(population: Population, folder, monkeypatch, **changes) -> tuple[Outcome, dict]:
    """What a run finds on a population, and the experiment."""
    monkeypatch.setattr(experiment_module, "load_population", lambda *_: population)
    experiment = coded(**changes)
    with Stages(Console(quiet=True)) as stages:
        return run_experiment(experiment, folder / "publication", stages, Kept(folder / "kept")), experiment


# ---- what is published


def test_a_part_has_the_code_and_its_codeword_and_nothing_else(served):
    store, trained, folder = served
    for one in trained:
        where = publication_at(folder, one.point.lam)
        codewords = one.groups["codes"]["codewords"]
        assert codewords.shape == (CODES, WIDTH)
        names = sorted(path.name for path in where.iterdir())
        assert names == [f"part-{i:06d}.parquet" for i in range(CLIENTS)] + ["release.json"]
        for partition, (part, _, rows) in enumerate(whole_parts(where)):
            table = pq.read_table(part)
            assert table.column_names == ["client", "record", "code", *(f"z{i:03d}" for i in range(WIDTH))]
            assert str(table.schema.field("code").type) == "uint16"
            assert not table.schema.metadata
            assert rows == table.num_rows == store.size(partition)
            assert table["record"].to_pylist() == list(range(rows))
            numbers = np.stack([table[f"z{i:03d}"].to_numpy() for i in range(WIDTH)], axis=1)
            np.testing.assert_array_equal(numbers, codewords[table["code"].to_numpy()])
        facts = json.loads((where / "release.json").read_text())
        assert set(facts) >= {"d", "sigma", "lam", "clients", "parts", "refused", "strangers"}
        text = json.dumps(facts)
        assert "sex" not in text
        assert len(read_publication(where).z) == sum(store.sizes)
    assert trained[0].published_bytes < 20 * sum(store.sizes)  # codes travel, not codewords


def test_published_codes_hide_the_private_class_of_those_they_were_fitted_on(served, people):
    store, trained, folder = served
    apart = []
    for one in trained:
        codes = read_published_codes(publication_at(folder, one.point.lam))
        private = np.concatenate([store.records(i).private[:, 0] for i in range(CLIENTS)])
        shares = [np.bincount(codes[private == u], minlength=CODES) / (private == u).sum() for u in (0, 1)]
        apart.append(0.5 * np.abs(shares[0] - shares[1]).sum())
    assert apart[0] > 0.25
    assert apart[1] < 0.12


def test_the_counts_are_those_of_the_certifying_people_in_the_publication(served):
    store, trained, folder = served
    for one in trained:
        client, record, _ = read_store(publication_at(folder, one.point.lam))
        codes = read_published_codes(publication_at(folder, one.point.lam))
        counted = np.zeros((2, CODES), dtype=np.int64)
        for i in range(CLIENTS):
            mine = store.records(i).private[:, 0]
            aside = store.certifying(i, 0.25)
            own = codes[client == i][np.argsort(record[client == i])]
            np.add.at(counted, (mine[aside], own[aside]), 1)
        assert np.array_equal(counted, one.counts)
        assert 0.2 * sum(store.sizes) < one.counts.sum() < 0.3 * sum(store.sizes)


def test_the_trained_points_share_an_extractor_and_a_training(served):
    _, (first, second), _ = served
    for name, array in first.groups["extractor"].items():
        assert np.array_equal(array, second.groups["extractor"][name])
    assert np.array_equal(first.groups["codes"]["codewords"], second.groups["codes"]["codewords"])
    assert not np.array_equal(first.groups["codes"]["potentials"], second.groups["codes"]["potentials"])
    assert not second.exchanges  # they are the first one's
    phases = [exchange.phase for exchange in first.exchanges]
    assert phases[:2] == ["local-training"] * 2
    assert (phases[2], phases[-1]) == ("codes.class-counts", "codes.code-counts")
    assert [exchange.exchange for exchange in first.exchanges] == list(range(1, len(phases) + 1))
    assert {exchange.clients for exchange in first.exchanges} == {CLIENTS}


def test_asked_twice_a_client_publishes_the_same_codes(served, people, tmp_path):
    store, trained, folder = served
    experiment = coded()
    for one in trained:
        instruction, groups = instruction_for(experiment, one.point), released_groups(one.groups)
        for asked in (instruction, type(instruction)(**{**vars(instruction), "exchange": 77, "seed": 5})):
            again = np.concatenate([publication_of(store, i, asked, groups).codes for i in range(CLIENTS)])
            assert np.array_equal(again, read_published_codes(publication_at(folder, one.point.lam)))
        publish(
            grid_of(store), take_roster(grid_of(store), CLIENTS), groups, instruction, WIDTH, tmp_path / "p", 0.0, 60
        )
        first, second = publication_at(folder, one.point.lam), tmp_path / "p"
        for part in first.glob("part-*"):
            assert part.read_bytes() == (second / part.name).read_bytes()
    # other codes, other draws: who has two releases has no two draws that are the same number
    groups = released_groups(trained[1].groups)
    softer = {**groups["codes"], "temperature": np.float32(10 * groups["codes"]["temperature"])}
    harder = {**groups["codes"], "temperature": np.float32(10.001 * groups["codes"]["temperature"])}
    nearly = [
        publication_of(store, 0, instruction_for(experiment, trained[1].point), {**groups, "codes": codes}).codes
        for codes in (softer, harder)
    ]
    assert (nearly[0] != nearly[1]).mean() > 0.3


def test_clients_have_draws_of_their_own(served, people):
    _, trained, _ = served
    codes = Codes.of_arrays(trained[1].groups["codes"])
    assert codes.sees_private
    assert codes.group.tolist() == [0, 1]


# ---- what is refused


class Cheat(InlineGrid):
    """Client 1 publishes something else than asked."""

    def __init__(self, store, spoil) -> None:
        super().__init__(build_client_app(str(store.root)), store)
        self.spoil = spoil

    def _answer(self, messages, timeout):
        replies = super()._answer(messages, timeout)
        return replies + list(self.spoil(replies[1]) or ())


def sends(**arrays):
    def spoil(reply) -> None:
        reply.content["representations"] = pack_arrays(arrays)

    return spoil


def add_labels(reply) -> None:
    reply.content["labels"] = MetricRecord({"sex": [1, 0]})


FEW = np.zeros(3, np.uint16)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (sends(code=np.array([0, CODES, 1], np.uint16)), r"codes that are not in 0\.\.7"),
        (sends(code=np.array([0, 65535], np.uint16)), r"codes that are not in 0\.\.7"),
        (sends(code=FEW.astype(np.int64)), "isn't a uint16 array"),
        (sends(code=FEW.astype(np.float32)), "isn't a uint16 array"),
        (sends(code=FEW.astype(np.uint8)), "isn't a uint16 array"),
        (sends(code=FEW[:, None]), r"has shape \(3, 1\)"),
        (sends(code=np.zeros((), np.uint16)), r"has shape \(\)"),
        (sends(code=np.zeros(1000, np.uint16)), "has 1000 records; the client said to hold"),
        (sends(z=np.zeros((3, WIDTH), np.float32)), "isn't the one array asked for"),
        (sends(code=FEW, z=np.zeros((3, WIDTH), np.float32)), "isn't the one array asked for"),
        (sends(code=FEW, sex=FEW), "isn't the one array asked for"),
        (sends(), "isn't the one array asked for"),
        (add_labels, "isn't the one array asked for: it has labels, representations"),
        (lambda reply: [reply], "client 1 sent 2 parts"),
    ],
)
def test_a_part_that_holds_no_codes_is_refused(spoil, why, served, tmp_path):
    store, trained, _ = served
    one = trained[1]
    cheat = Cheat(store, spoil)
    roster, instruction = take_roster(cheat, CLIENTS), instruction_for(coded(), one.point)
    groups = released_groups(one.groups)
    publish(cheat, roster, groups, instruction, WIDTH, tmp_path / "p", 0.2, 60)
    assert set(read_store(tmp_path / "p")[0].tolist()) == {0, 2, 3, 4, 5}
    facts = json.loads((tmp_path / "p" / "release.json").read_text())
    assert list(facts["refused"]) == ["1"]
    assert re.search(why, facts["refused"]["1"])
    with pytest.raises(TooManyFailuresError, match=why):
        publish(cheat, roster, groups, instruction, WIDTH, tmp_path / "q", 0.0, 60)


def test_clients_refuse_a_codebook_that_is_none(served):
    store, trained, _ = served
    groups, instruction = released_groups(trained[1].groups), instruction_for(coded(), trained[1].point)
    for wrong in (
        {"codewords": groups["codes"]["codewords"][:3]},
        {"potentials": np.full((2, CODES), np.nan, np.float32)},
        {"keep": np.full((2, CODES), 7, np.float32)},
    ):
        with pytest.raises(InputError, match="a codebook|the arrays of a codebook"):
            publication_of(store, 0, instruction, {**groups, "codes": {**groups["codes"], **wrong}})


# ---- runs


@pytest.fixture(scope="module")
def found(people, tmp_path_factory):
    """A run of both settings with a panel of three attackers."""
    folder = tmp_path_factory.mktemp("run")
    audit = {"attackers": ("logistic", "mlp", "boosting"), "bootstrap": 200}
    with pytest.MonkeyPatch.context() as monkeypatch:
        outcome, experiment = run_on(people, folder, monkeypatch, settings=("centralized", "federated"), audit=audit)
    return outcome, experiment, folder


def test_centralised_and_federated_runs_are_certified(found):
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


def test_certifying_people_are_those_from_whom_the_table_is_learnt(found, people):
    outcome, _, _ = found
    exact = outcome.metrics[(outcome.metrics["kind"] == "exact") & (outcome.metrics["metric"] == "auc")]
    assert set(exact["model"]) == {"table", "majority"}
    assert len(exact) == 8
    assert (exact[exact["model"] == "majority"]["value"] == 0.5).all()


def test_two_attributes_are_coupled_together_and_certified_each(monkeypatch, tmp_path):
    population = adult(2200, 300, ("sex", "race"))
    outcome, _ = run_on(
        population, tmp_path, monkeypatch, private=("sex", "race"), settings=("federated",), lambdas=(1.0,)
    )
    (one,) = outcome.certified
    assert list(one.certificates) == ["sex", "race"]
    assert one.certificates["sex"].delta == pytest.approx(0.025)
    assert "hidden only together with others" in one.note
    groups = outcome.extractors["federated", Point("coded", 1.0, 0)]
    sizes = [len(attribute.classes) for attribute in population.contributors.description.attributes]
    assert groups["codes"]["group"].shape == (np.prod(sizes),)
    targets = outcome.metrics[(outcome.metrics["kind"] == KIND) & (outcome.metrics["metric"] == "auc-bound")]["target"]
    assert list(targets) == ["sex", "race"]
    record = one.as_record()
    assert set(record["attributes"]) == {"sex", "race"}


@pytest.mark.parametrize("dataset", ["digits", "names"])
def test_images_and_texts(dataset, monkeypatch, tmp_path):
    if dataset == "names":
        pytest.importorskip("gender_guesser")
    population = load_population(dataset, (), 0.25, DataConfig(records=1000))
    name = population.contributors.description.attributes[0].name
    outcome, _ = run_on(
        population, tmp_path, monkeypatch, private=(name,), settings=("centralized", "federated"), lambdas=(1.0,)
    )
    assert [one.setting for one in outcome.certified] == ["centralized", "federated"]
    assert all(one.bound is not None for one in outcome.certified)
    codes = read_published_codes(release_folder(tmp_path / "publication", "federated", Point("coded", 1.0, 0)))
    assert len(codes) == len(population.contributors)
    assert set(np.unique(codes)) == set(range(CODES))
    tasks = outcome.metrics[(outcome.metrics["kind"] == "task") & (outcome.metrics["setting"] == "federated")]
    assert set(tasks["target"]) == set(population.contributors.tasks)


def test_codes_of_x_alone_run_too(people, monkeypatch, tmp_path):
    outcome, _ = run_on(
        people, tmp_path, monkeypatch, coding={"sees_private": False}, settings=("federated",), lambdas=(1.0,)
    )
    groups = outcome.extractors["federated", Point("coded", 1.0, 0)]
    assert groups["codes"]["plan"].shape == (CODES, CODES)
    assert outcome.certified[0].bound < 1


# ---- resumed


@pytest.mark.parametrize("stopped_after", [1, 2, 9])
def test_a_fit_goes_on_from_a_checkpoint(stopped_after, served, people, tmp_path):
    store, undisturbed, folder = served
    checkpoint = tmp_path / "training.safetensors"

    def stop(done: int) -> None:
        if done == stopped_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server_of(coded(), people.contributors, tmp_path / "p", checkpoint, stop)(grid_of(store))
    assert checkpoint.exists() == (stopped_after >= 1)
    again = server_of(coded(), people.contributors, tmp_path / "p", checkpoint)(grid_of(store))
    for a, b in zip(again, undisturbed, strict=True):
        assert np.array_equal(a.counts, b.counts)
        for name, arrays in b.groups.items():
            for key, array in arrays.items():
                np.testing.assert_array_equal(a.groups[name][key], array, err_msg=f"{name}/{key}")
        where = [publication_at(root, a.point.lam) for root in (tmp_path / "p", folder)]
        assert np.array_equal(*(read_published_codes(one) for one in where))
    assert len(again[0].exchanges) == len(undisturbed[0].exchanges)


def test_a_run_resumed_after_its_trainings_finds_the_same(people, found, monkeypatch, tmp_path):
    """The centralised codes that were kept are used as they are: certificate and all."""
    outcome, experiment, folder = found
    monkeypatch.setattr(experiment_module, "load_population", lambda *_: people)
    with Stages(Console(quiet=True)) as stages:
        again = run_experiment(experiment, tmp_path / "publication", stages, Kept(folder / "kept"))
    assert [one.as_record() for one in again.certified] == [one.as_record() for one in outcome.certified]
    assert again.metrics.equals(outcome.metrics)
