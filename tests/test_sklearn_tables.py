"""The transformer on data frames: columns typed one by one, gaps, private columns among them, files without pickles."""

import warnings

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
from sklearn.base import clone

from fl_tiprdc.errors import InputError
from fl_tiprdc.extractor.private_columns import require_same_rows
from fl_tiprdc.extractor.released import Extractor
from fl_tiprdc.extractor.transformer import TiprdcTransformer
from fl_tiprdc.notices import DataNotice

TINY = {"steps": 2, "representation": 4, "hidden": (8,), "random_state": 0}


def people(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns = pd.DataFrame(
        {
            "age": rng.integers(17, 80, n),
            "weight": np.where(rng.random(n) < 0.1, np.nan, rng.normal(70, 9, n)),
            "town": pd.Series(rng.choice(["Ulm", "Bonn"], n)).where(rng.random(n) > 0.1, None),
            "grade": pd.Series(rng.choice(["1", "2", "3"], n), dtype="category"),
            "smokes": rng.random(n) < 0.3,
            "born": pd.Timestamp("1980-01-01") + pd.to_timedelta(rng.integers(0, 9999, n), unit="D"),
            "sex": rng.choice(["f", "m"], n),
        }
    )
    return columns.set_index(pd.RangeIndex(1000, 1000 + n))


@pytest.mark.parametrize("foreign", [polars.from_pandas, pa.Table.from_pandas])
def test_frames_of_other_libraries_are_taken_as_pandas_own(foreign):
    frame = people().reset_index(drop=True)
    ours = TiprdcTransformer(**TINY).fit(frame.drop(columns="sex"), frame["sex"])
    theirs = TiprdcTransformer(**TINY).fit(foreign(frame.drop(columns="sex")), foreign(frame[["sex"]]))
    assert theirs.extractor_.description == ours.extractor_.description
    assert list(theirs.feature_names_in_) == list(ours.feature_names_in_)
    released = ours.transform(frame.drop(columns="sex"))
    np.testing.assert_allclose(theirs.transform(foreign(frame.drop(columns="sex"))), released, atol=1e-6)
    np.testing.assert_allclose(
        ours.extractor_.transform(foreign(frame), key=0), ours.extractor_.transform(frame, key=0)
    )


def test_each_column_of_a_frame_is_typed_by_its_values():
    frame = people()
    transformer = TiprdcTransformer(**TINY).fit(frame.drop(columns="sex"), frame["sex"])
    columns = transformer.extractor_.description.columns
    assert {column.name: column.categories or column.kind for column in columns} == {
        "age": "numeric",
        "weight": "numeric",
        "weight missing": ("no", "yes"),
        "town": ("(missing)", "Bonn", "Ulm"),
        "grade": ("1", "2", "3"),
        "smokes": ("False", "True"),
        "born": "numeric",
    }
    assert transformer.n_features_in_ == 6
    z = transformer.transform(frame.drop(columns="sex"))
    assert z.shape == (300, 4)
    assert np.allclose(transformer.transform(frame.drop(columns="sex")[7:9]), z[7:9], atol=1e-5)
    assert np.array_equal(clone(transformer).fit_transform(frame.drop(columns="sex"), private=frame["sex"]), z)


def test_the_private_column_itself_is_no_feature_and_gives_the_attribute_its_name():
    frame = people()
    with_it = TiprdcTransformer(**TINY).fit(frame, private=frame["sex"])
    without = TiprdcTransformer(**TINY).fit(frame.drop(columns="sex"), private=frame["sex"])
    assert with_it.extractor_.description == without.extractor_.description
    assert [attribute.name for attribute in with_it.extractor_.description.attributes] == ["sex"]
    assert np.array_equal(with_it.transform(frame), without.transform(frame.drop(columns="sex")))
    derived = TiprdcTransformer(**TINY).fit(frame, private=frame["age"] > 40)  # named age, and another thing
    assert "age" in {column.name for column in derived.extractor_.description.columns}


def test_several_private_columns_are_each_read_by_their_own_type():
    frame = people().assign(height=np.random.default_rng(1).normal(170, 9, 300))
    private = frame[["sex", "smokes", "height"]]
    transformer = TiprdcTransformer(**TINY).fit(frame, private=private)
    assert transformer.classes_[:2] == [("f", "m"), ("False", "True")]
    assert [name.split()[0] for name in transformer.classes_[2]] == ["<=", ">"]
    assert not {"sex", "smokes", "height"} & {column.name for column in transformer.extractor_.description.columns}


def test_a_saved_extractor_takes_the_frame_and_is_no_pickle(tmp_path):
    frame = people()
    transformer = TiprdcTransformer(**TINY).fit(frame, private=frame["sex"])
    transformer.extractor_.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = Extractor.load(tmp_path)
    assert np.array_equal(loaded.transform(frame, key=0), transformer.transform(frame))


def test_identifiers_and_texts_are_left_out_with_a_line_that_says_how_to_keep_them():
    frame = people(20).assign(name=[f"person {i}" for i in range(20)], number=range(20))
    with pytest.warns(DataNotice, match=r"'name' \(20 values\), 'number' .* give it the dtype \"category\" or float$"):
        TiprdcTransformer(**TINY).fit(frame, private=frame["sex"])
    kept = frame.astype({"name": "category", "number": float})
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataNotice)
        transformer = TiprdcTransformer(**TINY).fit(kept, private=frame["sex"])
    assert {"name", "number"} <= {column.name for column in transformer.extractor_.description.columns}


