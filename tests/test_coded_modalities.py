"""Codes of several private attributes, of images, of texts, and of x alone."""

import numpy as np
import pytest

from fl_tiprdc.config import DataConfig, Point
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.publication_store import read_published_codes
from fl_tiprdc.evaluation.certified import KIND
from fl_tiprdc.experiment.outcome import release_folder
from fl_tiprdc.experiment.results import extractor_card
from fl_tiprdc.extractor.card import write_extractor
from fl_tiprdc.extractor.released import Extractor
from tests.coded_crowd import CODES, run_on
from tests.conftest import adult


def test_two_attributes_are_coupled_together_and_certified_each(tmp_path):
    population = adult(2200, 300, ("sex", "race"))
    outcome, _ = run_on(population, tmp_path, private=("sex", "race"), settings=("federated",), lambdas=(1.0,))
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


@pytest.mark.parametrize(("dataset", "settings"), [("digits", ("federated",)), ("names", ("centralized", "federated"))])
def test_images_and_texts(dataset, settings, tmp_path):
    if dataset == "names":
        pytest.importorskip("gender_guesser")
    population = load_population(dataset, (), 0.2, DataConfig(records=900))
    name = population.contributors.description.attributes[0].name
    outcome, experiment = run_on(
        population,
        tmp_path,
        private=(name,),
        settings=settings,
        lambdas=(1.0,),
        network={"channels": 4},
        centralized={"steps": 5},
        federation={"rounds": 1},
    )
    assert [one.setting for one in outcome.certified] == list(settings)
    assert all(one.bound is not None for one in outcome.certified)
    codes = read_published_codes(release_folder(tmp_path / "publication", "federated", Point("coded", 1.0, 0)))
    assert len(codes) == len(population.contributors)
    assert set(np.unique(codes)) == set(range(CODES))
    point = Point("coded", 1.0, 0)
    card = extractor_card(experiment, outcome, "federated", point)
    write_extractor(tmp_path / "extractor", card, outcome.extractors["federated", point])
    loaded = Extractor.load(tmp_path / "extractor")  # principal components of pictures too
    assert len(loaded.codes) == CODES
    tasks = outcome.metrics[(outcome.metrics["kind"] == "task") & (outcome.metrics["setting"] == "federated")]
    assert set(tasks["target"]) == set(population.contributors.tasks)


def test_codes_of_x_alone_run_too(tmp_path):
    outcome, _ = run_on(adult(), tmp_path, coding={"sees_private": False}, settings=("federated",), lambdas=(1.0,))
    groups = outcome.extractors["federated", Point("coded", 1.0, 0)]
    assert groups["codes"]["plan"].shape == (CODES, CODES)
    assert outcome.certified[0].bound < 1
