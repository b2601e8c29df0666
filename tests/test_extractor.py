"""A released extractor: its files, what it does to records, its noise, and the scikit-learn transformer."""

import json
from importlib import resources

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

import fl_tiprdc
from fl_tiprdc.config import DataConfig, NetworkConfig
from fl_tiprdc.data.adult import load_adult
from fl_tiprdc.data.column_encoding import encode_frame, fit_columns
from fl_tiprdc.data.crowd import Attribute, Column, Description
from fl_tiprdc.data.crowd_files import read_description, write_description
from fl_tiprdc.data.population import hold_out
from fl_tiprdc.data.publication_store import read_store
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.carry_out import carry_out
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.results import extractor_card
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.extractor.card import ARRAYS, CARD, Card, write_extractor
from fl_tiprdc.extractor.released import Extractor
from fl_tiprdc.extractor.transformer import TiprdcTransformer
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.methods import METHODS, MethodConfig
from fl_tiprdc.release.draws import draws_from, key_of, normal_of
from fl_tiprdc.seeding import torch_generator

HIDDEN = (Attribute("group", ("a", "b")),)
HALVES = ((0.5, 0.5),)


def built(
    description: Description, architecture: str = "auto", method: str = "tiprdc+", **changes: object
) -> tuple[Extractor, HybridStep]:
    """An untrained extractor and the step that it comes from."""
    config = MethodConfig(**{**METHODS[method].settings.model_dump(), **changes})
    network = NetworkConfig(architecture=architecture, representation=4)
    step = HybridStep(description, network, config)
    card = Card(
        method=method, lam=0.5, sigma=config.sigma(0.5), method_config=config, network=network, description=description
    )
    arrays = {name: value.numpy() for name, value in step.initial(0)["extractor"].items()}
    return Extractor(card, {"extractor": arrays}), step


def table(columns: int = 5) -> Description:
    return Description.of_table(tuple(Column(f"c{i}", "numeric", i) for i in range(columns)), HIDDEN, HALVES)


CROWDS = {
    "perceptron": (table(), "reconstruction", lambda rng: rng.normal(size=(9, 5)).astype(np.float32)),
    "convolutional": (
        Description(HIDDEN, HALVES, (1, 12, 12), "image"),
        "reconstruction",
        lambda rng: rng.integers(0, 256, (9, 1, 12, 12)).astype(np.uint8),
    ),
    "lstm": (
        Description(HIDDEN, HALVES, (7,), "text", vocabulary=9),
        "jsd-joint",
        lambda rng: rng.integers(0, 9, (9, 7)).astype(np.int32),
    ),
    "vgg16": (
        Description(HIDDEN, HALVES, (3, 32, 32), "image"),
        "jsd-joint",
        lambda rng: rng.integers(0, 256, (9, 3, 32, 32)).astype(np.uint8),
    ),
}


# ---- what it releases


@pytest.mark.parametrize("architecture", ["perceptron", "convolutional", "lstm"])
def test_it_releases_what_a_client_would(architecture, tmp_path):
    description, information, draw = CROWDS[architecture]
    extractor, step = built(description, architecture, information=information)
    x = draw(np.random.default_rng(0))
    parameters = {name: torch.tensor(array.numpy()) for name, array in extractor.module.extractor.named_parameters()}
    release = step.release({"extractor": parameters}, 0.5)
    wanted = release.apply(x, None, draws_from(torch_generator(0, "release"))).z
    extractor.save(tmp_path)
    loaded = fl_tiprdc.Extractor.load(tmp_path)
    assert np.array_equal(loaded.transform(x, generator=torch_generator(0, "release")), wanted)
    assert loaded.card.description == description
    assert loaded.d == wanted.shape[1]