def test_a_frame_of_numbers_is_what_its_array_is():
    rng = np.random.default_rng(0)
    x, private = rng.normal(size=(90, 3)), rng.integers(0, 2, 90)
    of_array = TiprdcTransformer(**TINY).fit(x, private).transform(x)
    for frame in (pd.DataFrame(x, columns=["a", "b", "c"]), pd.DataFrame(x)):
        transformer = TiprdcTransformer(**TINY).fit(frame, private)
        assert np.array_equal(transformer.transform(frame), of_array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="age"), "feature names should match"),
        (lambda frame: frame[frame.columns[::-1]], "feature names should match"),
        (lambda frame: frame.assign(age="old"), "column 'age' cannot be numbers"),
        (lambda frame: frame[:0], "0 sample"),
    ],
)
def test_another_frame_than_in_the_fit_is_refused(change, message):
    frame = people()
    transformer = TiprdcTransformer(**TINY).fit(frame, private=frame["sex"])
    with pytest.raises(ValueError, match=message):
        transformer.transform(change(frame))


def test_a_private_label_that_is_missing_is_refused_by_its_row():
    frame = people()
    with pytest.raises(InputError, match=r"^private column 'town' has no value in row \d+$"):
        TiprdcTransformer(**TINY).fit(frame.drop(columns="town"), private=frame["town"].astype(object))
    with pytest.raises(InputError, match=r"^private column 'private' has no value in row 2$"):
        TiprdcTransformer(**TINY).fit(np.eye(3), np.array(["a", None, "b"], dtype=object))


def test_labels_in_another_order_than_the_records_are_refused():
    frame = people()
    private, records = frame["sex"], frame.drop(columns="sex")
    shuffled = private.sample(frac=1, random_state=0)
    with pytest.raises(InputError, match=r"index in another order: give private.loc\[X.index\]"):
        TiprdcTransformer(**TINY).fit(records, private=shuffled)
    with pytest.raises(InputError, match="index in another order"):
        require_same_rows(records, shuffled.to_frame())
    require_same_rows(records, shuffled.loc[records.index])
    require_same_rows(records, shuffled.reset_index(drop=True))  # an index of its own
    require_same_rows(records, shuffled.to_numpy())
    require_same_rows(records.to_numpy(), shuffled)


def test_two_columns_of_one_name_are_refused():
    frame = people().rename(columns={"weight": "age"})
    with pytest.raises(InputError, match="has a column twice"):
        TiprdcTransformer(**TINY).fit(frame, private=frame["sex"])


def test_a_copy_of_the_private_column_in_other_words_is_no_feature():
    frame = people()
    copied = frame.assign(gender=np.where(frame["sex"] == frame["sex"].iloc[0], "A", "B"))
    with pytest.warns(DataNotice, match="copies of what is hidden: 'gender'"):
        transformer = TiprdcTransformer(**TINY).fit(copied.drop(columns="sex"), private=copied["sex"])
    assert "gender" not in {column.name for column in transformer.extractor_.description.columns}


def test_marks_among_numbers_are_missing_in_the_fit_and_later():
    frame = people()
    marked = frame.assign(age=frame["age"].astype(str).mask(np.arange(len(frame)) % 10 == 0, "?")).drop(columns="sex")
    with pytest.warns(DataNotice):
        transformer = TiprdcTransformer(**TINY).fit(marked, private=frame["sex"])
    with pytest.warns(DataNotice, match="column 'age' is numbers, and '\\?' in 1 row is missing"):
        assert np.isfinite(transformer.transform(marked.iloc[[0]])).all()
