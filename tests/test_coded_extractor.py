"""An extractor of codes in use: what it needs, what it gives, and the scikit-learn transformer that fits one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Attribute, Column, Description
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.certificate import certify
from fl_tiprdc.extractor.card import Card
from fl_tiprdc.extractor.released import Extractor
from fl_tiprdc.extractor.transformer import TiprdcTransformer
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.methods import METHODS, CodesConfig
from fl_tiprdc.release.codes import Codes, joint_classes

SEX = Attribute("sex", ("Female", "Male"))
AGE = Attribute("age", ("<= 37", "> 37"))
KEY = bytes(range(32))


def table(attributes: tuple[Attribute, ...] = (SEX,)) -> Description:
    """A table of five numbers."""
    columns = tuple(Column(f"c{i}", "numeric", i) for i in range(5))
    return Description.of_table(columns, attributes, ((0.5, 0.5),) * len(attributes))


def any_codes(d: int, joint: int, sees_private: bool = True, codes: int = 24) -> Codes:
    """Codes that nobody has fitted, of as many groups as there are joint classes."""
    rng = np.random.default_rng(3)

    def floats(array: np.ndarray) -> np.ndarray:
        return array.astype(np.float32)

    groups = joint if sees_private else 1
    codewords = rng.normal(size=(codes, d))
    codewords *= np.sqrt(d) / np.linalg.norm(codewords, axis=1, keepdims=True)
    return Codes(
        codewords=floats(codewords),
        cells=floats(codewords),
        potentials=floats(rng.normal(size=(groups, codes))),
        temperature=0.4,
        plan=floats(np.zeros((0, codes)) if sees_private else rng.dirichlet(np.ones(codes), codes)),
        keep=floats(rng.uniform(0.7, 1, (groups, codes))),
        fill=floats(rng.dirichlet(np.ones(codes), groups)),
        group=np.arange(joint) if sees_private else np.zeros(joint, dtype=np.int64),
    )


def coded_extractor(
    description: Description, sees_private: bool = True, architecture: str = "auto", information: str = "reconstruction"
) -> Extractor:
    """An untrained extractor with codes that nobody has fitted."""
    changes = {"information": information, "coding": CodesConfig(sees_private=sees_private)}
    config = METHODS["coded"].settings.model_copy(update=changes)
    network = NetworkConfig(architecture=architecture, representation=4)
    step = HybridStep(description, network, config)
    card = Card(
        method="coded",
        lam=0.5,
        sigma=config.sigma(0.5),
        method_config=config,
        network=network,
        description=description,
    )
    arrays = {name: value.numpy() for name, value in step.initial(0)["extractor"].items()}
    codes = any_codes(step.d, int(np.prod(description.classes)), sees_private)
    return Extractor(card, {"extractor": arrays, "codes": codes.arrays()})


def some_people(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Rows of `table`, in which sex and age are columns too."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 5)), columns=[f"c{i}" for i in range(5)])
    frame.insert(2, "sex", rng.choice(SEX.classes, n))
    return frame.assign(age=rng.integers(17, 80, n))


# ---- what it needs and gives


def test_a_loaded_extractor_gives_codes_and_their_codewords(tmp_path):
    coded_extractor(table()).save(tmp_path)
    extractor = Extractor.load(tmp_path)
    people = some_people()
    codes = extractor.transform_codes(people, key=KEY)
    assert codes.shape == (300,)
    assert codes.dtype == np.int64
    assert 0 <= codes.min() <= codes.max() < len(extractor.codes) == 24
    z = extractor.transform(people, key=KEY)
    assert z.dtype == np.float32
    assert np.array_equal(z, extractor.codes.codewords[codes])
    assert extractor.capacity == np.log2(24)
    assert "24 codes, 4.6 bits" in repr(extractor)


def test_the_private_column_is_needed_and_taken_from_a_data_frame():
    extractor = coded_extractor(table())
    people = some_people()
    codes = extractor.transform_codes(people, key=KEY)
    features = people.drop(columns=["sex", "age"])
    for private in (people, people[["sex"]], people["sex"], people["sex"].tolist(), people[["sex"]].to_numpy()):
        assert np.array_equal(extractor.transform_codes(features, private, key=KEY), codes)
    x = extractor.encode(people)
    assert np.array_equal(extractor.transform_codes(x, people["sex"], key=KEY), codes)
    others = people.assign(sex=np.where(people["sex"] == "Male", "Female", "Male"))
    assert (extractor.transform_codes(others, key=KEY) != codes).mean() > 0.2  # it has a say
    with pytest.raises(InputError, match=r"^this release looks at the private column 'sex', which the table lacks"):
        extractor.transform(features)
    with pytest.raises(InputError, match=r"^this release looks at the private attribute: give each record's"):
        extractor.transform(x)


@pytest.mark.parametrize(
    ("private", "message"),
    [
        (["Male", "Female"], "^there are 2 private labels for 3 records$"),
        (["Male", "Female", "M"], r"^column 'sex', row 3 .* is none of Female, Male$"),
        (["Male", "Female", None], r"^private column 'sex' has no value in row 3$"),
        ([["Male", "x"]] * 3, "^there are 2 private columns: give 1$"),
    ],
)
def test_private_labels_that_do_not_fit_are_named_in_one_line(private, message):
    with pytest.raises(InputError, match=message):
        coded_extractor(table()).transform(some_people(3), private)


def test_numbers_split_at_a_median_are_given_as_numbers():
    extractor = coded_extractor(table((SEX, AGE)))
    people = some_people()
    labels = extractor.private_labels(people)
    assert np.array_equal(labels, np.stack([people["sex"] == "Male", people["age"] > 37], axis=1))
    assert np.array_equal(extractor.private_labels(people[["sex", "age"]].to_numpy()), labels)
    named = people.assign(age=np.where(people["age"] > 37, "> 37", "<= 37"))  # or by the names of their classes
    assert np.array_equal(extractor.private_labels(named), labels)
    joint = joint_classes(labels, extractor.description.classes)
    assert set(joint) == {0, 1, 2, 3}


def test_the_same_key_gives_the_same_codes_in_any_order_and_company():
    extractor, people = coded_extractor(table()), some_people()
    codes = extractor.transform_codes(people, key=KEY)
    assert np.array_equal(extractor.transform_codes(people[::-1], key=KEY)[::-1], codes)
    assert np.array_equal(extractor.transform_codes(people[5:9], key=KEY), codes[5:9])
    assert (extractor.transform_codes(people, key=bytes(32)) != codes).mean() > 0.2
    assert (extractor.transform_codes(people) != extractor.transform_codes(people)).mean() > 0.2  # fresh draws


def test_two_releases_with_one_key_share_no_draw():
    x = np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32)
    releases = [coded_extractor(table((Attribute("sex", names),))) for names in (("a", "b"), ("a", "b", "c"))]
    first, second = (extractor.draws(KEY)(x, 1)[:, 0] for extractor in releases)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    assert np.array_equal(releases[0].draws(KEY)(x, 1)[:, 0], first)


def test_codes_of_x_alone_need_no_private_label():
    extractor, people = coded_extractor(table(), sees_private=False), some_people()
    assert not extractor.release.sees_private
    codes = extractor.transform_codes(people, key=KEY)
    assert np.array_equal(extractor.transform_codes(people.drop(columns="sex"), key=KEY), codes)
    assert np.array_equal(extractor.transform_codes(extractor.encode(people), key=KEY), codes)


# ---- scikit-learn


def crowd(n: int = 1600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    private = rng.integers(0, 2, n)
    return rng.normal(size=(n, 5)) + private[:, None], private


def coding(**settings: object) -> TiprdcTransformer:
    return TiprdcTransformer(
        method="coded", **{"lam": 0.9, "steps": 5, "representation": 4, "hidden": (8,), "random_state": 0, **settings}
    )


def test_the_transformer_codes_records_with_their_private_labels():
    x, private = crowd()
    names = np.where(private, "yes", "no")
    transformer = coding().fit(x, names)
    z = transformer.transform(x, names)
    codebook = transformer.extractor_.codes.codewords
    assert z.shape == (1600, 4)
    assert {tuple(row) for row in z} <= {tuple(row) for row in codebook}
    assert np.array_equal(transformer.transform(x[:7], names[:7]), z[:7])
    assert np.array_equal(coding().fit_transform(x, private=names), z)
    with pytest.raises(ValueError, match=r"^method coded looks at .* too: transform\(X, private\); in a Pipeline .*$"):
        transformer.transform(x)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        transformer.transform(x, names[:5])
    with pytest.raises(ValueError, match="is none of no, yes"):
        transformer.transform(x[:1], ["perhaps"])


def test_what_it_counts_can_be_certified():
    x, private = crowd()
    transformer = coding().fit(x, private)
    assert transformer.code_counts_.shape == (2, len(transformer.extractor_.codes))
    assert transformer.code_counts_.sum() == 400  # a quarter of the people, who had no part in the fit
    certificate = certify(transformer.code_counts_, 0.05, 0, transformer.classes_[0])
    assert certificate.people == dict(zip(("0", "1"), transformer.code_counts_.sum(1).tolist(), strict=True))
    assert 0.5 < certificate.pairs[0].hindsight < 0.75  # of x itself .94
    transformer.set_params(method="tiprdc+").fit(x, private)
    assert not hasattr(transformer, "code_counts_")


def test_the_target_of_the_certificate_decides_how_many_codes_there_are(monkeypatch):
    x, private = crowd()
    sizes = []
    for target in (0.66, 0.7):
        settings = METHODS["coded"].settings.model_copy(update={"coding": CodesConfig(target=target, fewest=2)})
        monkeypatch.setitem(METHODS, "coded", replace(METHODS["coded"], settings=settings))
        sizes.append(len(coding().fit(x, private).extractor_.codes))
    assert 2 <= sizes[0] < sizes[1]


@pytest.mark.parametrize(
    "labels",
    [
        lambda u, rng: u.astype(bool),
        lambda u, rng: u.astype(np.float32),
        lambda u, rng: np.where(u, 0.1, 2).astype(np.float32),
        lambda u, rng: u + rng.uniform(-1, 1, len(u)),
        lambda u, rng: np.stack([u, rng.integers(0, 2, len(u))], axis=1),
        lambda u, rng: np.where(u, " yes", "no "),
        lambda u, rng: pd.Series(np.where(u, "yes", "no"), dtype="category"),
    ],
    ids=["bool", "float", "fraction", "median", "two", "blanks", "pandas"],
)
def test_labels_of_any_type_are_read_as_in_the_fit(labels):
    x, private = crowd(2400)
    y = labels(private, np.random.default_rng(1))
    transformer = coding().fit(x, y)
    z = transformer.transform(x, y)
    assert np.array_equal(transformer.transform(x[3:4], np.asarray(y)[3:4]), z[3:4])  # however few


def test_codes_of_x_alone_transform_without_labels():
    x, private = crowd()
    transformer = coding().set_params(method="coded-x").fit(x, private)
    assert np.array_equal(transformer.transform(x), transformer.transform(x, private))
    assert transformer.code_counts_.sum() == 400


def test_few_people_are_too_few_for_codes():
    with pytest.raises(ValueError, match="people are too few to fit codes on"):
        coding().fit(*crowd(300))
