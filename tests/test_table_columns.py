"""What the columns of anybody's table are taken for: numbers with strays, classes as spelled, identifiers, copies."""

import decimal
import warnings

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.column_encoding import encode_frame
from fl_tiprdc.data.column_values import stand_in
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.described_table import private_positions, records_of
from fl_tiprdc.data.number_texts import read_numbers
from fl_tiprdc.data.population import hold_out
from fl_tiprdc.data.telling_columns import is_copy, share_told
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.audit import truth_of
from fl_tiprdc.notices import DataNotice

N = 240
RANDOM = np.random.default_rng(3)
SEX = RANDOM.choice(["female", "male"], N)
FRAME = pd.DataFrame(
    {
        "sex": SEX,
        "income": RANDOM.choice(["low", "high"], N),
        "height": RANDOM.integers(150, 195, N),
        "town": RANDOM.choice(["Ulm", "Bern", "Graz"], N),
    }
)


@pytest.fixture
def load(tmp_path):
    """Writes a table and loads it; returns the population and the notices."""

    def load(frame, kind="csv", private=("sex",), tasks=("income",), **settings):
        path = tmp_path / f"people.{kind}"
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataNotice)
            config = DataConfig(file=path, tasks=tasks, **settings)
            population = load_population("table", private, 0.2, config)
        return population, [str(notice.message) for notice in caught if notice.category is DataNotice]

    return load


def kinds(population) -> dict[str, str]:
    return {column.name: column.kind for column in population.contributors.description.columns}


def people(population) -> int:
    return len(population.contributors) + len(population.held_out)


def classes(population) -> tuple[str, ...]:
    return population.contributors.description.attributes[0].classes


def with_strays(values, stray: str, count: int) -> list[str]:
    """Return the values as text, `count` of them replaced."""
    text = [str(value) for value in values]
    return [stray if i < count else value for i, value in enumerate(text)]


# ---- numbers


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("stray", ["?", "unknown", "-", "n.a."])
def test_strays_among_numbers_are_missing_and_counted(stray, kind, load):
    frame = FRAME.assign(height=with_strays(FRAME["height"], stray, 12))
    population, said = load(frame, kind=kind)
    assert kinds(population)["height"] == "numeric"
    assert kinds(population)["height missing"] == "categorical"
    (notice,) = said
    assert f"read as numbers, other values (rows) as missing: 'height' ('{stray}' in 12)" in notice
    assert 'set data.columns.NAME to "category"' in notice
    assert "data.missing" in notice


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_words_that_are_said_to_mean_missing_need_no_notice(kind, load):
    frame = FRAME.assign(height=with_strays(FRAME["height"], "?", 12), town=with_strays(FRAME["town"], "unknown", 9))
    population, said = load(frame, kind=kind, missing=("?", "unknown"))
    assert said == []
    assert kinds(population)["height"] == "numeric"
    town = next(column for column in population.contributors.description.columns if column.name == "town")
    assert town.categories == ("(missing)", "Bern", "Graz", "Ulm")


