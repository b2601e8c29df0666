"""A table's file, CSV or Parquet, as it is."""

import csv
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fl_tiprdc.data.column_values import as_number, as_text
from fl_tiprdc.data.csv_file import read_csv, unrepeated
from fl_tiprdc.data.number_texts import has_codes, read_numbers
from fl_tiprdc.errors import InputError
from fl_tiprdc.notices import count_rows, give_notice

DIGITS = 15  # of a number that float64 holds as it is written


def _read_parquet(
    path: Path, missing: Collection[str], wanted: Collection[str] | None, categories: Collection[str]
) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    schema = parquet.read_schema(path)
    names = [str(name) for name in schema.names]
    kept = unrepeated(path, names, wanted)
    frame = (
        pd.read_parquet(path) if len(kept) == len(names) else parquet.ParquetFile(path).read().select(kept).to_pandas()
    )
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()  # a named index is a column like others
    elif not (pd.api.types.is_integer_dtype(frame.index) and frame.index.is_monotonic_increasing):
        give_notice(
            f"table '{path.name}': the index of its rows, which has no name, is not used: rows are taken in the order"
            " in which they stand"
        )
    frame.columns = frame.columns.map(str)
    frame = frame.reset_index(drop=True)
    for field in schema:
        if pa.types.is_decimal(field.type) and field.name in frame:  # Python's decimals, which nothing computes with
            long = field.type.precision > DIGITS
            frame[field.name] = as_text(frame[field.name]) if long else as_number(field.name, frame[field.name])
    for name in frame.columns:
        if frame[name].dtype == object or isinstance(frame[name].dtype, pd.StringDtype):
            blank = np.array([isinstance(value, str) and not value.strip() for value in frame[name]])
            frame[name] = frame[name].mask(blank, None)  # as an empty cell of a CSV file
    for name in frame.columns if missing else ():
        frame[name] = _without_words(frame[name], missing, as_numbers=name not in categories)
    return frame


def _without_words(values: pd.Series, missing: Collection[str], as_numbers: bool) -> pd.Series:
    """Return texts without the words that mean missing, as numbers if numbers are left; other columns as they are."""
    text = as_text(values)
    words = text.isin(list(missing))
    if not words.any():
        return values
    left = text.mask(words, None)
    reading = read_numbers(left)
    return reading.values if as_numbers and not len(reading.strays) and not has_codes(left) else left


Reader = Callable[[Path, Collection[str], Collection[str] | None, Collection[str]], pd.DataFrame]
READERS: Mapping[str, Reader] = {".csv": read_csv, ".parquet": _read_parquet, ".tsv": read_csv, ".txt": read_csv}


def read_table(
    path: Path, missing: Collection[str] = (), wanted: Collection[str] | None = None, categories: Collection[str] = ()
) -> pd.DataFrame:
    """Read a file as it is, infinite numbers as missing; see `read_csv` for what is done about a CSV file.

    Names of columns lose outer blanks, and line breaks become blanks, unless two were the same then.

    Args:
        path: the file.
        missing: words that mean missing, besides empty cells and what programs write for no number (NaN, #N/A, ...).
        wanted: columns that will be used, each of which must be there once; None: all. Others that share a name are
            left out with a notice.
        categories: columns that are no numbers, whatever their values are.

    Raises:
        InputError: the file is missing, unreadable, empty, of an unknown kind, or repeats the name of a wanted column.
    """
    if path.suffix.lower() not in READERS:
        raise InputError(f"table '{path}' is of an unknown kind: name a file that ends in {' or '.join(READERS)}")
    try:
        path.open("rb").close()  # so that all readers fail in the same words
        frame = READERS[path.suffix.lower()](path, missing, wanted, categories)
    except InputError:
        raise
    except pd.errors.EmptyDataError:
        raise InputError(f"table '{path}' is empty") from None
    except OSError as error:
        why = error.strerror or str(error).splitlines()[0]  # those of pyarrow have no strerror
        raise InputError(f"cannot read table '{path}': {why}") from None
    except (ValueError, csv.Error) as error:  # parsers' errors; pyarrow's are ValueErrors
        why = str(error).strip().splitlines()[0]
        raise InputError(f"cannot read table '{path}': {why}") from None
    if frame.empty:
        raise InputError(f"table '{path}' has no rows")
    on_one_line = [re.sub(r"\s*[\r\n]+\s*", " ", name).strip() for name in frame.columns]
    if len(set(on_one_line)) == len(on_one_line):
        frame.columns = pd.Index(on_one_line)  # as a command line can name them
    infinite = {name: np.isinf(frame[name]) for name in frame.columns if frame[name].dtype.kind == "f"}
    infinite = {name: rows for name, rows in infinite.items() if rows.any()}
    if infinite:
        told = ", ".join(f"'{name}' ({count_rows(int(rows.sum()))})" for name, rows in infinite.items())
        give_notice(f"table '{path.name}': numbers that are infinite or too large are missing: {told}")
    return frame.assign(**{name: frame[name].mask(rows) for name, rows in infinite.items()})
