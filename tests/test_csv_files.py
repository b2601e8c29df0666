"""CSV files as people have them: encodings, separators, lines before the header, cells that programs add."""

import codecs
import warnings

import pandas as pd
import pytest

from fl_tiprdc.data.csv_file import read_csv
from fl_tiprdc.data.table_file import read_table
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.record_keys import join
from fl_tiprdc.notices import DataNotice

ROWS = [f"{'mf'[i % 2]},{30 + i % 7},{['Ulm', 'Bern', 'Graz'][i % 3]}" for i in range(30)]
PLAIN = "\n".join(["sex,age,town", *ROWS]) + "\n"


@pytest.fixture
def read(tmp_path):
    """Writes text or bytes as a file and reads it; returns the table and the notices."""

    def read(content, name="people.csv", **settings):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataNotice)
            frame = read_table(path, **settings)
        return frame, [str(notice.message) for notice in caught if notice.category is DataNotice]

    return read


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " | "),
        "sep=;\n" + PLAIN.replace(",", ";"),
        "\n\n" + PLAIN,
        PLAIN.replace("\n", "\n\n"),
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32"),
    ],
)
def test_usual_shapes_are_the_same_table_without_a_word(content, read):
    frame, said = read(content)
    assert said == []
    assert frame.equals(read(PLAIN)[0])
    assert frame["age"].dtype.kind == "i"


@pytest.mark.parametrize(
    ("content", "notice"),
    [
        ("# exported 2024-05-31\n" + PLAIN, "left out line 1, which is no header: '# exported 2024-05-31'"),
        ("\n# by A, B, C and D\n" + PLAIN, "left out line 2, which is no header: '# by A B C and D'"),
        ("Survey of 2024,,\n\n" + PLAIN, "left out line 1, which is no header: 'Survey of 2024'"),
        (PLAIN.replace("\n", ",,\n"), "left out 2 columns without a name or a value"),
        (PLAIN.replace("town", "town,,"), "left out 2 columns without a name or a value"),
        (PLAIN + "sex,age,town\n", "left out 1 row: the header once more, first in line 32"),
        (PLAIN + ",,\n,,\n", "left out 2 rows: empty, first in line 32"),
        (PLAIN + "# 30 rows\n", "left out 1 row: comments, first in line 32"),
    ],
)
def test_what_is_no_record_is_left_out_with_one_notice(content, notice, read):
    frame, said = read(content)
    assert said == [f"table 'people.csv': {notice}"]
    assert frame.equals(read(PLAIN)[0])


def test_a_header_between_the_rows_leaves_numbers_numbers(read):
    frame, said = read("\n".join(["sex,age,town", *ROWS, "sex,age,town", *ROWS, "sex,age,town", *ROWS]))
    assert said == ["table 'people.csv': left out 2 rows: the header once more, first in line 32"]
    assert len(frame) == 90
    assert frame["age"].dtype.kind == "i"


def test_rows_that_are_too_short_are_named(read):
    frame, said = read(PLAIN + "m,44\nf\n")
    assert said == [
        "table 'people.csv': too few values in 2 rows, first in line 32: the last columns are missing there"
    ]
    assert frame.isna().sum().tolist() == [0, 1, 2]


def test_latin_1_is_read_with_a_notice(read):
    frame, said = read(PLAIN.replace("Ulm", "Zürich").encode("latin-1"))
    assert set(frame["town"]) == {"Zürich", "Bern", "Graz"}
    (notice,) = said
    assert "line 2 is not UTF-8: read as Windows-1252 (Latin-1); save the file as UTF-8" in notice


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (PLAIN + "m,30,Ulm,x\n", "line 32 has 4 values, the header in line 1 names 3 columns: .* in quotes"),
        ("exported,2024\n" + PLAIN, "line 2 has 3 values, the header in line 1 names 2 .* remove lines before"),
        (PLAIN + 'm,30,"Ulm\n' + "\n".join(ROWS), "a quote in line 32 has no end"),
        (PLAIN.encode() + b"m,30,\x81\n", "line 32 is not UTF-8; save the file as UTF-8"),
        (codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le") + b"x", "is not UTF-16; save the file as UTF-8"),
        (b"PK\x03\x04\0\0\0\0", "it is no text; save it as CSV in UTF-8"),
        ("\n\n", "is empty"),
    ],
)
def test_what_cannot_be_read_names_the_line_and_the_remedy(content, why, read):
    with pytest.raises(InputError, match=why) as error:
        read(content)
    assert "\n" not in str(error.value)


