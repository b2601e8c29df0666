"""Anybody's table: a CSV or Parquet file, with some columns to hide and some to predict."""

import csv
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.attributes import drawn_rows
from fl_tiprdc.data.column_encoding import require_columns
from fl_tiprdc.data.column_values import as_number, as_text, is_number
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.population import encode_private, hold_out
from fl_tiprdc.data.table import Table, encode
from fl_tiprdc.errors import InputError

MANY = 100  # values of a category that takes part without being asked for
MOST = 1000  # values of any category: each takes a column of x
NAMELESS = "(column"  # with its number: a column without a name, such as the index that pandas writes
FEW = 10  # numbers with at most that many values are classes as labels; others are split at the median


class DataNotice(UserWarning):
    """Something in a person's data was left out or changed, and how to have it otherwise."""


def _notice(text: str) -> None:
    warnings.warn(text, DataNotice, stacklevel=2)


# ---- reading


def _read_csv(path: Path, categories: Collection[str]) -> pd.DataFrame:
    with path.open(newline="", encoding="utf-8-sig") as file:
        written = next(csv.reader(file, skipinitialspace=True), [])
    header = [name.strip() for name in written]
    if not header:
        raise pd.errors.EmptyDataError
    if len(header) == 1 and any(sign in header[0] for sign in ";\t"):
        raise InputError(f"table '{path}' has one column, '{header[0]}': its values must have commas between them")
    _no_repeats(path, header)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
        frame = pd.read_csv(
            path,
            encoding="utf-8-sig",
            skipinitialspace=True,
            index_col=False,
            low_memory=False,
            dtype=dict.fromkeys((name for name in written if name.strip() in categories), "str"),
        )
    frame.columns = pd.Index([name or f"{NAMELESS} {i})" for i, name in enumerate(header, 1)])
    return frame


def _read_parquet(path: Path, categories: Collection[str]) -> pd.DataFrame:
    import pyarrow.parquet as parquet

    _no_repeats(path, [str(name) for name in parquet.read_schema(path).names])
    frame = pd.read_parquet(path)
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()  # a named index is a column like others
    frame.columns = frame.columns.map(str)
    return frame.reset_index(drop=True)


def _no_repeats(path: Path, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"table '{path}' has two columns '{name}': give each a name of its own")


READERS: Mapping[str, Callable[[Path, Collection[str]], pd.DataFrame]] = {".csv": _read_csv, ".parquet": _read_parquet}


def read_table(path: Path, categories: Collection[str] = ()) -> pd.DataFrame:
    """Read a file as it is; in a CSV, empty cells and the usual words for nothing (NA, null, NaN, ...) are missing.

    Infinite numbers are missing too.

    Args:
        path: the file.
        categories: columns that are no numbers, whatever their values are: in a CSV their texts stay as they are.

    Raises:
        InputError: the file is missing, unreadable, empty, neither .csv nor .parquet, or repeats a column's name.
    """
    if path.suffix.lower() not in READERS:
        raise InputError(f"table '{path}' is of an unknown kind: name a file that ends in {' or '.join(READERS)}")
    try:
        path.open("rb").close()  # so that both readers fail in the same words
        frame = READERS[path.suffix.lower()](path, categories)
    except InputError:
        raise
    except pd.errors.EmptyDataError:
        raise InputError(f"table '{path}' is empty") from None
    except OSError as error:
        why = error.strerror or str(error).splitlines()[0]  # those of pyarrow have no strerror
        raise InputError(f"cannot read table '{path}': {why}") from None
    except (ValueError, csv.Error, pd.errors.ParserWarning) as error:  # parsers' errors; pyarrow's are ValueErrors
        why = str(error).strip().splitlines()[0]
        raise InputError(f"cannot read table '{path}': {why}") from None
    if frame.empty:
        raise InputError(f"table '{path}' has no rows")
    return frame.assign(
        **{
            name: frame[name].where(np.isfinite(frame[name]))
            for name in frame.columns
            if frame[name].dtype.kind == "f" and np.isinf(frame[name]).any()
        }
    )


# ---- kinds of columns


def _is_numbering(values: pd.Series) -> bool:
    """Whether a column merely counts the rows: whole numbers, each once, without gap or without a name."""
    if not pd.api.types.is_integer_dtype(values) or values.hasnans or len(values) < 3:
        return False
    gapless = int(values.max()) - int(values.min()) == len(values) - 1
    return bool(values.is_unique and (gapless or str(values.name).startswith(NAMELESS)))


# ---- the parts of the table


def feature_columns(frame: pd.DataFrame, kinds: Mapping[str, str], known: np.ndarray) -> pd.DataFrame:
    """The columns that become x: float64 numbers and texts; what cannot be used is left out with a notice."""
    kept: dict[str, pd.Series] = {}
    crowded: list[str] = []
    for name in frame.columns:
        values, kind = frame[name], kinds.get(name, "")
        if kind == "ignore":
            continue
        if kind == "number" or (not kind and is_number(values)):
            if not kind and _is_numbering(values):
                crowded.append(f"'{name}' (numbers the rows)")
            else:
                kept[name] = as_number(name, values)
            continue
        text = as_text(values)
        count = text[known].nunique()
        if kind == "category" and count > MOST:
            raise InputError(f"column '{name}' has {count} values: a category may have {MOST}; ignore it instead")
        if not kind and (count > MANY or count > known.sum() / 2):
            crowded.append(f"'{name}' ({count} values)")
        else:
            kept[name] = text
    if crowded:
        _notice(
            f"left out, as identifiers or free text: {', '.join(crowded)}; "
            'to keep one, set data.columns.NAME to "category" or "number"'
        )
    return pd.DataFrame(kept, index=frame.index)


