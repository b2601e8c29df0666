"""Columns of somebody else's publication: lists, arrays, texts and keys are read as they are meant, or refused."""

import datetime
import decimal
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from fl_tiprdc.data.table_file import read_table
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.evaluation.published import prepare_audit
from fl_tiprdc.evaluation.record_keys import KEYS, ROW_ORDER, join, key_text
from fl_tiprdc.notices import DataNotice

N = 60
Z = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)


def written(tmp_path, **columns):
    """A Parquet file with a column of numbers beside others."""
    path = tmp_path / "z.parquet"
    parquet.write_table(pa.table({"id": np.arange(N), "length": np.arange(N, dtype=np.float32), **columns}), path)
    return path


def tensor():
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(Z.reshape(N, 2, 3)))


def text_list(pattern, between):
    return [pattern.format(between.join(str(value) for value in row)) for row in Z]


LISTS = {
    "list": lambda: pa.array(Z.tolist()),
    "large list": lambda: pa.array(Z.tolist(), pa.large_list(pa.float32())),
    "fixed size": lambda: pa.FixedSizeListArray.from_arrays(pa.array(Z.ravel()), 6),
    "list in list": lambda: pa.array(Z.reshape(N, 2, 3).tolist()),
    "tensor": tensor,
    "struct": lambda: pa.array([{"a": row[:2], "b": {"c": row[2:5], "d": row[5]}} for row in Z.tolist()]),
    "json": lambda: text_list("[{}]", ", "),
    "numpy's text": lambda: text_list("[{}]", "  "),
    "tuple": lambda: text_list("({})", ","),
    "semicolons": lambda: text_list("{}", ";"),
    "nested text": lambda: [str(row) for row in Z.reshape(N, 2, 3).tolist()],
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_beside_a_number_is_audited_number_by_number(tmp_path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is left out
        found = read_publication(written(tmp_path, embedding=LISTS[kind]()))
    assert found.z.shape == (N, 7)
    rows = np.sort(found.z, axis=1)  # numbers of text come last
    np.testing.assert_allclose(rows, np.sort(np.column_stack([np.arange(N), Z]), axis=1), rtol=1e-6)
    assert list(found.keys.columns) == ["id"]


def test_a_list_alone_and_a_slice_of_one_are_read(tmp_path):
    whole = pa.table({"embedding": LISTS["fixed size"](), "other": LISTS["list"]()})
    parquet.write_table(whole.slice(7, 20), tmp_path / "z.parquet", row_group_size=3)
    np.testing.assert_array_equal(read_publication(tmp_path / "z.parquet").z, np.column_stack([Z[7:27], Z[7:27]]))


UNREADABLE = {
    "ragged": (lambda: [[1.0]] * 59 + [[1.0, 2.0]], "column 'what' .* has lists of 1 to 2 items"),
    "missing list": (lambda: [[1.0]] * 59 + [None], "column 'what' .* has no value in 1 of 60 rows"),
    "missing number": (lambda: [[1.0]] * 59 + [[None]], "missing, infinite or too large"),
    "bytes": (lambda: [b"abc"] * N, "column 'what' .* can't be read: binary"),
    "map": (
        lambda: pa.array([[("a", 1.0)]] * N, pa.map_(pa.string(), pa.float64())),
        "column 'what' .* can't be read: map",
    ),
    "nothing": (lambda: [None] * N, "column 'what' .* can't be read: null"),
    "free text": (lambda: [f"person {i}" for i in range(N)], r"text .* can't be read .* 'what' \(60 different texts\)"),
    "unlike lists": (lambda: [str(list(range(i))) for i in range(N)], r"'what' \(60 different texts\)"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cant_be_read_is_refused_by_name(tmp_path, kind):
    make, why = UNREADABLE[kind]
    with pytest.raises(InputError, match=why):
        read_publication(written(tmp_path, what=make()))


def test_numbers_in_other_clothes_are_numbers(tmp_path):
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=i) for i in range(N)]
    columns = {
        "decimal": [decimal.Decimal(i) / 4 for i in range(N)],
        "text": [f"{i}.5" for i in range(N)],
        "day": days,
        "when": pa.array(pd.to_datetime(pd.Series(days))),
        "dictionary": pa.array([i % 7 for i in range(N)]).dictionary_encode(),
        "truth": [i % 2 == 0 for i in range(N)],
    }
    z = read_publication(written(tmp_path, **columns)).z
    first = z[:, 1:] - z[:1, 1:]
    i = np.arange(N)
    expected = np.column_stack([i / 4, i, i, i % 7, (i % 2 == 0) * 1.0 - 1, i])  # the text comes last
    np.testing.assert_allclose(first, expected)


def test_all_arrays_of_an_archive_are_audited(tmp_path):
    cube, more = Z.reshape(N, 2, 3), np.arange(2.0 * N).reshape(N, 2)
    np.savez(tmp_path / "z.npz", z=cube, id=np.arange(N), more=more, one=np.arange(N))
    found = read_publication(tmp_path / "z.npz")
    np.testing.assert_array_equal(found.z, np.column_stack([Z, more, np.arange(N)]).astype(np.float32))
    np.savez(tmp_path / "z.npz", z=Z, sigma=0.5)
    with pytest.warns(DataNotice, match="the same for all records: sigma"):
        assert read_publication(tmp_path / "z.npz").z.shape == (N, 6)
    np.savez(tmp_path / "z.npz", z=Z, codebook=np.ones((3, 2)))
    with pytest.raises(InputError, match=r"array 'codebook' .* has shape"):
        read_publication(tmp_path / "z.npz")


# ---- indices and keys


@pytest.mark.parametrize("name", ["Unnamed: 0", "index", "level_0", "__index_level_0__", ""])
def test_an_index_without_a_name_is_no_number_of_the_representation(tmp_path, name):
    frame = pd.DataFrame(Z, columns=list("abcdef"))
    if name == "__index_level_0__":
        frame.sample(frac=1, random_state=0).sort_index().set_axis(np.arange(N) + 5).to_parquet(tmp_path / "z.parquet")
    else:
        frame.assign(**{name: np.arange(N)}).to_parquet(tmp_path / "z.parquet")
    with pytest.warns(DataNotice, match=r"left out of the publication.*\(numbers the rows\)"):
        np.testing.assert_array_equal(read_publication(tmp_path / "z.parquet").z, Z)


def test_an_index_among_labels_is_not_attacked(tmp_path):
    np.savez(tmp_path / "z.npz", z=Z)
    pd.DataFrame({"sex": ["f", "m"] * 30}).to_csv(tmp_path / "labels.csv")
    labels = read_table(tmp_path / "labels.csv", categories=KEYS)
    with pytest.warns(DataNotice, match=r"left out of the labels, as they number the rows"):
        audited = prepare_audit(read_publication(tmp_path / "z.npz"), labels)
    assert list(audited.known.attacks) == ["sex"]


def test_keys_are_texts_and_meet_where_that_is_safe(tmp_path):
    labels = pd.DataFrame({"id": [f"{i:03d}" for i in range(N)], "sex": [f"s{i}" for i in range(N)]})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    table = read_table(tmp_path / "labels.csv", categories=KEYS)
    assert table["id"].tolist()[:2] == ["000", "001"]
    for keys in (
        labels["id"],
        pd.Series(np.arange(N)),
        pd.Series(np.arange(float(N))),
        pd.Series(np.arange(N)).astype(str),
    ):
        joined, _ = join(pd.DataFrame({"id": keys[::-1].reset_index(drop=True)}), table, "label table")
        assert joined["sex"].tolist() == [f"s{i}" for i in reversed(range(N))]
    assert key_text(pd.Series(["7", "7.0", "007", "7.50", "-3.00"])).tolist() == ["7", "7", "007", "7.50", "-3"]


def test_keys_may_be_capitalized(tmp_path):
    z = np.random.default_rng(0).normal(size=(N, 3))
    labels = pd.DataFrame({"Id": np.arange(N), "sex": np.arange(N) % 2})
    path = tmp_path / "z.parquet"
    pd.DataFrame(z, columns=["a", "b", "c"]).assign(ID=np.arange(N)[::-1]).to_parquet(path)
    publication = read_publication(path)
    assert publication.z.shape == (N, 3)
    audited = prepare_audit(publication, labels, ["sex"])
    assert audited.joined == "id"
    both = np.concatenate([audited.known.attacks["sex"], audited.unknown.attacks["sex"]])
    assert sorted(both.tolist()) == sorted((np.arange(N)[::-1] % 2).tolist())


def test_a_column_that_both_sides_have_tells_whether_rows_are_in_one_order(tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 3)), columns=["a", "b", "c"])
    frame["user"] = np.arange(N)[::-1] + 10**9
    path = tmp_path / "z.parquet"
    frame.to_parquet(path)
    labels = pd.DataFrame({"user": frame["user"], "sex": np.arange(N) % 2})
    assert prepare_audit(read_publication(path), labels, ["sex"]).joined == ROW_ORDER
    shuffled = labels.sample(frac=1, random_state=0)
    with pytest.raises(InputError, match=r"column .user. of both differs in .* call it id in both, to join by it"):
        prepare_audit(read_publication(path), shuffled, ["sex"])
    raw = pd.DataFrame({"User": shuffled["user"].astype(str), "height": np.arange(N) % 50})
    with pytest.raises(InputError, match="the table of raw features isn't in the order of the published records"):
        prepare_audit(read_publication(path), labels, ["sex"], raw=raw)