def test_a_value_with_separators_and_line_ends_stays_whole(read):
    frame, said = read('sex;note\nm;"a;b, ""c""\nd"\nf;plain\n')
    assert said == []
    assert frame["note"].tolist() == ['a;b, "c"\nd', "plain"]


@pytest.mark.parametrize("suffix", [".tsv", ".txt"])
def test_other_names_of_text_files(suffix, read):
    frame, _ = read(PLAIN.replace(",", "\t"), name=f"people{suffix}")
    assert list(frame.columns) == ["sex", "age", "town"]


def test_codes_keep_their_zeros_and_digits(read):
    rows = [f"{i:05d},{i},{12345678901234567 + i if i else ''}" for i in range(30)]
    frame, said = read("\n".join(["id,age,account", *rows]))
    assert frame["id"].tolist() == [f"{i:05d}" for i in range(30)]
    assert frame["age"].tolist() == list(range(30))
    assert frame["account"].tolist()[1:] == [str(12345678901234567 + i) for i in range(1, 30)]
    assert said == [
        "numbers with leading zeros, or of many digits, are codes, kept as they are written: 'id', 'account'"
    ]


def test_records_join_labels_whose_ids_have_leading_zeros(read):
    labels, _ = read("id,sex\n" + "".join(f"{i:05d},{'fm'[i % 2]}\n" for i in range(60)))
    published = pd.DataFrame({"id": [f"{i:05d}" for i in reversed(range(60))]})
    joined, how = join(published, labels, "label table")
    assert how == "id"
    assert joined["sex"].tolist() == ["fm"[i % 2] for i in reversed(range(60))]


def test_words_that_mean_nothing_elsewhere_stay_in_texts_and_not_among_numbers(read):
    frame, _ = read("help,age\n" + "None,NA\nnull,3\n,4\nmuch,5\n")
    assert frame["help"].isna().tolist() == [False, False, True, False]
    assert frame["help"].tolist()[:2] == ["None", "null"]
    assert frame["age"].isna().tolist() == [True, False, False, False]
    frame, _ = read("help,age\n" + "None,NA\nnull,3\n,4\nmuch,5\n", missing=("None", "5"))
    assert frame["help"].isna().tolist() == [True, False, True, False]
    assert frame["age"].isna().tolist() == [True, False, False, True]


def test_columns_of_one_name(read):
    content = "sex,age,age,town,,\n" + "".join(f"{row.replace(',', ',9,', 1)},7,8\n" for row in ROWS)
    frame, said = read(content, wanted=("sex", "town"))
    assert list(frame.columns) == ["sex", "town", "(column 5)", "(column 6)"]  # without a name, all are different
    assert said == ["table 'people.csv': left out columns that share a name: 'age'; give each a name of its own"]
    for wanted in (("age",), None):
        with pytest.raises(InputError, match=r"has 2 columns 'age': give each a name of its own$"):
            read(content, wanted=wanted)


def test_a_header_may_begin_with_a_hash(read):
    frame, said = read("#" + PLAIN)
    assert said == []
    assert list(frame.columns) == ["#sex", "age", "town"]


def test_a_column_beside_an_index_without_a_name_is_no_title(tmp_path):
    path = tmp_path / "z.csv"
    path.write_text(",z\n0,1.5\n1,2.5\n")
    assert read_csv(path)["z"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("last", [20, 29])
def test_a_quote_that_another_one_ends_far_below_is_named_and_no_row_is_swallowed(read, last):
    rows = ['"' + row if i in (4, last) else row for i, row in enumerate(ROWS)]
    with pytest.raises(InputError, match="a quote in line 6 has no end"):
        read("\n".join(["sex,age,town", *rows]) + "\n")


def test_quoted_values_may_have_lines_and_quotes(read):
    rows = [*ROWS, 'm,30,"two\nlines"', 'f,31,"5"" pipe"', 'm,32,Robert "Bob" Smith']
    frame, notices = read("\n".join(["sex,age,town", *rows]) + "\n")
    assert len(frame) == 33
    assert frame["town"].tolist()[-3:] == ["two\nlines", '5" pipe', 'Robert "Bob" Smith']
    assert notices == []


@pytest.mark.parametrize(
    ("texts", "count"), [(["250.0", "250.00"], 2), (["+4900001", "4900001"], 2), (["12E3", "13E3"], 2)]
)
def test_a_category_keeps_the_spelling_of_its_numbers(read, texts, count):
    rows = [f"{'mf'[i % 2]},{texts[i % 2]}" for i in range(30)]
    frame, _ = read("\n".join(["sex,code", *rows]), categories=["code"])
    assert set(frame["code"]) == set(texts)
