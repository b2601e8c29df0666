"""The values of a table's columns: numbers (dates too) or texts, each in one spelling."""

import decimal
import re

import numpy as np
import pandas as pd

from fl_tiprdc.data.number_texts import ISO_DATE, read_numbers
from fl_tiprdc.errors import InputError

# in files of text these mean missing among numbers and in x, and may be the name of a class
WORDS_FOR_NOTHING = ("None", "NA", "N/A", "n/a", "NULL", "null")


def as_number(name: str, values: pd.Series) -> pd.Series:
    """Return the values as float64, NaN where missing or infinite; of dates and spans of time, days.

    Raises:
        InputError: a text is no number; names the column and the text.
    """
    present = values.dropna()
    if pd.api.types.is_datetime64_any_dtype(values):
        days = pd.to_datetime(values, utc=True).dt.tz_localize(None)
        number = (days - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    elif pd.api.types.is_timedelta64_dtype(values):
        number = values.dt.total_seconds() / 86_400
    elif looks_like_dates(values):
        dates = pd.to_datetime(values.astype(object), format="ISO8601", utc=True, errors="coerce")
        return as_number(name, dates)
    else:
        number = pd.to_numeric(values.astype(object).where(values.notna(), None), errors="coerce")
        if number[present.index].isna().any():
            reading = read_numbers(as_text(values))
            if len(reading.strays):
                raise InputError(
                    f"column '{name}' cannot be numbers: it has '{reading.strays.index[0]}'; words that mean missing "
                    "are listed in data.missing"
                )
            number = reading.values
    array = number.to_numpy(np.float64, na_value=np.nan)
    return pd.Series(np.where(np.isfinite(array), array, np.nan), index=values.index)


def looks_like_dates(values: pd.Series) -> bool:
    """Return whether all values are texts like 2024-05-31 or 2024-05-31 12:00, or dates, that exist."""
    present = values.dropna()
    if not len(present) or pd.api.types.is_numeric_dtype(values):
        return False
    text = present.astype(str)
    if not text.str.fullmatch(ISO_DATE).all():
        return False
    return bool(pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce").notna().all())


def as_text(values: pd.Series) -> pd.Series:
    """Return the values as text, None where missing; whole numbers without a fraction."""
    present = values.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        text = [f"{value:.0f}" if float(value).is_integer() else str(value) for value in values[present]]
    else:
        text = [str(value).strip() for value in values[present]]
    out = np.full(len(values), None, dtype=object)
    out[present] = text
    return pd.Series(out, index=values.index, dtype=object)


def without_words(text: pd.Series) -> pd.Series:
    """Return texts of x with `WORDS_FOR_NOTHING` as missing."""
    words = text.isin(WORDS_FOR_NOTHING)
    return text.mask(words, None) if words.any() else text


def stand_in(values: pd.Series) -> tuple[float, int] | None:
    """Return a number that may stand for missing ones, such as -999 or 9999, and its rows; None: there is none.

    It is all nines, there twice at least, and either below 0 where no other number is, or further from the others than
    these are apart.
    """
    numbers, counts = np.unique(values.dropna().to_numpy(np.float64), return_counts=True)
    for end, others in ((0, numbers[1:]), (-1, numbers[:-1])):
        if len(others) < 2 or counts[end] < 2 or not re.fullmatch(r"-?99+", f"{numbers[end]:.15g}"):
            continue
        alone_below = numbers[end] < 0 <= others[0]
        if alone_below or np.abs(others - numbers[end]).min() > others[-1] - others[0]:
            return float(numbers[end]), int(counts[end])
    return None


def is_number(values: pd.Series) -> bool:
    """Return whether the values tell that a column has numbers, dates or spans of time; booleans are categories."""
    if pd.api.types.is_bool_dtype(values):
        return False
    if (
        pd.api.types.is_numeric_dtype(values)
        or pd.api.types.is_datetime64_any_dtype(values)
        or pd.api.types.is_timedelta64_dtype(values)
    ):
        return True
    present = values.dropna()
    if pd.api.types.is_object_dtype(values) and len(present):
        kinds = (int, float, decimal.Decimal, np.number)
        if all(isinstance(value, kinds) and not isinstance(value, bool) for value in present):
            return True
    return looks_like_dates(values)