def classes_of(values: pd.Series) -> pd.Series:
    """Return labels as `hold_out` takes them: texts are classes, and so are few numbers."""
    return values if is_number(values) and values.nunique() > FEW else as_text(values)


def label_values(name: str, values: pd.Series, kind: str, known: np.ndarray, what: str) -> pd.Series:
    """A private attribute or a task, without missing values: text for classes, numbers to split at the median."""
    number = kind == "number" or (not kind and is_number(values))
    count = values[known].astype(str).nunique()
    if count < 2:
        raise InputError(f"{what} '{name}' has a single value, '{values[known].iloc[0]}': nothing to learn")
    if not number or (count <= FEW and kind != "number"):
        if count > MANY:
            raise InputError(f"{what} '{name}' has {count} values: at most {MANY} classes can be told apart")
        return as_text(values)
    found = as_number(name, values)
    if count > 2:
        middle = found[known].median()
        if not (found[known] > middle).any():
            raise InputError(f"{what} '{name}' cannot be split: most of its values are {middle:g}, the largest")
        _notice(f"{what} '{name}' has {count} different numbers: split at the median, {middle:g}")
    return found


def _check_roles(frame: pd.DataFrame, config: DataConfig, private: Sequence[str]) -> None:
    """Whether each column that is named exists and is named for one thing only."""
    if not private:
        raise InputError("name what to hide: --private COLUMN")
    if not config.tasks:
        raise InputError("name what to predict: --tasks COLUMN")
    require_columns(frame, private, "private attribute")
    require_columns(frame, config.tasks, "task")
    require_columns(frame, list(config.columns), "column in data.columns")
    owner = [config.participant] if config.participant else []
    require_columns(frame, owner, "participant column")
    roles = [*private, *config.tasks, *owner]
    for name in roles:
        if roles.count(name) > 1:
            raise InputError(f"column '{name}' is named twice: it can be hidden, a task or the participant, or none")
        if config.columns.get(name) == "ignore":
            raise InputError(f"column '{name}' is ignored in data.columns: it can't be hidden, a task or participant")


def load_table(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load a table: x [n, columns] float32 of all columns that are neither private, nor tasks, nor the participant.

    Columns of numbers are standardised, all others are categories, one-hot. What a column is, its values tell:

    - Numbers, true numbers in a Parquet file, are numbers; booleans are categories.
    - Dates (of Parquet, or all texts like 2024-05-31 or 2024-05-31 12:00) are numbers: days since 1970, in UTC.
      Dates in another spelling are texts, and as such mostly left out.
    - A category of more than `MANY` values, or more values than half of the contributors' rows, is left out, and so
      is a column that numbers the rows; a `DataNotice` names them.

    `config.columns` overrides that, column by column. A missing number (or an infinite one) becomes the
    contributors' median, beside a column that says that it was missing; a missing category is one of its own.

    Private attributes and tasks are classes: texts, booleans, and numbers of at most `FEW` values. Numbers of more
    are split at the contributors' median, with a notice. Values that fewer than 1 in 200 contributors' rows have
    are merged. Rows where one of them, or the participant, is missing are left out, with a notice.

    Args:
        config: `file`, `tasks`, `participant` (empty: every row is a person), `columns`, `records`.
        private: columns to hide.
        held_out: share of the people who contribute nothing.

    Raises:
        InputError: no file or an unreadable one, nothing to hide or to predict, a column that is unknown or named
            for two things, a label of one value or of too many, or no column left for x.
    """
    if config.file is None:
        raise InputError("name a table: --data FILE, a .csv or .parquet file")
    frame = read_table(config.file)
    _check_roles(frame, config, private)
    frame = frame.iloc[drawn_rows(len(frame), config)]
    owner = [config.participant] if config.participant else []
    needed = [*private, *config.tasks, *owner]
    frame = _complete(frame, needed)
    participant = np.arange(len(frame))
    if owner:
        participant = np.asarray(pd.factorize(frame[owner[0]].astype(str))[0], dtype=np.int64)
    if participant.max() < 1:
        raise InputError("the table has fewer than two people: nobody could be held out")
    tested = hold_out(participant, held_out, [classes_of(frame[name]) for name in (*private, *config.tasks)])
    known = ~tested
    labels: dict[str, Any] = {
        name: label_values(name, frame[name], config.columns.get(name, ""), known, what)
        for what, names in (("private attribute", private), ("task", config.tasks))
        for name in names
    }
    codes, _ = encode_private(pd.DataFrame({name: labels[name] for name in config.tasks}), known)
    features = feature_columns(frame.drop(columns=needed), config.columns, known)
    return encode(
        Table(
            features,
            pd.DataFrame({name: labels[name] for name in private}),
            {name: codes[:, i] for i, name in enumerate(config.tasks)},
            participant,
            tested,
        ),
        held_out,
    )


def _complete(frame: pd.DataFrame, needed: Sequence[str]) -> pd.DataFrame:
    """The rows that have a value in all columns `needed`, numbered anew."""
    missing = frame[list(needed)].isna()
    rows = missing.any(axis=1)
    if rows.all():
        worst = missing.sum().idxmax()
        raise InputError(f"no row has a value in each of {', '.join(needed)}; most are missing in '{worst}'")
    if rows.any():
        where = ", ".join(f"'{name}' ({count})" for name, count in missing.sum().items() if count)
        _notice(f"left out {rows.sum()} of {len(frame)} rows, where a value is missing: {where}")
    return frame[~rows].reset_index(drop=True)