def test_a_column_with_strays_may_stay_categories(load):
    population, said = load(
        FRAME.assign(height=with_strays(FRAME["height"] // 10, "?", 12)), columns={"height": "category"}
    )
    assert said == []
    assert kinds(population)["height"] == "categorical"


def test_a_mixture_stays_categories_with_a_notice(load):
    sizes = np.where(
        np.arange(N) % 5 < 3, (np.arange(N) % 7).astype(str), np.char.add("XL", (np.arange(N) % 7).astype(str))
    )
    population, said = load(FRAME.assign(size=sizes))
    assert kinds(population)["size"] == "categorical"
    assert "taken as categories, though many of the values are numbers: 'size' ('XL" in said[0]


def test_dates_with_strays_are_dates(load):
    dates = [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(N)]
    population, said = load(FRAME.assign(since=with_strays(dates, "never", 20)))
    assert kinds(population)["since"] == "numeric"
    assert "'since' ('never' in 20)" in said[0]


def test_marks_for_missing_are_as_many_as_they_like_and_truth_values_are_none(load):
    marks = [("?", "-", "--", "..", "unknown")[i // 4 % 5] if i % 4 == 0 else str(i % 60) for i in range(N)]
    mixed = [("1", "0", "True", "False")[i % 4] for i in range(N)]
    population, said = load(FRAME.assign(height=marks, member=mixed))
    assert kinds(population)["height"] == "numeric"
    assert kinds(population)["member"] == "categorical"
    assert len(said) == 2


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([-999, -999, 5, 7000, 800], (-999, 2)),
        ([9999, 9999, 9999, 5, 60, 33, np.nan], (9999, 3)),
        ([99, 99, 98, 5, 60, 33], None),  # a percentage
        ([-999, 5, 7000, 800], None),  # once
        ([-99, -99, -5, 300, -80], None),  # one of several below 0
        ([9, 9, 1, 2], None),
    ],
)
def test_a_number_that_may_stand_for_missing_ones(numbers, found):
    assert stand_in(pd.Series(numbers, dtype=float)) == found


def test_numbers_that_may_stand_for_missing_ones_are_named(load):
    debt = np.where(np.arange(N) % 6 == 0, -999, RANDOM.integers(0, 90, N))
    population, said = load(FRAME.assign(debt=debt))
    assert kinds(population)["debt"] == "numeric"
    assert ["that may mean missing: 'debt' (-999 in" in line for line in said] == [True]
    population, said = load(FRAME.assign(debt=debt), missing=("-999",))
    assert "debt missing" in kinds(population)
    assert said == []
    _, said = load(FRAME.assign(debt=debt), columns={"debt": "number"})
    assert said == []


@pytest.mark.parametrize(
    ("texts", "numbers", "forms"),
    [
        (["$1,200", "-$5", "5 €", "USD 7.5"], [1200, -5, 5, 7.5], ("currency signs", "thousands separators")),
        (["45%", "3.5 %", "0.2"], [0.45, 0.035, 0.2], ("percent signs",)),
        (["1,234", "950", "12,000,000.5"], [1234, 950, 12000000.5], ("thousands separators",)),
        (["1 234", "2\u202f500", "7'000", "5"], [1234, 2500, 7000, 5], ("thousands separators",)),
        (["1,5", "2,25", "7"], [1.5, 2.25, 7], ("decimal commas",)),
        (["1.234,5", "1.234", "0,5"], [1234.5, 1234, 0.5], ("thousands separators", "decimal commas")),
        (["\u22125", "+3", "1e3"], [-5, 3, 1000], ("other minus signs",)),
        (["(1,234.5)", "7", "9.5-"], [-1234.5, 7, -9.5], ("thousands separators", "other minus signs")),
        (["(1)", "(2)"], [np.nan] * 2, ()),
        (["inf", "nan", "0x10", "1_000", "12a"], [np.nan] * 5, ()),
        (["2024-05-31", "1970-01-02"], [19874, 1], ()),
    ],
)
def test_numbers_as_people_write_them(texts, numbers, forms):
    reading = read_numbers(pd.Series(texts, dtype=object))
    np.testing.assert_allclose(reading.values, numbers)
    assert reading.forms == forms


def test_amounts_and_decimal_commas_of_a_file_are_numbers_with_a_notice(load):
    frame = FRAME.assign(
        fee=[f"${1000 + 7 * i:,}" for i in range(N)], weight=[f"{50 + i / 7:.1f}".replace(".", ",") for i in range(N)]
    )
    population, said = load(frame)
    assert kinds(population)["fee"] == kinds(population)["weight"] == "numeric"
    assert any("'fee' (currency signs, thousands separators), 'weight' (decimal commas)" in notice for notice in said)


@pytest.mark.parametrize("role", ["private", "tasks"])
def test_numbers_with_strays_drop_nobody_as_a_label(role, load):
    few = FRAME.assign(grade=with_strays(1 + FRAME["height"] % 5, "?", 12))
    population, said = load(few, **{role: ("grade",)})
    assert people(population) == N
    assert any("'grade' has numbers, and '?' in 12 rows: all are classes; list words" in notice for notice in said)
    many = FRAME.assign(height=with_strays(FRAME["height"], "?", 12))
    with pytest.raises(InputError, match=r"'height' has numbers, and '\?' in 12 rows: list the words .* data\.missing"):
        load(many, **{role: ("height",)})
    population, said = load(many, **{role: ("height",)}, missing=("?",))
    assert people(population) == N - 12
    assert said[0] == "left out 12 of 240 rows, where a value is missing: 'height' (12)"
    assert "split at the median" in said[1]


def test_a_column_that_must_be_numbers_names_the_remedy(load):
    frame = FRAME.assign(height=with_strays(FRAME["height"], "tall", 1))
    with pytest.raises(InputError, match="cannot be numbers: it has 'tall'; words that mean missing are"):
        load(frame, columns={"height": "number"})
    population, _ = load(
        FRAME.assign(height=[f"{h / 100:.2f} €" for h in FRAME["height"]]), columns={"height": "number"}
    )
    assert kinds(population)["height"] == "numeric"


# ---- classes


def spelled(values) -> list[str]:
    """Return the values in three spellings each."""
    ways = (str, str.upper, lambda value: f" {value}. ")
    return [ways[i % 3](value) for i, value in enumerate(values)]


def test_spellings_of_a_class_are_named_and_united_if_asked(load):
    frame = FRAME.assign(sex=spelled(SEX))
    population, said = load(frame)
    assert len(classes(population)) == 6
    (notice,) = said
    assert "classes of private attribute 'sex' that differ in case, spaces or a final dot only" in notice
    assert all(f"'{value}'" in notice for value in ("female", "FEMALE", "female.", "male", "MALE", "male."))
    assert notice.endswith("to unite them, set data.unite_spellings = true")
    population, said = load(
        frame.assign(income=spelled(FRAME["income"]), town=spelled(FRAME["town"])), unite_spellings=True
    )
    assert said == []
    assert len(classes(population)) == 2
    assert {value.casefold().removesuffix(".") for value in classes(population)} == {"female", "male"}
    assert set(population.contributors.tasks["income"]) == {0, 1}
    town = next(column for column in population.contributors.description.columns if column.name == "town")
    assert len(town.categories) == 3


def test_one_class_in_several_spellings_is_refused_when_they_are_united(load):
    with pytest.raises(InputError, match=r"'sex' has a single value, .*in several spellings"):
        load(FRAME.assign(sex=spelled(["male"] * N)), unite_spellings=True)


@pytest.mark.parametrize("word", ["None", "NA", "null", "N/A", "NULL"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_nobody_is_dropped_whose_class_is_called_none(word, kind, load):
    frame = FRAME.assign(help=np.where(np.arange(N) % 4 == 0, word, np.where(np.arange(N) % 4 == 1, "some", "much")))
    for roles in ({"private": ("help",)}, {"tasks": ("help",)}):
        population, said = load(frame, kind=kind, **roles)
        assert people(population) == N
        (notice,) = said
        assert notice.startswith(f"'{word}' is a class of ")
        assert f'60 rows; if it means missing, set data.missing = ["{word}"]' in notice
    assert population.contributors.tasks["help"].max() == 2
    population, said = load(frame, kind=kind, private=("help",), missing=(word,))
    assert people(population) == N - 60
    assert "left out 60 of 240 rows" in said[0]


def test_none_among_numbers_is_missing_unless_they_are_a_category(load):
    frame = FRAME.assign(grade=with_strays(1 + np.arange(N) % 3, "None", 20))
    population, said = load(frame, private=("grade",))
    assert people(population) == N - 20
    assert any("column 'grade' is numbers, and in 20 rows 'None', which is missing" in text for text in said)
    population, _ = load(frame, private=("grade",), columns={"grade": "category"})
    assert people(population) == N
    assert classes(population) == ("1", "2", "3", "None")


# ---- identifiers and copies


def test_identifiers_are_left_out_and_doubtful_ones_named(load):
    numbers = RANDOM.permutation(10 * N)[:N] + 1000
    frame = FRAME.assign(patientID=numbers, paid=numbers * 3, code=[f"{i:06d}" for i in numbers])
    population, said = load(frame)
    assert {"patientID", "code"}.isdisjoint(kinds(population))
    assert kinds(population)["paid"] == "numeric"
    assert any(
        "left out, as identifiers or free text: 'patientID' (different for all), 'code' (" in text for text in said
    )
    assert any("whole numbers that differ in all or nearly all rows: 'paid'; if one is" in text for text in said)


def test_what_is_each_persons_own_is_an_identifier(load):
    person = np.arange(N) // 6
    numbers = RANDOM.permutation(1000)[:40]
    frame = FRAME.assign(who=person, caseNo=numbers[person], nick=[f"n{p}" for p in person], size=person % 5)
    population, said = load(frame, participant="who")
    assert {"caseNo", "nick"}.isdisjoint(kinds(population))
    assert "size" in kinds(population)
    assert "'caseNo' (different for all), 'nick' (32 values)" in said[0]


def test_copies_of_what_is_hidden_are_left_out_unless_asked_for(load):
    frame = FRAME.assign(gender=np.where(SEX == "male", "M", "F"), code=np.where(SEX == "male", 1, 2))
    population, said = load(frame)
    assert {"gender", "code"}.isdisjoint(kinds(population))
    assert said[0].startswith("left out, as copies of what is hidden: 'gender' (of 'sex'), 'code' (of 'sex'); to keep")
    population, said = load(frame, columns={"gender": "category", "code": "ignore"})
    assert "gender" in kinds(population)
    assert said == [
        "'gender' tells the private attribute 'sex' (100%): data.columns.NAME = \"ignore\" leaves a column out"
    ]


def test_columns_that_tell_a_label_are_named(load):
    title = np.where(SEX == "male", "Mr", np.where(np.arange(N) % 2, "Mrs", "Ms"))
    nearly = np.where(np.arange(N) < 3, "x", np.where(SEX == "male", "M", "F"))
    births = np.where(SEX == "male", np.nan, np.arange(N) % 4)
    points = np.where(FRAME["income"] == "high", 60, 20) + np.arange(N) % 30
    population, said = load(FRAME.assign(title=title, nearly=nearly, births=births, points=points))
    assert {"title", "nearly", "births", "points"} < set(kinds(population))
    (notice,) = said
    for name in ("title", "nearly", "births"):
        assert f"'{name}' tells the private attribute 'sex' (" in notice
    assert "'points' tells the task 'income' (100%)" in notice
    assert "'height'" not in notice


def test_held_out_people_have_no_say_in_what_is_a_copy(load):
    out = hold_out(np.arange(N), 0.2)
    frame = FRAME.assign(gender=np.where(out, "M", np.where(SEX == "male", "M", "F")))
    population, said = load(frame)
    assert "gender" not in kinds(population)
    assert len(said) == 1


def test_a_column_of_different_values_tells_nothing():
    codes = RANDOM.integers(0, 2, 200)
    assert share_told(pd.Series([f"r{i}" for i in range(200)]), codes) < 0.2
    assert share_told(pd.Series(RANDOM.normal(size=200)), codes) < 0.5
    assert share_told(pd.Series(np.where(codes, "a", "b")), codes) == 1


def test_copies_of_numbers_go_in_the_same_or_the_opposite_order():
    pay = pd.Series(RANDOM.permutation(500).astype(float))
    assert is_copy(pay * 12 + 1, pay)
    assert is_copy(2024 - pay, pay)
    assert not is_copy(pd.Series(RANDOM.permutation(500).astype(float)), pay)
    assert not is_copy(pay.mask(pay == 3), pay)


def test_a_name_with_a_comma_is_listed_as_it_must_be_written(load):
    frame = FRAME.rename(columns={"sex": "sex, at birth"})
    with pytest.raises(InputError, match="unknown private attribute 'sex': choose from \"sex, at birth\", income"):
        load(frame)
    population, _ = load(frame, private=("sex, at birth",))
    assert classes(population) == ("female", "male")


def test_a_clients_own_table_is_read_as_the_coordinators(load):
    frame = FRAME.assign(height=with_strays(FRAME["height"], "?", 12), town=with_strays(FRAME["town"], "NA", 9))
    population, _ = load(frame)
    description = population.contributors.description
    with pytest.warns(DataNotice, match=r"'height' \('\?' in 12\)"):
        records = records_of(frame, description)
    mine = {row.tobytes() for row in records.x}
    assert {row.tobytes() for crowd in (population.contributors, population.held_out) for row in crowd.x} == mine


@pytest.mark.parametrize("scale", [(1 / 3, 0.0), (1.0, 1.7e9), (7.0, 4_000_000.0)])
def test_a_number_split_at_its_median_is_split_alike_when_it_comes_again(scale, load):
    grade = np.round(RANDOM.integers(0, 40, N) * 1.0) * scale[0] + scale[1]
    frame = FRAME.assign(grade=grade)
    population, _ = load(frame, "parquet", private=("grade",))
    description = population.contributors.description
    (one,) = description.attributes
    again = private_positions(frame[["grade"]], description.attributes)[:, 0]
    middle = float(one.classes[0].removeprefix("<= "))
    assert len(one.classes[0]) <= 17  # as few digits as split alike
    assert again.tolist() == (grade > middle).astype(int).tolist()
    everybody = np.concatenate([population.contributors.private[:, 0], population.held_out.private[:, 0]])
    assert sorted(everybody.tolist()) == sorted(again.tolist())


def test_columns_of_single_classes_of_what_is_hidden_are_left_out(load):
    race = RANDOM.choice(["a", "b", "c"], N)
    dummies = {f"race_{name}": (race == name).astype(int) for name in "abc"}
    population, notices = load(FRAME.assign(race=race, **dummies, tall=FRAME["height"] > 170), private=("race",))
    assert not kinds(population).keys() & dummies.keys()
    assert "tall" in kinds(population)
    assert any("copies of what is hidden: 'race_a' (of 'race'), 'race_b'" in notice for notice in notices)


def test_a_task_that_is_what_is_hidden_is_named(load):
    _, notices = load(FRAME.assign(gender=np.where(SEX == "male", "M", "F")), tasks=("gender", "income"))
    assert [notice for notice in notices if notice.startswith("task")] == [
        "task 'gender' says what 'sex' says, which is hidden: no release can keep it"
    ]


def test_a_decimal_comma_means_the_same_in_one_row_as_in_many(load):
    weight = [f"{value:.3f}".replace(".", ",") for value in RANDOM.uniform(1, 3, N)]
    population, _ = load(FRAME.assign(weight=weight), "parquet")
    columns = population.contributors.description.columns
    whole = encode_frame(FRAME.assign(weight=weight), columns)
    alone = np.concatenate([encode_frame(FRAME.assign(weight=weight).iloc[[i]], columns) for i in range(20)])
    np.testing.assert_array_equal(alone, whole[:20])


def test_decimals_are_numbers_or_if_long_identifiers(load):
    price = [decimal.Decimal(f"{value:.2f}") for value in RANDOM.uniform(1, 3, N)]
    long = [decimal.Decimal(10**20 + i) for i in range(N)]
    population, notices = load(FRAME.assign(price=price, customer=long), "parquet")
    assert kinds(population)["price"] == "numeric"
    assert "customer" not in kinds(population)
    assert any("left out, as identifiers" in notice and "'customer'" in notice for notice in notices)


def test_numbers_among_many_other_words_are_named(load):
    sizes = with_strays([f"{value:.1f}" for value in RANDOM.normal(70, 9, N).round(0)], "-", int(0.6 * N))
    _, notices = load(FRAME.assign(size=sizes))
    assert any("taken as categories, though many of the values are numbers: 'size'" in notice for notice in notices)


def test_infinite_numbers_are_missing_and_counted(load):
    weight = RANDOM.normal(70, 9, N)
    weight[:3] = np.inf
    _, notices = load(FRAME.assign(weight=weight), "parquet")
    assert "table 'people.parquet': numbers that are infinite or too large are missing: 'weight' (3 rows)" in notices


def test_classes_of_tasks_have_their_names_where_they_cannot_be_measured(load):
    task = np.where(np.arange(N) < 2, "rare", np.where(RANDOM.random(N) < 0.5, "low", "high"))
    population, _ = load(FRAME.assign(income=task))
    assert population.contributors.task_classes == {"income": ("high", "low", "rare")}
    assert truth_of(population.held_out).class_names["income"] == ("high", "low", "rare")
