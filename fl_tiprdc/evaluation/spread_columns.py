"""Columns of a publication as numbers: lists and structs of numbers are spread out, one column a number."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute

from fl_tiprdc.data.column_values import as_number, is_number
from fl_tiprdc.data.csv_file import NAMELESS
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.scores import Values

MOST_NUMBERS = 100_000  # in a list
# names of an index without a name of its own: of files that pandas wrote, and what pandas calls it afterwards
_ARROW_INDEX = re.compile(r"__index_level_\d+__")
_INDEX = re.compile(rf"Unnamed: ?\d+.*|level_\d+|index|{re.escape(NAMELESS)} \d+\)|\s*")
_BRACKETS, _BETWEEN = re.compile(r"[\[\]()]"), re.compile(r"[\s,;]+")  # of a list that is written as text
_COMMA = re.compile(r"\d,\d")
_NUMBERS = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
_TIMES_AND_DECIMALS = (pa.types.is_timestamp, pa.types.is_date, pa.types.is_duration, pa.types.is_decimal)
_TEXTS = (pa.types.is_string, pa.types.is_large_string)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def is_index(name: str, values: pd.Series) -> bool:
    """Return whether a column is an index that nobody named: it counts rows, and is nothing of a record.

    Raises:
        InputError: an index without a name that doesn't count the rows from the first to the last: it may name the
            records, or tell something of them.
    """
    arrow = _ARROW_INDEX.fullmatch(name)
    if not (arrow or _INDEX.fullmatch(name)):
        return False
    whole = pd.api.types.is_numeric_dtype(values) and not values.hasnans and bool((values % 1 == 0).all())
    if whole and values.is_unique and values.is_monotonic_increasing:
        return True
    if arrow or (whole and values.is_unique):
        raise InputError(
            f"column '{name}' is an index without a name, and doesn't count the rows in their order: call it id if it "
            "names the records, in labels too, or leave it out of the file"
        )
    return False


def spread(table: pa.Table, what: str) -> pd.DataFrame:
    """Return a table whose columns are numbers or text.

    A list becomes the columns NAME[0], NAME[1], ...; lists in lists and arrays of a fixed shape do as well. A struct
    becomes NAME.FIELD, and dates are days.

    Args:
        table: as Arrow reads it.
        what: the table is, in messages.

    Raises:
        InputError: naming a column that is neither, or has lists of different lengths or missing ones.
    """
    columns: dict[str, pd.Series] = {}
    for name, values in zip(table.column_names, table.columns, strict=True):
        whole = values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks)
        for part, series in _parts(str(name), whole, what):
            if part in columns:
                raise InputError(f"{what} has two columns '{part}': give each a name of its own")
            columns[part] = series
    return pd.DataFrame(columns, index=range(table.num_rows))


def _parts(name: str, values: pa.Array, what: str) -> Iterator[tuple[str, pd.Series]]:
    """Yield the columns of one column, in their order."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type

    def is_one_of(tests: tuple[object, ...]) -> bool:
        return any(test(kind) for test in tests)  # type: ignore[operator]

    if is_one_of(_NUMBERS):
        yield name, values.to_pandas() if not values.null_count else values.cast(pa.float64()).to_pandas()
    elif is_one_of(_TEXTS):
        yield name, values.to_pandas().astype(object)
    elif is_one_of(_TIMES_AND_DECIMALS):
        yield name, as_number(name, values.to_pandas())
    elif pa.types.is_struct(kind) or is_one_of(_LISTS):
        if values.null_count:
            raise InputError(f"column '{name}' of {what} has no value in {values.null_count} of {len(values)} rows")
        if pa.types.is_struct(kind):
            for field, part in zip(kind, values.flatten(), strict=True):
                yield from _parts(f"{name}.{field.name}", part, what)
        else:
            length, items = _length(name, values, what), values.flatten()
            first = np.arange(len(values)) * length
            for i in range(length):
                yield from _parts(f"{name}[{i}]", items.take(pa.array(first + i)), what)
    else:
        raise InputError(
            f"column '{name}' of {what} can't be read: {kind} is neither numbers nor lists of them, nor text"
        )


def _length(name: str, values: pa.Array, what: str) -> int:
    """Return how many items each list of a column has."""
    lengths = np.unique(compute.list_value_length(values).to_numpy(zero_copy_only=False))
    if len(lengths) > 1:
        raise InputError(
            f"column '{name}' of {what} has lists of {lengths[0]} to {lengths[-1]} items: give all of them as many"
        )
    if lengths[0] > MOST_NUMBERS:
        raise InputError(
            f"column '{name}' of {what} has lists of {lengths[0]:,} items: at most {MOST_NUMBERS:,} are read"
        )
    return int(lengths[0])


def text_numbers(name: str, texts: pd.Series) -> dict[str, Values] | None:
    """Return the numbers that a column of text stands for, each [n], by name; None: it isn't numbers.

    A text is a number, a date, or a list of as many numbers as all others, as "[0.1, 0.2]", "(0.1 0.2)" or "0.1;0.2".

    Args:
        name: of the column.
        texts: [n].

    Raises:
        InputError: a comma may be a decimal one, or stand between two numbers.
    """
    if texts.isna().any():
        return None
    if is_number(texts):
        return {name: as_number(name, texts).to_numpy(np.float64)}
    written = texts.astype(str)
    if written.str.contains(_COMMA).any() and not written.str.contains(".", regex=False).any():
        raise InputError(
            f"column '{name}' has texts like '{written[written.str.contains(_COMMA)].iloc[0]}', which may be a number "
            "with a decimal comma, or two: write numbers with a point, and lists with a blank after each comma"
        )
    words = [_BETWEEN.split(_BRACKETS.sub(" ", text).strip(" \t\r\n,;")) for text in written]
    if not words or len({len(row) for row in words}) > 1 or len(words[0]) > MOST_NUMBERS:
        return None
    try:
        numbers = np.array(words, dtype=np.float64)
    except ValueError:
        return None
    if numbers.shape[1] == 1:
        return {name: numbers[:, 0]}
    return {f"{name}[{i}]": numbers[:, i] for i in range(numbers.shape[1])}