def test_batch_normalization_releases_a_record_alike_alone_and_in_company():
    description, information, draw = CROWDS["vgg16"]
    extractor, step = built(description, "vgg16", information=information)
    x = draw(np.random.default_rng(0))[:4]
    parameters = dict(extractor.module.extractor.named_parameters())
    for release in (
        lambda part: extractor.transform(part, generator=torch_generator(0, "release")),
        lambda part: (
            step.release({"extractor": parameters}, 0.5).apply(part, None, draws_from(torch_generator(0, "release"))).z
        ),
    ):
        assert np.allclose(release(x[:1]), release(x)[:1], atol=1e-5)


def test_noise_and_capacity_are_the_channels():
    extractor, _ = built(table())
    assert extractor.sigma == pytest.approx(METHODS["tiprdc+"].settings.sigma(0.5))
    assert extractor.capacity == pytest.approx(4 / 2 * np.log2(1 + 1 / extractor.sigma**2))
    x = np.zeros((20_000, 5), dtype=np.float32)
    noise = extractor.transform(x) - extractor.release.apply_without_noise(x, None)
    assert noise.std(0) == pytest.approx(extractor.sigma, rel=0.03)
    assert abs(noise.mean()) < 0.01
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.03
    without, _ = built(table(), method="tiprdc")
    assert without.sigma == 0
    assert without.capacity == np.inf
    assert np.array_equal(without.transform(x[:3]), without.transform(x[:3]))
    assert "no channel" in repr(without)


def test_a_key_gives_a_record_the_same_noise_each_time_and_nothing_else_does():
    extractor, _ = built(table())
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    key = bytes(range(32))
    first = extractor.transform(x, key=key)
    np.testing.assert_allclose(extractor.transform(x[::-1], key=key)[::-1], first, rtol=1e-5, atol=1e-6)
    assert np.allclose(extractor.transform(x[2:3], key=key), first[2:3])
    assert np.abs(extractor.transform(x, key=bytes(32)) - first).min(1).max() > 1e-3
    assert not np.allclose(extractor.transform(x), extractor.transform(x))
    with pytest.raises(ValueError, match="32"):
        extractor.transform(x, key=b"short")
    with pytest.raises(ValueError, match="not both"):
        extractor.transform(x, key=1, generator=torch.Generator())


def test_uniform_bytes_become_normal_numbers_and_never_infinite_ones():
    assert np.isfinite(normal_of(bytes(16) + b"\xff" * 16, 2)).all()
    middle = normal_of((2**63).to_bytes(8, "little"), 1)
    assert middle[0, 0] == pytest.approx(0, abs=1e-6)
    assert key_of(0) != key_of(1)


# ---- what it refuses


@pytest.mark.parametrize(
    ("architecture", "x", "message"),
    [
        ("perceptron", np.zeros((2, 4)), r"shape \(2, 4\)"),
        ("perceptron", np.full((2, 5), np.nan), "finite"),
        ("perceptron", np.full((2, 5), "a"), "finite"),
        ("perceptron", np.float32(1), "shape"),
        ("convolutional", np.zeros((2, 1, 12, 12)), "uint8"),
        ("convolutional", pd.DataFrame({"a": [1]}), "no tables"),
        ("lstm", np.full((2, 7), 9), r"tokens in 0\.\.8"),
        ("perceptron", pd.DataFrame({"c0": [1.0]}), "unknown column of x 'c1'"),
    ],
)
def test_records_that_do_not_fit_are_named(architecture, x, message):
    description, information, _ = CROWDS[architecture]
    extractor, _ = built(description, architecture, information=information)
    with pytest.raises(InputError, match=message):
        extractor.transform(x)


