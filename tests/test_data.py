"""Adult, the encoding of tables, and the record type."""

from dataclasses import FrozenInstanceError, replace
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.data.adult import WHITE_COLLAR
from fl_tiprdc.data.column_encoding import CLIP
from fl_tiprdc.data.crowd import Attribute, Column, Crowd, Description
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.population import OTHER, hold_out
from fl_tiprdc.data.table import Table, encode
from fl_tiprdc.errors import InputError

RECORDS = 48_842  # of the UCI repository's adult.data and adult.test together


@pytest.fixture(scope="module")
def raw():
    return pd.read_parquet(resources.files("fl_tiprdc.data") / "adult.parquet")


@pytest.fixture(scope="module")
def adult():
    return load_population("adult", ("sex",), 0.2)


def names(population) -> list[str]:
    return [column.name for column in population.contributors.description.columns]


def halves(raw, adult):
    """(crowd, its rows of the source): every row is a person, numbered in the order of the source."""
    return [(crowd, raw.iloc[crowd.participant]) for crowd in (adult.contributors, adult.held_out)]


def test_adult_has_every_record_once_and_a_fifth_is_held_out(raw, adult):
    assert len(raw) == RECORDS
    assert len(adult.held_out) == round(0.2 * RECORDS)
    people = np.concatenate([adult.contributors.participant, adult.held_out.participant])
    assert np.array_equal(np.sort(people), np.arange(RECORDS))


def test_adult_x_and_its_description(raw, adult):
    crowd = adult.contributors
    assert crowd.x.dtype == np.float32
    assert crowd.x.shape == (len(crowd), crowd.description.width)
    assert set(names(adult)) == set(raw.columns) - {"sex", "income", "fnlwgt"}
    spans = [index for column in crowd.description.columns for index in range(column.span.start, column.span.stop)]
    assert spans == list(range(crowd.description.width))  # columns cover x without gap or overlap


def test_adult_private_attribute_is_that_of_the_source(raw, adult):
    (attribute,) = adult.contributors.description.attributes
    assert attribute == Attribute("sex", ("Female", "Male"))
    for crowd, rows in halves(raw, adult):
        assert np.array_equal(crowd.private[:, 0], (rows["sex"] == "Male").astype(int))
    share = (raw["sex"].iloc[adult.contributors.participant] == "Male").mean()
    assert adult.contributors.description.marginals[0] == pytest.approx((1 - share, share))


def test_adult_tasks_are_those_of_the_source(raw, adult):
    for crowd, rows in halves(raw, adult):
        wanted = {
            "income": rows["income"] == ">50K",
            "married": rows["marital-status"].isin(
                ["Married-civ-spouse", "Married-spouse-absent", "Married-AF-spouse"]
            ),
            "college": rows["education-num"] >= 10,
            "white-collar": rows["occupation"].isin(WHITE_COLLAR),
        }
        assert set(crowd.tasks) == set(wanted)
        for name, labels in wanted.items():
            assert np.array_equal(crowd.tasks[name], labels.astype(int)), name
            assert 0.1 < labels.mean() < 0.9  # neither class is a rarity


def test_adult_encodes_numbers_and_categories_of_the_source(raw, adult):
    crowd = adult.contributors
    columns = {column.name: column for column in crowd.description.columns}
    rows = raw.iloc[crowd.participant]
    age = rows["age"].to_numpy(float)
    np.testing.assert_allclose(crowd.x[:, columns["age"].start], (age - age.mean()) / age.std(), atol=1e-5)
    race = columns["race"]
    decoded = np.array(race.categories)[crowd.x[:, race.span].argmax(1)]
    assert np.array_equal(decoded, rows["race"].astype(str))
    assert (crowd.x[:, race.span].sum(1) == 1).all()
    gain = crowd.x[:, columns["capital-gain"].start]
    assert gain.max() == CLIP  # 99,999 dollars are 13 standard deviations
    # the uncertainty is what a constant leaves: the entropy of the shares, half the variance
    share = rows["race"].value_counts(normalize=True).to_numpy()
    assert race.uncertainty == pytest.approx(-(share * np.log(share)).sum())
    assert columns["age"].uncertainty == pytest.approx(0.5, abs=1e-3)


def test_a_categorical_column_may_be_private():
    crowd = load_population("adult", ("race",), 0.2).contributors
    (race,) = crowd.description.attributes
    assert race.classes == ("Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White")
    assert "race" not in [column.name for column in crowd.description.columns]
    assert "sex" in [column.name for column in crowd.description.columns]
    assert np.bincount(crowd.private[:, 0]).argmax() == race.classes.index("White")


def test_a_numeric_column_is_split_at_the_contributors_median(raw):
    population = load_population("adult", ("age",), 0.2)
    median = raw["age"].iloc[population.contributors.participant].median()
    (age,) = population.contributors.description.attributes
    assert age.classes == (f"<= {median:g}", f"> {median:g}")
    for crowd, rows in halves(raw, population):
        assert np.array_equal(crowd.private[:, 0], (rows["age"] > median).astype(int))
    assert "age" not in names(population)


