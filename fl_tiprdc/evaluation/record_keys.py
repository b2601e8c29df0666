"""Keys of records: what rows of two tables are matched by."""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from fl_tiprdc.errors import InputError

PAIR, ID = ["client", "record"], ["id"]  # what rows are joined by, the first that both sides have
KEYS = [*PAIR, *ID]
ROW_ORDER = "row order"


_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")  # a whole number in the spelling of a column that misses some
_ZEROS = re.compile(r"0+(?=\d)")


def key_text(values: pd.Series) -> pd.Series:
    """Return keys as text, so that 7, 7.0, "7" and "7.0" are the same; "007" is another one."""
    if pd.api.types.is_float_dtype(values) and ((values == values.round()) & (values.abs() < 2**53)).all():
        values = values.astype(np.int64)
    return values.astype(str).str.strip().str.replace(rf"^{_WHOLE.pattern}$", r"\1", regex=True)


def _without_zeros(keys: pd.MultiIndex) -> pd.MultiIndex | None:
    """Return keys without leading zeros; None: two of them would be the same then."""
    levels = [keys.get_level_values(level) for level in range(keys.nlevels)]
    columns = [level.str.replace(rf"^{_ZEROS.pattern}", "", regex=True) for level in levels]
    shorter = pd.MultiIndex.from_arrays(columns, names=keys.names)
    return shorter if shorter.is_unique else None


def _shared_keys(keys: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    for names in (PAIR, ID):
        if all(name in side.columns for name in names for side in (keys, table)):
            return names
    return []


def _named(names: Sequence[str], values: Sequence[object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def with_keys(table: pd.DataFrame, others: Collection[str] = ()) -> pd.DataFrame:
    """Return a table whose keys have the names in `KEYS`, however they are capitalized: ID is id.

    Args:
        table: of any columns.
        others: columns that are named for something else, and stay.
    """
    named = {
        name: name.casefold()
        for name in map(str, table.columns)
        if name.casefold() in KEYS and name.casefold() not in table.columns and name not in others
    }
    return table.rename(columns=named) if len(set(named.values())) == len(named) else table


def check_order(marks: pd.DataFrame, table: pd.DataFrame, what: str) -> None:
    """Check that rows which are joined by their order have the same mark, where both sides have one.

    Args:
        marks: [n] columns of the publication that differ in all rows.
        table: [n] rows in the order of the file.
        what: the table is, in messages.

    Raises:
        InputError: both have a column of one name, with other values in some rows.
    """
    for name in map(str, marks.columns):
        for twin in (column for column in map(str, table.columns) if column.casefold() == name.casefold()):
            other = int((key_text(marks[name]) != key_text(table[twin])).sum())
            if other:
                raise InputError(
                    f"the {what} isn't in the order of the published records: column '{name}' of both differs in"
                    f" {other} of {len(table)} rows; call it id in both, to join by it"
                )


def check_keys(keys: pd.DataFrame, what: str) -> None:
    """Check that every row has a key of its own. A client's number alone is no key."""
    for name in keys.columns:
        if keys[name].isna().any():
            raise InputError(f"the {what}'s column '{name}' has no value in {keys[name].isna().sum()} rows")
    for names in (PAIR, ID):
        if set(names) <= set(keys.columns):
            text = keys[names].apply(key_text)
            twice = text.duplicated()
            if twice.any():
                raise InputError(
                    f"the {what} has {_named(names, text[twice].iloc[0].tolist())} twice: a record has one row"
                )


def join(keys: pd.DataFrame, table: pd.DataFrame, what: str) -> tuple[pd.DataFrame, str]:
    """Return the table's rows in the order of the published records.

    Args:
        keys: [n] as a publication has them.
        table: [m] rows; may have more records than were published.
        what: the table is, in messages.

    Returns:
        [n] rows of the table without the columns they were joined by, and what these were.

    Raises:
        InputError: records without a row, a key twice, or neither keys that both have nor as many rows.
    """
    names = _shared_keys(keys, table)
    if not names:
        if len(keys) != len(table):
            raise InputError(
                f"cannot join the {what} of {len(table)} rows to {len(keys)} published records: both need columns"
                " client and record, or a column id, or as many rows"
            )
        return table.reset_index(drop=True), ROW_ORDER
    check_keys(table[names], what)
    present = pd.MultiIndex.from_frame(table[names].apply(key_text))
    wanted = pd.MultiIndex.from_frame(keys[names].apply(key_text))
    rows = present.get_indexer(wanted)
    missing = rows < 0
    if missing.any():
        shorter, short_wanted = _without_zeros(present), _without_zeros(wanted)
        if shorter is not None and short_wanted is not None:  # one side has lost its zeros
            short_rows = shorter.get_indexer(short_wanted)
            rows, missing = (short_rows, missing[:0]) if (short_rows >= 0).all() else (rows, missing)
    if missing.any():
        raise InputError(
            f"the {what} has no row for {missing.sum()} of {len(keys)} published records, such as"
            f" {_named(names, wanted[missing][0])}"
        )
    joined = table.drop(columns=names).iloc[rows]
    return joined.reset_index(drop=True), " and ".join(names)
