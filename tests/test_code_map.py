"""What codes stand for: their places, the decoder's words for a table, pictures for images."""

import base64
import json

import numpy as np
import torch

from fl_tiprdc.config import DataConfig, Point
from fl_tiprdc.data.crowd import Attribute, Column, Description
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.experiment.code_map import principal_plane, telling_words
from fl_tiprdc.hybrid.decoded_codes import decode_codewords
from fl_tiprdc.hybrid.step import HybridStep
from tests.coded_crowd import CODES, coded
from tests.conftest import adult
from tests.test_coded_modalities import run_on

SEX = Attribute("sex", ("f", "m"))


def test_words_are_the_columns_that_set_a_code_apart_in_their_own_units():
    age = Column("age", "numeric", 0, mean=40.0, deviation=10.0)
    work = Column("work", "categorical", 1, ("none", "office"))
    description = Description.of_table((age, work), (SEX,), ((0.5, 0.5),))
    decoded = np.array([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [0.0, -3.0, 3.0]], dtype=np.float32)
    words = telling_words(decoded, description)
    assert words[0].startswith("age 60; work")
    assert words[1].startswith("age 20; work")
    assert words[2] == "work office 100 %; age 40"


def test_the_plane_keeps_distances_of_points_that_lie_in_one():
    flat = np.random.default_rng(0).standard_normal((20, 2)) @ np.random.default_rng(1).standard_normal((2, 6))
    plane = principal_plane(flat)
    apart = [np.linalg.norm(points[:, None] - points[None], axis=2) for points in (flat, plane)]
    assert np.allclose(*apart)
    assert principal_plane(np.array([[1.0], [3.0]])).tolist() in ([[-1, 0], [1, 0]], [[1, 0], [-1, 0]])


def test_a_run_on_a_table_has_one_map_for_all_lambdas_without_a_private_word(tmp_path):
    outcome, _ = run_on(adult(), tmp_path, settings=("federated",))
    ((where, found),) = outcome.code_maps.items()
    assert where == ("federated", "coded")
    assert len(found["codes"]) == CODES
    names = tuple(f"{column.name} " for column in outcome.description.columns)
    for code in found["codes"]:
        told = code["words"].split("; ")
        assert len(told) == 3
        assert any(words.startswith(names) for words in told)
        assert not any(words.startswith("sex ") for words in told)
    json.dumps(found)  # as a run writes it


def test_images_have_pictures_of_their_codes(tmp_path):
    population = load_population("digits", (), 0.2, DataConfig(records=900))
    name = population.contributors.description.attributes[0].name
    changes = {"network": {"channels": 4}, "centralized": {"steps": 5}, "settings": ("centralized",), "lambdas": (1.0,)}
    outcome, experiment = run_on(population, tmp_path, private=(name,), **changes)
    codes = outcome.code_maps["centralized", "coded"]["codes"]
    assert {base64.b64decode(code["picture"])[:4] for code in codes} == {b"\x89PNG"}
    assert len({code["picture"] for code in codes}) == CODES
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config("coded"))
    groups = outcome.extractors["centralized", Point("coded", 1.0, 0)]
    pictures = decode_codewords(step, groups)
    # a picture that is encoded again comes back to its own codeword
    again = step.code_space(
        {name: torch.tensor(array) for name, array in groups["extractor"].items()}, (255 * pictures).astype(np.float32)
    )
    words = groups["codes"]["codewords"]
    near = (again @ words.T).argmax(1)
    assert (near == np.arange(CODES)).mean() > 0.7


def test_a_method_without_a_decoder_has_places_alone():
    crowd = adult(300, 100).contributors
    step = HybridStep(crowd.description, coded().network, coded().method_config("coded"))
    assert decode_codewords(step, {"codes": {"codewords": np.zeros((4, step.d), np.float32)}, "extractor": {}}) is None