def test_two_private_attributes(raw):
    population = load_population("adult", ("sex", "race"), 0.2)
    crowd = population.contributors
    assert [attribute.name for attribute in crowd.description.attributes] == ["sex", "race"]
    assert crowd.description.classes == (2, 5)
    assert crowd.private.shape == (len(crowd), 2)
    assert np.array_equal(crowd.private[:, 0], raw["sex"].iloc[crowd.participant] == "Male")
    assert {"sex", "race"}.isdisjoint(names(population))
    assert [sum(marginal) for marginal in crowd.description.marginals] == pytest.approx([1, 1])


@pytest.mark.parametrize("private", ["education", "education-num"])
def test_hiding_education_hides_its_twin_and_drops_the_college_task(private):
    population = load_population("adult", (private,), 0.2)
    assert {"education", "education-num"}.isdisjoint(names(population))
    assert set(population.contributors.tasks) == {"income", "married", "white-collar"}


def test_rare_private_values_are_merged():
    crowd = load_population("adult", ("native-country",), 0.2).contributors
    (country,) = crowd.description.attributes
    assert OTHER in country.classes
    assert "Holand-Netherlands" not in country.classes  # one person
    assert {"United-States", "Mexico"} < set(country.classes)


@pytest.mark.parametrize(
    ("private", "why"),
    [
        (("shoe-size",), "unknown private attribute of adult 'shoe-size': choose from age, "),
        (("sex", "fnlwgt"), "unknown private attribute of adult 'fnlwgt'"),  # a weight, no property of a person
        (("income", "marital-status", "education", "occupation"), "leaves no task"),
    ],
)
def test_private_attributes_that_cannot_be(private, why):
    with pytest.raises(InputError, match=why):
        load_population("adult", private, 0.2)


def test_unknown_data_set():
    with pytest.raises(InputError, match="unknown data set 'census': choose one of adult"):
        load_population("census", ("sex",), 0.2)


def a_table(n=40, **changes) -> Table:
    generator = np.random.default_rng(0)
    features = pd.DataFrame(
        {
            "height": generator.normal(170, 10, n),
            "color": generator.choice(["red", "green", "blue"], n),
            "constant": np.ones(n),
        }
    )
    private = pd.DataFrame({"group": np.arange(n) % 2})
    parts = {"features": features, "private": private, "tasks": {"t": np.arange(n) % 2}, **changes}
    return Table(**parts)