def test_files_that_are_not_as_written_are_refused(tmp_path):
    extractor, _ = built(table())
    with pytest.raises(InputError, match="cannot read extractor"):
        Extractor.load(tmp_path / "nowhere")

    def spoil(name: str, change: object) -> None:
        extractor.save(tmp_path)
        path = tmp_path / name
        if callable(change):
            raw = json.loads(path.read_text())
            change(raw)
            path.write_text(json.dumps(raw))
        else:
            path.write_bytes(change)

    for name, change, message in [
        (ARRAYS, b"nothing", "SHA-256 differs"),
        (CARD, b"\xff", "no card"),
        (CARD, b"{}", "no card"),
        (CARD, lambda card: card.update(sigma=0.01), "method and λ don't give"),
        (CARD, lambda card: card.update(surprise=1), "surprise"),
        (CARD, lambda card: card["network"].update(representation=8), "not those of the networks"),
    ]:
        spoil(name, change)
        with pytest.raises(InputError, match=message):
            Extractor.load(tmp_path / CARD)
    extractor.save(tmp_path)
    assert Extractor.load(tmp_path / ARRAYS).d == 4


# ---- tables in their own units


def test_a_data_frame_is_encoded_as_the_data_set_was(population, tmp_path):
    whole = load_adult(DataConfig(), ("sex",), 0.2)
    with resources.as_file(resources.files("fl_tiprdc.data") / "adult.parquet") as path:
        frame = pd.read_parquet(path)
    known = ~hold_out(np.arange(len(frame)), 0.2)
    extractor, _ = built(whole.contributors.description)
    extractor.save(tmp_path)  # means and medians survive the file exactly
    loaded = Extractor.load(tmp_path)
    assert np.array_equal(loaded.encode(frame[known][:500]), whole.contributors.x[:500])
    assert np.array_equal(loaded.encode(frame[~known][:500]), whole.held_out.x[:500])
    assert loaded.transform(frame[:3]).shape == (3, 4)


def test_new_tables_may_have_gaps_and_categories_that_nobody_had():
    known = np.array([True, True, True, True, False])
    frame = pd.DataFrame(
        {
            "age": [20.0, 30.0, np.nan, 50.0, 1000.0],
            "town": ["A", "B", None, "A", "C"],
            "born": pd.to_datetime(["2000-01-01", "2000-01-02", "2000-01-03", "2000-01-05", "2000-01-09"]),
            "same": 1,
        }
    )
    numbers = frame.assign(born=(frame["born"] - pd.Timestamp("1970-01-01")).dt.days.astype(float))
    columns = fit_columns(numbers, known)
    assert [(column.name, column.missing_in) for column in columns] == [
        ("age", ""),
        ("age missing", "age"),
        ("town", ""),
        ("born", ""),
    ]
    x = encode_frame(frame, columns)  # dates are days, as in one's own tables
    assert np.array_equal(x, encode_frame(numbers, columns))
    names = [f"{c.name}={v}" for c in columns for v in c.categories or ("",)]
    new = pd.DataFrame({"age": [None], "town": ["Z"], "born": ["2000-01-02"]})
    row = dict(zip(names, encode_frame(new, columns)[0], strict=True))
    assert row["age missing=yes"] == 1
    assert row["age="] == pytest.approx((30 - 32.5) / np.std([20, 30, 30, 50]), abs=1e-6)
    assert {value for name, value in row.items() if name.startswith("town=")} == {0}
    with pytest.raises(InputError, match="cannot be numbers"):
        encode_frame(frame.assign(age="old"), columns)


def test_a_description_is_the_same_after_its_file(population, tmp_path):
    description = population.contributors.description
    write_description(tmp_path / "description.json", description)
    assert read_description(tmp_path / "description.json") == description
    (tmp_path / "description.json").write_text("{}")
    with pytest.raises(InputError, match="no description"):
        read_description(tmp_path / "description.json")


# ---- a run's own


