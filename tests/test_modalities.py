"""Images and texts, from the records to the audit: every setting, every runtime, the natural partition."""

import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fl_tiprdc.command_line.presets import PRESETS
from fl_tiprdc.config import DataConfig, Point, build_experiment, read_toml
from fl_tiprdc.data.crowd import Crowd, Description, Population
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.partition import check_clients, partition
from fl_tiprdc.data.raw_features import raw_features
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.registry import FURTHER
from fl_tiprdc.evaluation.audit import COMPONENTS, narrow
from fl_tiprdc.experiment.run import run_experiment
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.draws import draws_from
from fl_tiprdc.release.release import RECORDS_AT_ONCE
from fl_tiprdc.seeding import torch_generator
from tests.test_networks import IMAGES, TEXTS, some
from tests.test_runtimes import federate, largest_difference


def avatars(records=120) -> Population:
    return load_population("avatars", (), 0.25, DataConfig(records=records, size=(16, 16)))


def names(records=300) -> Population:
    pytest.importorskip("gender_guesser")
    return load_population("names", (), 0.25, DataConfig(records=records))


@pytest.mark.parametrize("load", [avatars, names])
def test_a_run_from_records_to_audit(load, small, tmp_path):
    population = load()
    audit = {
        "reconstruct": "always",
        "reconstruction_steps": 5,
        "reconstruction_records": 60,
        "further": tuple(FURTHER),
    }
    changes = {"audit": audit}
    experiment = small(methods=("tiprdc", "tiprdc+"), private=("u",), clients=5, **changes)
    run_experiment(experiment, population, tmp_path / "run", Console(quiet=True))
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert set(metrics["setting"]) == {"raw", "baseline", "centralized", "federated"}
    assert set(metrics[metrics["kind"] == "task"]["target"]) == set(population.contributors.tasks)
    assert set(FURTHER) < set(metrics["kind"])
    assert "losses" in set(metrics[metrics["kind"] == "membership"]["target"])  # these networks stack
    rebuilt = metrics[metrics["kind"] == "reconstruction"]
    image = population.contributors.description.modality == "image"
    assert set(rebuilt["metric"]) == ({"ms-ssim", "ssim", "psnr"} if image else {"token-accuracy"})
    assert "raw" not in set(rebuilt["setting"])
    figures = {path.name for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert any("reconstruction" in name for name in figures) == image
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    bits = {(row["method"], row["lam"]): row["bits"] for row in summary["capacities"]}
    assert bits["tiprdc+", 0.5] > 0


@pytest.mark.parametrize("description", [IMAGES, TEXTS], ids=["image", "text"])
def test_runtimes_agree(description, small, tmp_path, ray_session, one_thread):
    records = some(description, 40)
    crowd = Crowd(records.x, records.private, {"t": records.private[:, 0]}, np.arange(40), description)
    parts = partition(crowd.private, 6, "dirichlet:0.5", 0)
    write_client_store(tmp_path / "store", crowd.records(), parts, description, 0)
    store = ClientStore(tmp_path / "store")
    assert store.description == description
    experiment = small(methods=("tiprdc", "tiprdc+"), clients=6, network={"architecture": "convolutional"})
    points = [Point(name, 0.5, 0) for name in experiment.methods]
    population = Population(crowd, crowd)
    cohort = federate("ray-cohort", experiment, store, population, tmp_path / "cohort", points)
    inline = federate("inline", experiment, store, population, tmp_path / "inline", points)
    for name, a, b in zip(experiment.methods, cohort, inline, strict=True):
        assert largest_difference(a.groups, b.groups) < 1e-5, name


def test_natural_partition_keeps_people_together():
    participant = np.repeat(np.arange(30), 4)[np.random.default_rng(0).permutation(120)]
    private = (participant % 2)[:, None]
    parts = partition(private, 7, "natural", 3, participant)
    assert sorted(np.concatenate(parts).tolist()) == list(range(120))
    people = [set(participant[part]) for part in parts]
    assert sum(map(len, people)) == 30  # nobody is in two places
    assert {len(some) for some in people} <= {4, 5}
    assert [p.tolist() for p in partition(private, 7, "natural", 3, participant)] == [p.tolist() for p in parts]
    with pytest.raises(InputError, match="31 clients but only 30 people"):
        check_clients(private, 31, "natural", participant)


def test_raw_features_of_images_and_texts():
    images = some(Description(IMAGES.attributes, IMAGES.marginals, (3, 70, 66), "image", 1.0), 5)
    crowd = Crowd(
        images.x,
        images.private,
        {},
        np.arange(5),
        Description(IMAGES.attributes, IMAGES.marginals, (3, 70, 66), "image", 1.0),
    )
    found = raw_features(crowd)
    assert found.shape == (5, 3 * 35 * 33)  # squares of two by two
    first = images.x[0, 0, :2, :2].astype(float).mean() / 127.5 - 1
    assert found[0, 0] == pytest.approx(first, abs=1e-6)
    texts = some(TEXTS, 6)
    one_hot = raw_features(Crowd(texts.x, texts.private, {}, np.arange(6), TEXTS))
    assert one_hot.shape == (6, 7 * 11)
    assert (one_hot.reshape(6, 7, 11).argmax(2) == texts.x).all()
    wide = Description(TEXTS.attributes, TEXTS.marginals, (7,), "text", 1.0, (), 5000)
    counts = raw_features(Crowd(texts.x, texts.private, {}, np.arange(6), wide))
    assert counts.shape == (6, 2048)
    assert counts.sum() == (texts.x > 0).sum()  # padding doesn't count


def test_release_of_pieces_equals_that_of_all(one_thread):
    step = HybridStep(IMAGES, build_experiment({}).network, build_experiment({}).method_config("tiprdc+"))
    x, made = some(IMAGES, RECORDS_AT_ONCE + 9).x, step.release(step.initial(0), 0.5, 0.0)
    whole = made.apply(x, None, draws_from(torch_generator(0, "a"))).z
    draws = draws_from(torch_generator(0, "a"))
    pieces = [made.apply(part, None, draws).z for part in np.split(x, [1500])]
    np.testing.assert_allclose(whole, np.concatenate(pieces), atol=1e-5)


def test_wide_representations_are_narrowed_by_what_contributors_know():
    generator = np.random.default_rng(0)
    x, test = (generator.standard_normal((n, 300)).astype(np.float32) for n in (200, 50))
    low, low_test = narrow(x, test, 0)
    assert low.shape == (200, COMPONENTS)
    assert low_test.shape == (50, COMPONENTS)
    again = narrow(x, np.concatenate([test, 100 + test]), 0)
    np.testing.assert_allclose(again[0], low, atol=1e-4)  # who is tested has no say


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("paper-")])
def test_presets_are_experiments(name):
    experiment = build_experiment(read_toml(PRESETS[name]))
    assert experiment.method_config("tiprdc").information == "jsd-joint"
    assert experiment.centralized.learning_rate == 1e-4
    assert 0.66 in experiment.lambdas