def test_keys_that_differ_in_their_zeros_alone_are_different_people():
    table = pd.DataFrame({"id": ["7", "007"], "sex": ["f", "m"]})
    joined, _ = join(pd.DataFrame({"id": ["007", "7"]}), table, "label table")
    assert joined["sex"].tolist() == ["m", "f"]
    with pytest.raises(InputError, match="no row for 1 of 1 published records, such as id 07"):
        join(pd.DataFrame({"id": ["07"]}), table, "label table")


def test_a_participant_is_a_text_too(tmp_path):
    np.savez(tmp_path / "z.npz", z=Z, id=np.arange(N))
    people = [f"{i // 2:02d}" if i % 2 else str(i // 2) for i in range(N)]  # "1" and "01" are two people
    pd.DataFrame({"id": np.arange(N), "who": people, "sex": ["f", "m"] * 30}).to_csv(tmp_path / "l.csv", index=False)
    labels = read_table(tmp_path / "l.csv", categories=(*KEYS, "who"))
    audited = prepare_audit(read_publication(tmp_path / "z.npz"), labels, participant="who")
    assert len(set(audited.known.participant)) + len(set(audited.unknown.participant)) == len(set(people))


def test_large_numbers_close_together_are_told_apart(tmp_path):
    seconds = 1_700_000_000 + np.arange(N) % 2 * 10
    publication = read_publication(written(tmp_path, t=seconds))
    values = publication.z[:, -1]
    assert len(np.unique(values)) == 2
    assert len(np.unique(values[::2])) == 1
    assert publication.z[:, 0].tolist() == list(range(N))  # others stay as they are


@pytest.mark.parametrize("texts", [["0,123", "-0,456"], ["0,5;0,25", "1,5;2,25"]])
def test_a_comma_that_may_be_decimal_is_refused(texts, tmp_path):
    column = [f"{texts[i % 2]}{i}" for i in range(N)]
    with pytest.raises(InputError, match=r"column 't' has texts like .*, which may be a number with a decimal comma"):
        read_publication(written(tmp_path, t=column))


@pytest.mark.parametrize("index", [np.random.default_rng(0).permutation(N), [f"F{i}" for i in range(N)]])
def test_an_index_that_does_not_count_the_rows_is_refused(index, tmp_path):
    pd.DataFrame({"length": np.arange(N, dtype=float)}, index=index).to_parquet(tmp_path / "z.parquet")
    with pytest.raises(InputError, match="is an index without a name, and doesn't count the rows in their order"):
        read_publication(tmp_path / "z.parquet")


def test_parts_in_which_columns_change_their_kind_are_refused(tmp_path):
    for part, columns in enumerate(({"a": [1.0, 2], "b": ["x", "y"]}, {"a": ["x", "y"], "b": [1.0, 2]})):
        pd.DataFrame(columns).to_parquet(tmp_path / f"{part}.parquet")
    with pytest.raises(InputError, match="column 'a' is numbers in one of them and text in the other"):
        read_publication(tmp_path)