def test_a_runs_extractors_load_and_release_like_its_clients(small, population, one_process, tmp_path):
    experiment = small(
        methods=("tiprdc+",),
        settings=("federated", "centralized"),
        federation={"rounds": 1, "updates_per_round": 1},
        centralized={"steps": 2},
    )
    with Stages(Console(quiet=True)) as stages:
        outcome = carry_out(
            experiment, tmp_path / "publication", stages, Kept(tmp_path / "kept"), population=population
        )
    for (setting, point), groups in outcome.extractors.items():
        write_extractor(tmp_path / setting, extractor_card(experiment, outcome, setting, point), groups)
    extractor = fl_tiprdc.Extractor.load(tmp_path / "federated")
    assert (extractor.card.setting, extractor.card.dataset, extractor.card.lam) == ("federated", "adult", 0.5)
    _, _, published = read_store(next((tmp_path / "publication").rglob("part-000000.parquet")).parent)
    mine = extractor.transform(population.contributors.x, key=0)
    assert mine.shape == published.shape == (360, 8)
    assert np.allclose(mine.std(0), published.std(0), rtol=0.2)
    assert np.allclose(mine.mean(0), published.mean(0), atol=0.2)
    assert Extractor.load(tmp_path / "centralized").sigma == extractor.sigma


# ---- scikit-learn

TINY = {"steps": 2, "representation": 4, "hidden": (8,)}


def _checks():
    return [
        pytest.param(check, estimator, id=getattr(check, "func", check).__name__)
        for estimator, check in estimator_checks_generator(TiprdcTransformer(**TINY), legacy=True)
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("check", "estimator"), _checks())
def test_the_transformer_passes_scikit_learns_checks(check, estimator):
    # all of them: none is expected to fail (that of array_api is skipped where SciPy's switch is off)
    check(estimator)


def test_the_transformer_hides_what_it_is_told_to_and_keeps_the_rest():
    rng = np.random.default_rng(0)
    private, task = rng.integers(0, 2, 1200), rng.integers(0, 2, 1200)
    x = rng.normal(size=(1200, 6))
    x[:, :2] += 2 * private[:, None]
    x[:, 2:4] += 2 * task[:, None]
    x = 100 + 20 * x
    transformer = TiprdcTransformer(lam=0.7, representation=8, hidden=(32,), steps=60, random_state=0)
    z = transformer.fit(x[:600], np.where(private, "yes", "no")[:600]).transform(x)
    assert transformer.classes_ == [("no", "yes")]
    assert list(transformer.get_feature_names_out()[:2]) == ["tiprdctransformer0", "tiprdctransformer1"]

    def accuracy(features, labels):
        return LogisticRegression(max_iter=500).fit(features[:600], labels[:600]).score(features[600:], labels[600:])

    assert accuracy(x, private) > 0.9
    assert accuracy(x, task) > 0.9
    assert accuracy(z, private) < 0.65
    assert accuracy(z, task) > accuracy(z, private) + 0.15


def test_a_number_as_random_state_repeats_training_and_noise():
    x = np.random.default_rng(0).normal(size=(60, 3))
    twice = [TiprdcTransformer(**TINY, random_state=3).fit_transform(x, private=x[:, 0] > 0) for _ in range(2)]
    assert np.array_equal(*twice)


def test_the_transformer_takes_its_place_in_a_pipeline_and_writes_its_extractor(tmp_path):
    rng = np.random.default_rng(0)
    x, private = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    pipeline = make_pipeline(TiprdcTransformer(**TINY)).set_output(transform="pandas")
    z = pipeline.fit(x, private).transform(x)
    assert z.shape == (200, 4)
    assert not np.allclose(z, pipeline.transform(x))  # fresh noise
    transformer = pipeline[-1]
    assert [len(classes) for classes in transformer.classes_] == [2, 2]  # fractions are split at the median
    transformer.extractor_.save(tmp_path)
    frame = pd.DataFrame(x, columns=["x0", "x1", "x2"])
    assert np.array_equal(
        Extractor.load(tmp_path).transform(frame, key=1), transformer.extractor_.transform(frame, key=1)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"lam": 2}, "from 0 to 1"), ({"method": "magic"}, "unknown method"), ({"steps": 0}, "steps")],
)
def test_the_transformers_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        TiprdcTransformer(**{**TINY, **settings}).fit(np.eye(4), [0, 1, 0, 1])