def test_scaling_and_categories_come_from_contributors_only():
    table = a_table()
    out = hold_out(np.arange(40), 0.25)
    before = encode(table, 0.25).contributors
    changed = table.features.copy()
    changed.loc[out, "height"] = 1e6
    changed.loc[out, "color"] = "ultraviolet"
    changed.loc[out, "constant"] = 7.0  # still constant among those who contribute
    population = encode(a_table(features=changed), 0.25)
    assert np.array_equal(population.contributors.x, before.x)
    assert population.contributors.description == before.description
    assert [column.name for column in before.description.columns] == ["height", "color"]
    assert before.x[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert before.x[:, 0].std() == pytest.approx(1, abs=1e-6)
    # a giant is clipped; a color that no contributor has is none of the known ones
    assert (population.held_out.x == [CLIP, 0, 0, 0]).all()


def test_a_private_median_comes_from_contributors_only():
    out = hold_out(np.arange(40), 0.25)
    number = np.arange(40.0)
    before = encode(replace(a_table(private=pd.DataFrame({"age": number})), tested=out), 0.25).contributors
    changed = np.where(out, 1e6, number)
    after = encode(replace(a_table(private=pd.DataFrame({"age": changed})), tested=out), 0.25).contributors
    assert np.array_equal(before.private, after.private)
    assert before.description == after.description


def test_private_classes_come_from_contributors_only():
    out = hold_out(np.arange(40), 0.25)
    flag = np.where(out, 2, np.arange(40) % 2)  # contributors have 0 and 1: a flag, no number to split
    population = encode(replace(a_table(private=pd.DataFrame({"flag": flag})), tested=out), 0.25)
    assert population.contributors.description.attributes[0].classes == ("0", "1", OTHER)
    assert (population.held_out.private == 2).all()


def test_people_with_several_records_are_held_out_whole():
    participant = np.arange(40) // 4  # ten people of four records
    population = encode(a_table(participant=participant), 0.3)
    mine, held = set(population.contributors.participant.tolist()), set(population.held_out.participant.tolist())
    assert len(held) == 3
    assert mine.isdisjoint(held)
    assert mine | held == set(range(10))
    assert len(population.held_out) == 12


@pytest.mark.parametrize(("share", "held"), [(0.001, 1), (0.999, 9)])
def test_somebody_is_held_out_and_somebody_contributes(share, held):
    assert hold_out(np.arange(10), share).sum() == held


def test_a_private_attribute_with_one_value_is_refused():
    with pytest.raises(InputError, match="'group' has a single value, 'x': nothing to hide"):
        encode(a_table(private=pd.DataFrame({"group": ["x"] * 40})), 0.25)


def test_a_table_without_information_is_refused():
    with pytest.raises(InputError, match="no feature column"):
        encode(a_table(features=pd.DataFrame({"constant": np.ones(40)})), 0.25)


def test_missing_values_are_filled_from_contributors_and_said():
    out = hold_out(np.arange(40), 0.25)
    features = a_table().features
    mine = np.flatnonzero(~out)
    features.loc[[mine[0], np.flatnonzero(out)[0]], "height"] = np.nan
    features.loc[mine[1:4], "color"] = None
    features.loc[out, "height"] += 1e6  # must not move the median
    population = encode(a_table(features=features), 0.25)
    height, missing, color = population.contributors.description.columns
    assert (height.name, missing.name, missing.categories) == ("height", "height missing", ("no", "yes"))
    assert color.categories == ("(missing)", "blue", "green", "red")
    x = population.contributors.x
    assert x[0, 0] == pytest.approx(np.median(x[1:, 0]), abs=1e-6)
    assert np.flatnonzero(x[:, missing.start + 1]).tolist() == [0]
    assert np.flatnonzero(x[:, color.start]).tolist() == [1, 2, 3]
    filled = population.held_out.x[0]
    assert filled[0] == x[0, 0]
    assert filled[missing.span].tolist() == [0, 1]


def test_gaps_of_held_out_people_alone_add_no_column():
    features = a_table().features
    before = encode(a_table(), 0.25).contributors
    features.loc[hold_out(np.arange(40), 0.25), "height"] = np.nan
    population = encode(a_table(features=features), 0.25)
    assert population.contributors.description == before.description
    assert population.held_out.x[:, 0] == pytest.approx(np.median(before.x[:, 0]), abs=1e-6)


def test_infinite_numbers_are_refused():
    features = a_table().features
    features.loc[3, "height"] = np.inf
    with pytest.raises(InputError, match="'height' has numbers that are not finite"):
        encode(a_table(features=features), 0.25)


def a_crowd(**changes) -> Crowd:
    parts = {
        "x": np.zeros((4, 2), dtype=np.float32),
        "private": np.array([[0], [1], [2], [0]]),
        "tasks": {"t": np.array([0, 1, 0, 1])},
        "participant": np.arange(4),
        "description": Description.of_table(
            (Column("a", "numeric", 0), Column("b", "numeric", 1)),
            (Attribute("u", ("p", "q", "r")),),
            ((0.5, 0.25, 0.25),),
        ),
    }
    return Crowd(**{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"x": np.full((4, 2), np.nan, dtype=np.float32)}, "x has values that are not finite"),
        ({"x": np.full((4, 2), np.inf, dtype=np.float32)}, "x has values that are not finite"),
        ({"x": np.zeros((4, 3), dtype=np.float32)}, r"x has shape \(4, 3\), its description says \(n, \*\(2,\)\)"),
        ({"x": np.zeros(4, dtype=np.float32)}, "x has shape"),
        ({"x": np.zeros((5, 2), dtype=np.float32)}, r"private labels have shape \(4, 1\)"),
        ({"private": np.array([0, 1, 2, 0])}, "private labels have shape"),
        ({"private": np.zeros((4, 2), dtype=int)}, "private labels have shape"),
        ({"private": np.array([[0], [1], [3], [0]])}, r"labels of 'u' are not in 0\.\.2"),
        ({"private": np.array([[0], [1], [-1], [0]])}, r"labels of 'u' are not in 0\.\.2"),
        ({"tasks": {"t": np.array([0, 1, 0])}}, "'t' has 3 labels for 4 records"),
        ({"tasks": {"t": np.array([0, 1, 0, -1])}}, "labels of 't' are not 0 or more"),
        ({"participant": np.arange(5)}, "'participant' has 5 labels for 4 records"),
    ],
)
def test_crowd_refuses_bad_input(changes, why):
    with pytest.raises(InputError, match=why):
        a_crowd(**changes)


def test_crowd_is_immutable():
    crowd = a_crowd()
    for array in (crowd.x, crowd.private, crowd.participant, crowd.tasks["t"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(TypeError):
        crowd.tasks["t"] = np.zeros(4)
    with pytest.raises(FrozenInstanceError):
        crowd.x = np.zeros((4, 2))


def test_take_keeps_records_whole():
    crowd = a_crowd(x=np.arange(8, dtype=np.float32).reshape(4, 2))
    some = crowd.take(np.array([2, 0]))
    assert some.x.tolist() == [[4, 5], [0, 1]]
    assert some.private.tolist() == [[2], [0]]
    assert some.tasks["t"].tolist() == [0, 0]
    assert some.participant.tolist() == [2, 0]
    assert len(crowd.take(np.array([], dtype=int))) == 0


def test_what_training_sees_has_no_task_and_no_identity():
    records = a_crowd().records()
    assert set(vars(records)) == {"x", "private"}
