"""Digits, names, avatars and tables of one's own."""

import datetime
import decimal
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data import names
from fl_tiprdc.data.avatars import VALUES, draw_avatars
from fl_tiprdc.data.crowd import PADDING
from fl_tiprdc.data.datasets import DATASETS, load_population
from fl_tiprdc.data.digits import LOOPS, slants
from fl_tiprdc.data.names import COUNTRIES, REGIONS, read_names, tokens
from fl_tiprdc.data.own_table import MANY
from fl_tiprdc.data.population import hold_out
from fl_tiprdc.data.table_file import read_table
from fl_tiprdc.errors import InputError
from fl_tiprdc.notices import DataNotice
from tests.avatar_law import information_bits, joint_distribution


def everybody(population, of):
    """What `of` gives of contributors and held-out people, in the order of the source: every record is a person."""
    crowds = (population.contributors, population.held_out)
    order = np.argsort(np.concatenate([crowd.participant for crowd in crowds]))
    return np.concatenate([of(crowd) for crowd in crowds])[order]


def same(a, b) -> bool:
    return all(
        np.array_equal(getattr(one, part), getattr(two, part))
        for one, two in ((a.contributors, b.contributors), (a.held_out, b.held_out))
        for part in ("x", "private", "participant")
    )


# ---- digits


@pytest.fixture(scope="module")
def digits():
    return load_population("digits", (), 0.2)


def test_digits_are_5000_of_mnist_500_of_each(digits):
    labels = everybody(digits, lambda crowd: crowd.tasks["digit"])
    assert np.bincount(labels).tolist() == [500] * 10
    x = everybody(digits, lambda crowd: crowd.x)
    assert (x.shape, x.dtype) == ((5000, 1, 28, 28), np.uint8)
    assert (x.min(), x.max()) == (0, 255)
    assert digits.contributors.description.modality == "image"
    assert len(digits.held_out) == 1000
    # MNIST puts the center of mass into the middle, give or take a pixel, and leaves a rim of four pixels
    ink = x[:, 0].astype(float)
    assert abs((ink.sum(1) @ np.arange(28) / ink.sum((1, 2))) - 14).max() < 1
    assert (x[:, 0, :4] == 0).mean() > 0.99
    # a nought has a hole in its middle, a one does not
    middle = ink[:, 13:15, 13:15].mean((1, 2))
    assert middle[labels == 0].mean() < 20 < 150 < middle[labels == 1].mean()


def test_digits_tasks_follow_from_the_digit(digits):
    for crowd in (digits.contributors, digits.held_out):
        digit = crowd.tasks["digit"]
        assert set(crowd.tasks) == {"digit", "parity", "loop", "thickness"}
        assert np.array_equal(crowd.tasks["parity"], digit % 2)
        assert np.array_equal(crowd.tasks["loop"], np.isin(digit, LOOPS))
    ink = digits.contributors.x.mean((1, 2, 3))
    assert np.array_equal(digits.contributors.tasks["thickness"], ink > np.median(ink))


def stroke(lean: float) -> np.ndarray:
    """A straight stroke from top to bottom whose top is `lean` columns to the right of its bottom."""
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    for row in range(4, 24):
        image[0, row, round(14 + lean * (13.5 - row) / 19)] = 200
    return image


def test_slant_of_drawn_strokes():
    right, upright, left, blank = slants(np.stack([stroke(10), stroke(0), stroke(-10), np.zeros((1, 28, 28), "u1")]))
    assert right == pytest.approx(-10 / 19, abs=0.03)  # columns a row, on the way down
    assert left == pytest.approx(10 / 19, abs=0.03)
    assert upright == blank == 0
    bright = np.stack([stroke(10) // 2, np.roll(stroke(10), 3, axis=2)])
    assert slants(bright) == pytest.approx([right, right])  # neither ink nor place matters


def test_slant_is_split_at_the_contributors_median(digits):
    crowd = digits.contributors
    slant = slants(crowd.x)
    assert np.array_equal(crowd.private[:, 0], slant > np.median(slant))
    assert np.array_equal(digits.held_out.private[:, 0], slants(digits.held_out.x) > np.median(slant))
    assert np.median(slant) < 0  # most people write with a lean to the right


@pytest.mark.parametrize(
    ("private", "tasks"),
    [
        ("digit", {"thickness"}),
        ("parity", {"loop", "thickness"}),
        ("loop", {"parity", "thickness"}),
        ("thickness", {"digit", "parity", "loop"}),
    ],
)
def test_digits_no_task_is_tied_to_what_is_hidden(private, tasks):
    crowd = load_population("digits", (private,), 0.2).contributors
    assert set(crowd.tasks) == tasks
    (attribute,) = crowd.description.attributes
    assert len(attribute.classes) == (10 if private == "digit" else 2)


def test_digits_settings():
    population = load_population("digits", ("digit",), 0.2, DataConfig(tasks=("slant",), records=300, size=(14, 20)))
    assert set(population.contributors.tasks) == {"slant"}
    assert population.contributors.x.shape == (240, 1, 14, 20)
    drawn = everybody(population, lambda crowd: crowd.private[:, 0])
    assert np.bincount(drawn).min() > 10  # of a file that is sorted by digit
    whole = load_population("digits", ("digit",), 0.2, DataConfig(records=300)).contributors
    assert population.contributors.x.mean() == pytest.approx(whole.x.mean(), rel=0.05)


# ---- names


@pytest.fixture(scope="module")
def people():
    return load_population("names", (), 0.2)


@pytest.fixture(scope="module")
def listed():
    return names._names().set_index("name")


def line(gender, name, sorting=" ", **levels) -> str:
    """A line as the file has it; levels by country."""
    frequency = "".join(levels.get(country.split()[-1].lower(), " ") for country in COUNTRIES)
    return f"{gender:<3}{name:<26}{sorting}{frequency} $"


def test_names_real_facts(listed):
    assert len(COUNTRIES) == 54  # and a column of other countries
    assert len(listed) > 36_000
    assert listed.index.is_unique
    assert 0.45 < (listed["gender"] == "female").mean() < 0.55
    for name, gender, region in (
        ("giuseppe", "male", "south-west Europe"),
        ("maría", "female", "south-west Europe"),
        ("wojciech", "male", "east Europe"),
        ("aage", "male", "north-west Europe and USA"),
        ("fatima", "female", "west and central Asia"),
        ("yuki", "female", "south and east Asia"),
    ):
        assert listed.loc[name, ["gender", "region"]].tolist() == [gender, region]
    assert listed.loc["john", "frequency"] > 10 * listed.loc["aadje", "frequency"]
    assert set(listed["region"]) == set(REGIONS)
    assert listed["region"].value_counts(normalize=True).min() > 0.05
    assert not listed.index.str.contains("[+ ]").any()


def test_names_agree_with_the_package_they_come_from(listed):
    from gender_guesser.detector import Detector

    detector = Detector(case_sensitive=False)
    for name, gender in listed["gender"].sample(300, random_state=0).items():
        assert detector.get_gender(name).removeprefix("mostly_") == gender, name


def test_names_x_spells_the_names(people, listed):
    crowd = people.contributors
    assert crowd.description.modality == "text"
    assert crowd.x.dtype == np.int32
    assert crowd.x.shape == (len(crowd), 16)
    lengths = (crowd.x != PADDING).sum(1)
    written = listed.index[crowd.participant]
    assert np.array_equal(lengths, np.minimum(written.str.len(), 16))
    assert (np.diff((crowd.x == PADDING).astype(int), axis=1) >= 0).all()  # padding is at the end
    position = {name: i for i, name in enumerate(written)}
    anna = next(crowd.x[position[name]] for name in ("anna", "emme", "otto", "hannah") if name in position)
    assert len(set(anna[anna != PADDING].tolist())) < (anna != PADDING).sum()
    # same letters, same tokens: nothing but the 'other' token has two letters
    letters: dict[int, set[str]] = {}
    for row, name in zip(crowd.x, written, strict=True):
        for token, letter in zip(row.tolist(), name, strict=False):
            letters.setdefault(token, set()).add(letter)
    assert {token for token, found in letters.items() if len(found) > 1} == {names.OTHER}
    assert len(letters) == crowd.description.vocabulary - 1  # all but padding


def test_names_labels_are_those_of_the_list(people, listed):
    (gender,) = people.contributors.description.attributes
    assert (gender.name, gender.classes) == ("gender", ("female", "male"))
    median = listed["frequency"].iloc[people.contributors.participant].median()
    for crowd in (people.contributors, people.held_out):
        rows = listed.iloc[crowd.participant]
        assert np.array_equal(crowd.private[:, 0], rows["gender"] == "male")
        assert np.array_equal(np.array(sorted(REGIONS))[crowd.tasks["region"]], rows["region"])
        assert np.array_equal(crowd.tasks["frequency"], rows["frequency"] > median)


def test_names_another_attribute_may_be_private():
    crowd = load_population("names", ("region", "frequency"), 0.2, DataConfig(records=2000)).contributors
    assert crowd.description.classes == (5, 2)
    assert set(crowd.tasks) == {"gender"}
    assert len(crowd) == 1600


def test_lines_of_the_file_of_names():
    found = read_names(
        [
            "# comment",
            line("M", "Otto", germany="5"),
            line("M", "OTTO", sweden="7", germany="3"),  # once more: the most frequent line counts, by country
            line("?M", "Kim", korea="2"),
            line("1F", "Jun+Wei", china="A"),
            line("F", "Ödül", "+", turkey="3"),  # repeated for another sorting
            line("F", "İnci", turkey="3"),
            line("?", "Sascha", germany="4"),
            line("F", "Andrea", germany="6"),
            line("M", "Andrea", italy="8"),
            line("F", "Nowhere"),
            line("=", "Bob Robert"),
            line("F", "Tie", spain="4", poland="4", russia="4"),
            line("F", "Even", spain="4", poland="4"),
        ]
    ).set_index("name")
    assert found.index.tolist() == ["even", "inci", "junwei", "kim", "otto", "tie"]
    assert found["gender"].tolist() == ["female", "female", "female", "male", "male", "female"]
    assert found.loc["otto", "region"] == "north-west Europe and USA"
    assert found.loc["otto", "frequency"] == pytest.approx(2 / 2**3 + 2 / 2**5)  # percent; A is 2
    assert found.loc["junwei", "frequency"] == 2
    assert found.loc["tie", "region"] == "east Europe"  # in more of its countries
    assert found.loc["even", "region"] == "south-west Europe"  # the first of two equals
    assert found.loc["kim", "region"] == "south and east Asia"


def test_tokens_come_from_contributors_only():
    some = ["abba"] * 30 + ["ab€"] * 10 + ["zzzzzzzzz"] * 30
    known = np.array([True] * 40 + [False] * 30)
    x, vocabulary = tokens(some, known)
    assert vocabulary == 4  # padding, other, a, b
    assert x[[0, 30, 40]].tolist() == [[2, 3, 3, 2], [2, 3, 1, 0], [1, 1, 1, 1]]


def test_names_without_their_package(monkeypatch):
    names._names.cache_clear()
    monkeypatch.setitem(sys.modules, "gender_guesser", None)
    with pytest.raises(InputError, match=r"gender-guesser: pip install 'fl-tiprdc\[names\]'$"):
        load_population("names", (), 0.2)


def test_a_file_of_names_without_names():
    with pytest.raises(InputError, match="none whose gender and country are known"):
        read_names(["# comment", line("?", "Sascha", germany="4")])


# ---- avatars


def test_avatars_follow_their_exact_law():
    for correlation in (-1.0, -0.4, 0.0, 0.7, 1.0):
        config = DataConfig(correlation=correlation)
        law = joint_distribution(("shape",), config)
        assert law.sum() == pytest.approx(1)
        _, frame = draw_avatars(8000, (16, 16), ("shape", "color"), correlation)
        bits = np.stack([frame[name] == values[1] for name, values in VALUES.items()], axis=1).astype(int)
        found = np.bincount(bits @ (2 ** np.arange(5)[::-1]), minlength=32) / 8000
        error = np.sqrt(law * (1 - law) / 8000).ravel()
        assert (abs(found - law.ravel()) <= 4 * error).all()
        assert np.corrcoef(bits[:, 0], bits[:, 2])[0, 1] == pytest.approx(correlation, abs=0.04)
        # the closed form is the information of the law: sum p log p / (p q)
        pair = law.sum((1, 3, 4))
        positive = pair > 0
        bits_of_law = (pair * np.log2(np.where(positive, pair, 1) / np.outer(pair.sum(1), pair.sum(0))))[positive].sum()
        assert information_bits(config) == pytest.approx(bits_of_law, abs=1e-12)
        others = law.sum((0, 2)).ravel()
        assert others == pytest.approx([1 / 8] * 8)
    assert [information_bits(DataConfig(correlation=r)) for r in (-1, 0, 1)] == [1, 0, 1]


def test_avatars_correlate_the_first_private_attribute_with_the_first_task():
    config = DataConfig(records=4000, size=(16, 16), tasks=("position", "shape"), correlation=-0.8)
    crowd = load_population("avatars", ("hat", "color"), 0.2, config).contributors
    assert list(crowd.tasks) == ["position", "shape"]
    found = np.corrcoef([*crowd.private.T, *crowd.tasks.values()])
    assert found[0, 2] == pytest.approx(-0.8, abs=0.05)
    assert abs(found[np.triu_indices(4, 1)]) == pytest.approx([0, 0.8, 0, 0, 0, 0], abs=0.07)
    law = joint_distribution(("hat", "color"), config)
    assert law.sum((0, 2, 3)) == pytest.approx(np.array([[0.05, 0.45], [0.45, 0.05]]))  # hat, position


def test_avatars_show_their_attributes():
    images, frame = draw_avatars(600, (64, 64), ("shape", "color"), 0.0)
    red, green, blue = images.astype(int).transpose(1, 0, 2, 3)
    head = (abs(red - blue) > 60) & (green < 100)  # the background is gray, the hat yellow
    hat = (abs(red - blue) > 60) & (green > 150)
    assert np.array_equal(hat.any((1, 2)), frame["hat"] == "hat")
    assert np.array_equal(((red - blue) * head).sum((1, 2)) > 0, frame["color"] == "red")
    assert np.array_equal(images[:, :, -2:].mean((1, 2, 3)) > 125, frame["background"] == "light")
    center = head.sum(1) @ np.arange(64) / head.sum((1, 2))
    assert np.array_equal(center > 31.5, frame["position"] == "right")
    # of the lower half, which no hat covers: a square fills its box, a half disc pi/4 of it
    for picture, shape in zip(head, frame["shape"], strict=True):
        rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
        lower = picture[rows[-1] - 9 : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (lower.mean() > 0.95) == (shape == "square")
    area = pd.Series(head.sum((1, 2))[frame["hat"] == "bare"]).groupby(frame["shape"][frame["hat"] == "bare"].array)
    assert area.mean()["round"] == pytest.approx(area.mean()["square"], rel=0.05)  # size gives nothing away
    assert len(np.unique(images.reshape(600, -1), axis=0)) == 600


def test_avatars_defaults_and_determinism():
    once, again = (load_population("avatars", (), 0.2) for _ in range(2))
    assert same(once, again)
    crowd = once.contributors
    assert (crowd.x.shape, crowd.x.dtype) == ((4000, 3, 32, 32), np.uint8)
    assert list(crowd.tasks) == ["color", "background", "position"]
    assert crowd.description.attributes[0].classes == ("round", "square")
    few = everybody(load_population("avatars", (), 0.2, DataConfig(records=700)), lambda crowd: crowd.x)
    assert np.array_equal(few, everybody(once, lambda crowd: crowd.x)[:700])  # more begin with the same ones


# ---- wrong values of all three


@pytest.mark.parametrize(
    ("dataset", "private", "settings", "why"),
    [
        ("digits", ("writer",), {}, "unknown private attribute 'writer': choose one of slant, digit, parity"),
        ("digits", (), {"tasks": ("color",)}, "unknown task 'color': choose one of slant, digit"),
        ("digits", ("parity",), {"tasks": ("loop", "digit")}, "'digit' is tied to what is hidden: choose from slant"),
        ("digits", ("digit", "thickness"), {}, "leaves no task"),
        ("digits", (), {"records": 1}, "fewer than two people"),
        ("names", ("age",), {}, "unknown private attribute 'age': choose one of gender, region, frequency"),
        ("names", (), {"tasks": ("gender",)}, "'gender' is tied to what is hidden: choose from region, frequency"),
        ("names", ("gender", "region", "frequency"), {}, "leaves no task"),
        ("names", ("gender", "region", "frequency"), {"tasks": ("region",)}, "none is left"),
        ("avatars", ("nose",), {}, "unknown private attribute 'nose': choose one of shape, hat"),
        ("avatars", (), {"tasks": ("hat", "shape")}, "'shape' is tied to what is hidden"),
        ("avatars", ("color", "background", "position"), {}, "leaves no task"),
        ("avatars", (), {"size": (8, 40)}, "size is 8x40: avatars need at least 16x16"),
        ("avatars", (), {"records": 10**7}, "10000000 avatars of 32x32 need 28.6 GiB"),
    ],
)
def test_settings_that_cannot_be(dataset, private, settings, why):
    with pytest.raises(InputError, match=why) as error:
        load_population(dataset, private, 0.2, DataConfig(**settings))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dataset", ["digits", "names"])
def test_the_same_records_every_time(dataset):
    config = DataConfig(records=500)
    assert same(*(load_population(dataset, (), 0.2, config) for _ in range(2)))
    assert DATASETS[dataset].private


# ---- a table of one's own


def a_frame(n=60) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "sex": np.where(np.arange(n) % 2, "m", "f"),
            "paid": np.where(np.arange(n) % 3, "yes", "no"),
            "age": generator.integers(18, 90, n),
            "height": generator.normal(170, 10, n).round(1),
            "city": generator.choice(["Ulm", "Bern", "Graz"], n),
            "member": generator.integers(0, 2, n).astype(bool),
            "since": [f"2024-01-{1 + i % 28:02}" for i in range(n)],
            "who": np.arange(n) // 2 + 7,
        }
    )


@pytest.fixture
def load(tmp_path):
    """Writes a frame (or text) as a file and loads it; a notice is an error unless it is expected."""

    def load(content, private=("sex",), tasks=("paid",), kind="csv", notices="error", **settings):
        path = tmp_path / f"people.{kind}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content)
        else:
            content.to_csv(path, index=False) if kind == "csv" else content.to_parquet(path)
        with warnings.catch_warnings():
            warnings.simplefilter(notices, DataNotice)
            return load_population("table", private, 0.2, DataConfig(file=path, tasks=tasks, **settings))

    return load


@pytest.fixture
def load_with_notice(load):
    """As `load`; returns the population and the notices."""

    def both(*arguments, **named):
        with warnings.catch_warnings(record=True) as caught:
            population = load(*arguments, notices="always", **named)
        return population, [str(notice.message) for notice in caught if notice.category is DataNotice]

    return both


def spans(population) -> dict[str, slice]:
    return {column.name: column.span for column in population.contributors.description.columns}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_mixed_columns(load, kind):
    frame = a_frame()
    population = load(frame, kind=kind, participant="who")
    kinds = {column.name: column.kind for column in population.contributors.description.columns}
    assert kinds == {
        "age": "numeric",
        "height": "numeric",
        "city": "categorical",
        "member": "categorical",
        "since": "numeric",
    }
    place = spans(population)
    crowds = (population.contributors, population.held_out)
    assert {len(np.unique(crowd.participant)) for crowd in crowds} == {24, 6}
    assert set(crowds[0].participant).isdisjoint(crowds[1].participant)
    known = ~hold_out(np.arange(60) // 2, 0.2)
    rows = frame[known]
    x = crowds[0].x
    assert np.array_equal(crowds[0].private[:, 0], rows["sex"] == "m")
    assert np.array_equal(crowds[0].tasks["paid"], rows["paid"] == "yes")
    day = rows["since"].str[-2:].astype(int)
    for name, values in (("age", rows["age"]), ("since", day)):
        np.testing.assert_allclose(x[:, place[name].start], (values - values.mean()) / values.std(ddof=0), atol=1e-5)
    assert np.array_equal(np.array(["Bern", "Graz", "Ulm"])[x[:, place["city"]].argmax(1)], rows["city"])


def test_missing_values_of_a_table(load_with_notice):
    frame = a_frame()
    known = np.flatnonzero(~hold_out(np.arange(57), 0.2)) + 3  # after three rows are gone
    frame["age"] = frame["age"].astype("Int64")
    frame["member"] = frame["member"].astype(object)
    frame.loc[known[0], ["age", "city", "member"]] = [pd.NA, None, None]
    frame.loc[known[1], "height"] = np.inf
    frame.loc[:1, "sex"] = None
    frame.loc[2, "paid"] = None
    for kind in ("csv", "parquet"):
        population, said = load_with_notice(frame.drop(columns="who"), kind=kind)
        infinite, missing = said
        assert infinite.endswith("numbers that are infinite or too large are missing: 'height' (1 row)")
        assert missing == "left out 3 of 60 rows, where a value is missing: 'sex' (2), 'paid' (1)"
        x, place = population.contributors.x, spans(population)
        assert len(x) == len(known)
        categories = {column.name: column.categories for column in population.contributors.description.columns}
        assert categories["city"] == ("(missing)", "Bern", "Graz", "Ulm")
        assert categories["member"] == ("(missing)", "False", "True")
        assert np.flatnonzero(x[:, place["city"].start]).tolist() == [0]
        for name, row in (("age", 0), ("height", 1)):
            assert np.flatnonzero(x[:, place[f"{name} missing"].stop - 1]).tolist() == [row]
            number = x[:, place[name].start]
            assert number[row] == pytest.approx(np.median(np.delete(number, row)), abs=1e-6)


def test_identifiers_and_free_text_are_left_out_and_named(load_with_notice):
    frame = a_frame(400).assign(
        row=np.arange(1, 401),
        remark=[f"said {i}" for i in range(400)],
        street=[f"street {i % (MANY + 50)}" for i in range(400)],
    )
    population, said = load_with_notice(frame)
    (notice,) = said
    streets = frame["street"][~hold_out(np.arange(400), 0.2)].nunique()
    assert f"'row' (numbers the rows), 'remark' (320 values), 'street' ({streets} values); to keep one" in notice
    assert {"row", "remark", "street"}.isdisjoint(spans(population))
    frame.index = frame.index * 3  # in a CSV, a column without a name
    _, (notice,) = load_with_notice(frame.to_csv(), columns=dict.fromkeys(["row", "remark", "street"], "ignore"))
    assert notice.startswith("left out, as identifiers or free text: '(column 1)' (numbers the rows); to keep")
    columns = {"row": "number", "street": "category", "remark": "ignore", "who": "ignore", "age": "category"}
    population, said = load_with_notice(frame, columns=columns)
    assert said == []
    assert {"row", "street", "age"} < set(spans(population))
    assert {"remark", "who"}.isdisjoint(spans(population))
    age = next(column for column in population.contributors.description.columns if column.name == "age")
    assert {"18", "89"} < set(age.categories)


def test_labels_of_numbers(load_with_notice):
    frame = a_frame().assign(grade=np.arange(60) % 4)
    population, said = load_with_notice(frame, private=("age",), tasks=("grade", "height", "member"))
    known = ~hold_out(np.arange(60), 0.2)
    age, height = frame["age"][known].median(), frame["height"][known].median()
    assert said[0] == (
        f"private attribute 'age' has {frame['age'][known].nunique()} different numbers: split at the median, {age:g}"
    )
    assert said[1].startswith("task 'height' has")
    crowd = population.contributors
    assert np.array_equal(crowd.private[:, 0], frame["age"][known] > age)
    assert np.array_equal(crowd.tasks["grade"], frame["grade"][known])  # few numbers are classes
    assert np.array_equal(crowd.tasks["height"], frame["height"][known] > height)
    assert np.array_equal(crowd.tasks["member"], frame["member"][known])
    assert {"age", "grade", "height", "member"}.isdisjoint(spans(population))
    # few numbers are classes when private, too, unless the user says otherwise
    four, _ = load_with_notice(frame, private=("grade",))
    assert four.contributors.description.classes == (4,)
    two, _ = load_with_notice(frame, private=("grade",), columns={"grade": "number"})
    assert two.contributors.description.classes == (2,)


def test_kinds_that_parquet_has(load):
    frame = a_frame().drop(columns=["since", "who"])
    frame["born"] = pd.to_datetime("2000-01-01") + pd.to_timedelta(np.arange(60) * 36, unit="h")
    frame["seen"] = [datetime.date(2020, 1, 1) + datetime.timedelta(days=i % 20) for i in range(60)]
    frame["waited"] = pd.to_timedelta(np.arange(60) % 7, unit="h")
    frame["price"] = [decimal.Decimal(i % 9) / 4 for i in range(60)]
    frame["level"] = pd.Categorical(np.where(np.arange(60) % 4 > 1, "low", "high"))
    population = load(frame, kind="parquet")
    kinds = {column.name: column.kind for column in population.contributors.description.columns}
    numbers = {"born", "seen", "waited", "price"}
    assert {name for name in numbers if kinds[name] == "numeric"} == numbers
    assert kinds["level"] == "categorical"
    known = ~hold_out(np.arange(60), 0.2)
    found = population.contributors.x[:, spans(population)["born"].start]
    assert np.corrcoef(found, np.arange(60)[known])[0, 1] == pytest.approx(1)


def test_held_out_rows_do_not_change_what_contributors_have(load):
    frame, out = a_frame().drop(columns="who"), hold_out(np.arange(60), 0.2)
    before = load(frame).contributors
    frame.loc[out, "age"] = 4000
    frame.loc[out, "height"] = np.nan
    frame.loc[out, "city"] = [f"city {i}" for i in range(out.sum())]
    after = load(frame).contributors
    assert np.array_equal(before.x, after.x)
    assert before.description == after.description


def test_some_records_of_a_table(load):
    few = load(a_frame(), records=30, participant="who")
    assert len(few.contributors) + len(few.held_out) == 30
    assert same(few, load(a_frame(), records=30, participant="who"))


GOOD = "sex,paid,age\n" + "".join(f"{'mf'[i % 2]},{i % 3},{i % 7}\n" for i in range(30))


def test_a_plain_csv_with_a_byte_order_mark_and_spaces(load):
    plain = load(GOOD)
    assert same(plain, load(b"\xef\xbb\xbf" + GOOD.replace(",", ", ").encode()))
    assert same(plain, load(GOOD.replace("\n", "\r\n")))


@pytest.mark.parametrize(
    ("content", "kind", "why"),
    [
        ("", "csv", "is empty"),
        ("sex,paid,age\n", "csv", "has no rows"),
        ("sex,paid,sex\nm,1,2\n", "csv", "has 2 columns 'sex'"),
        (GOOD + "m,1,2,3\n", "csv", "line 32 has 4 values, the header in line 1 names 3 columns"),
        ("sex,paid\nm,1,2\nf,0,3\n", "csv", "line 2 has 3 values, the header in line 1 names 2 columns"),
        (GOOD + 'm,"1,2\nf,1,3\n', "csv", "a quote in line 32 has no end"),
        (b"sex,paid,age\n\x81\xfe,1,2\n", "csv", "line 2 is not UTF-8; save the file as UTF-8"),
        (b"PK\3\4\0\0", "csv", "is no text"),
        (GOOD, "parquet", "cannot read table"),
        ("", "parquet", "cannot read table"),
        (GOOD, "xlsx", "ends in .csv or .parquet"),
    ],
)
def test_files_that_cannot_be_read(content, kind, why, load, tmp_path):
    with pytest.raises(InputError, match=why) as error:
        load(content, kind=kind) if kind != "parquet" else load(content.encode(), kind=kind)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_parquet_with_an_index_and_with_a_repeated_column(load, tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "indexed.parquet"
    a_frame().set_index("city").to_parquet(path)
    assert set(read_table(path).columns) == set(a_frame().columns)  # a named index is a column
    a_frame()[::2].to_parquet(path)
    assert list(read_table(path).columns) == list(a_frame().columns)  # row numbers are none
    a_frame().sample(frac=1, random_state=0).to_parquet(path)
    with pytest.warns(DataNotice, match=r"the index of its rows, which has no name, is not used: rows are taken in"):
        read_table(path)
    path = tmp_path / "twice.parquet"
    pyarrow.parquet.write_table(pyarrow.table([[1, 2], [3, 4]], names=["sex", "sex"]), path)
    with pytest.raises(InputError, match="has 2 columns 'sex'"):
        read_table(path)


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_text_is_missing_in_every_kind_of_file(tmp_path, blank):
    frame = a_frame()
    frame.loc[[3, 7], "sex"] = blank
    frame.loc[[5], "city"] = blank
    frame.to_csv(tmp_path / "people.csv", index=False)
    frame.to_parquet(tmp_path / "people.parquet")
    for kind in ("csv", "parquet"):
        found = read_table(tmp_path / f"people.{kind}")
        assert np.flatnonzero(found["sex"].isna()).tolist() == [3, 7], kind
        assert found["city"].isna()[5], kind


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_can_be_named_whatever_blanks_and_line_breaks_their_names_have(tmp_path, kind):
    path = tmp_path / f"people.{kind}"
    frame = a_frame().rename(columns={"sex": " sex ", "city": "city\nof birth"})
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    assert {"sex", "city of birth"} <= set(read_table(path).columns)
    twins = frame.assign(sex=frame[" sex "])
    twins.to_parquet(tmp_path / "twins.parquet")
    assert {" sex ", "sex"} <= set(read_table(tmp_path / "twins.parquet").columns)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="name a table: --data FILE"):
        load_population("table", ("sex",), 0.2)
    for name in ("missing.csv", "missing.parquet"):
        with pytest.raises(InputError, match=r"cannot read table '.*': No such file") as error:
            read_table(tmp_path / name)
        assert "\n" not in str(error.value)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        read_table(tmp_path / "folder.csv")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"private": ()}, "name what to hide: --private COLUMN"),
        ({"tasks": ()}, "name what to predict: --tasks COLUMN"),
        ({"private": ("gender",)}, "unknown private attribute 'gender': choose from sex, paid"),
        ({"tasks": ("paid", "income")}, "unknown task 'income'"),
        ({"participant": "name"}, "unknown participant column 'name'"),
        ({"columns": {"hight": "number"}}, "unknown column in data.columns 'hight'"),
        ({"tasks": ("sex",)}, "column 'sex' is named twice"),
        ({"participant": "sex"}, "column 'sex' is named twice"),
        ({"columns": {"sex": "ignore"}}, "column 'sex' is ignored in data.columns"),
        ({"columns": {"city": "number"}}, "column 'city' cannot be numbers: it has '(Ulm|Bern|Graz)'"),
        (
            {"columns": dict.fromkeys(["age", "height", "city", "member", "since", "who", "mostly"], "ignore")},
            "no feature column",
        ),
        ({"private": ("one",)}, "private attribute 'one' has a single value, '1'"),
        ({"tasks": ("paid", "one")}, "task 'one' has a single value, '1'"),
        ({"tasks": ("mostly",)}, "task 'mostly' cannot be split: most of its values are 99"),
        ({"tasks": ("id",)}, "task 'id' has 320 values: at most 100 classes"),
        ({"tasks": ("none",)}, "no row has a value in each of sex, none; most are missing in 'none'"),
        ({"participant": "one"}, "fewer than two people"),
    ],
)
def test_columns_that_cannot_be(changes, why, load_with_notice):
    frame = a_frame(400).assign(one=1, mostly=np.maximum(np.arange(400) - 300, 0), id=[f"p{i}" for i in range(400)])
    frame["mostly"] = np.where(frame["mostly"] < 20, 99 - frame["mostly"] * (frame["mostly"] > 0), 99)
    frame["none"] = np.nan
    with pytest.raises(InputError, match=why) as error:
        load_with_notice(frame, **changes)
    assert "\n" not in str(error.value)


def test_a_category_of_more_values_than_x_may_have_columns(load):
    frame = a_frame(2500).drop(columns="who").assign(id=[f"p{i}" for i in range(2500)])
    with pytest.raises(InputError, match="column 'id' has 2000 values: a category may have 1000; ignore it instead"):
        load(frame, columns={"id": "category"})


def test_what_is_left_out_is_a_warning(tmp_path):
    path = tmp_path / "people.csv"
    a_frame().assign(remark=[f"said {i}" for i in range(60)]).to_csv(path, index=False)
    config = DataConfig(file=path, tasks=("paid",))
    with pytest.warns(DataNotice, match=r"left out.*'remark' \(48 values\); to keep one, set data.columns.NAME"):
        load_population("table", ("sex",), 0.2, config)
