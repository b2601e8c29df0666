"""The encoding of a table's columns as x: learned from contributors, then the same for every such table."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.data.column_values import WORDS_FOR_NOTHING, as_number, as_text, without_words
from fl_tiprdc.data.crowd import Column, Floats
from fl_tiprdc.data.number_texts import read_numbers
from fl_tiprdc.errors import InputError
from fl_tiprdc.notices import count_rows, give_notice

CLIP = 5.0  # standard deviations; keeps one millionaire from ruling a batch
MARK = r"[^\w\s]+"  # neither a letter nor a digit: what stands for no value among numbers
MISSING = "(missing)"  # the category of missing texts
NO, YES = "no", "yes"  # of a column that tells missing values


def fit_columns(features: pd.DataFrame, known: np.ndarray) -> tuple[Column, ...]:
    """Fit the columns of x; `known` [n] is true for contributors, whose values alone count.

    Columns of a single value are left out. A numeric one that misses values, also others', is followed by one that
    tells where, if contributors miss some.

    Raises:
        InputError: no column is left, or a number is infinite.
    """
    columns: list[Column] = []
    for column in _fitted(features, known):
        columns.append(Column(**{**vars(column), "start": sum(one.width for one in columns)}))
    if not columns:
        raise InputError("no feature column with more than one value is left")
    return tuple(columns)


def _fitted(features: pd.DataFrame, known: np.ndarray) -> Iterator[Column]:
    for label, values in features.items():
        name, missing = str(label), values.isna().to_numpy()
        if not (pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)):
            yield from _categorical(name, _texts(values)[known])
            continue
        number = values.to_numpy(np.float64, na_value=np.nan)
        if np.isinf(number).any():
            raise InputError(f"column '{name}' has numbers that are not finite")
        own = known & ~missing
        middle = float(np.median(number[own])) if own.any() else 0.0
        filled = np.where(missing, middle, number)[known]
        mean, deviation = float(filled.mean()), float(filled.std())
        if deviation > 0:
            scaled = np.clip((filled - mean) / deviation, -CLIP, CLIP)
            uncertainty = 0.5 * float((scaled**2).mean())
            yield Column(name, "numeric", 0, (), uncertainty, mean, deviation, middle)
        yield from _categorical(f"{name} missing", np.where(missing, YES, NO)[known], name)


def _categorical(name: str, values: npt.NDArray[np.str_], missing_in: str = "") -> Iterator[Column]:
    categories, counts = np.unique(values, return_counts=True)
    if len(categories) > 1:
        share = counts / len(values)
        entropy = float(-(share * np.log(share)).sum())
        yield Column(name, "categorical", 0, tuple(categories.tolist()), entropy, missing_in=missing_in)


def _texts(values: pd.Series) -> npt.NDArray[np.str_]:
    text = without_words(as_text(values))
    return text.where(text.notna(), MISSING).to_numpy().astype(str)


def encode_frame(frame: pd.DataFrame, columns: Sequence[Column]) -> Floats:
    """Return x [n, width] of a table that has the columns' sources; others are not looked at.

    A missing number becomes the contributors' median. A category that no contributor has becomes zeros.

    Raises:
        InputError: a column is missing, or can't be numbers.
    """
    require_columns(frame, [column.missing_in or column.name for column in columns], "column of x")
    x = np.zeros((len(frame), sum(column.width for column in columns)), dtype=np.float32)
    for column in columns:
        source = column.missing_in or column.name
        values = frame[source]
        if column.kind == "numeric" or column.missing_in:
            values = _without_marks(source, values)
        if column.kind == "numeric":
            number = _like_contributors(column, values)
            filled = np.where(np.isnan(number), column.middle, number)
            x[:, column.start] = np.clip((filled - column.mean) / column.deviation, -CLIP, CLIP)
        else:
            if column.missing_in:
                missing = np.isnan(as_number(column.missing_in, values).to_numpy())
                text = np.where(missing, YES, NO)
            else:
                text = _texts(values)
            x[:, column.span] = text[:, None] == np.array(column.categories)[None, :]
    return x


def _is_text(values: pd.Series) -> bool:
    return pd.api.types.is_object_dtype(values) or isinstance(values.dtype, pd.StringDtype)


def _without_marks(name: str, values: pd.Series) -> pd.Series:
    """Return values of a column of numbers with marks such as "?" as missing, which a notice counts."""
    if not _is_text(values):
        return values
    text = as_text(values)
    marks = text.isin(WORDS_FOR_NOTHING) | text.str.fullmatch(MARK).fillna(False).astype(bool)
    if not marks.any():
        return values
    give_notice(f"column '{name}' is numbers, and '{text[marks].iloc[0]}' in {count_rows(int(marks.sum()))} is missing")
    return values.mask(marks, None)


def _like_contributors(column: Column, values: pd.Series) -> npt.NDArray[np.float64]:
    """Return the values of a column of numbers [n], a comma in texts being what brings them nearer to contributors'.

    Of few rows, as of a single one, "1,234" alone doesn't tell whether it is a thousand.
    """
    number = as_number(column.name, values).to_numpy()
    if not (_is_text(values) and values.dropna().astype(str).str.contains(",").any()):
        return number
    decimal = read_numbers(as_text(values), decimal_commas=True).values.to_numpy()
    both = np.isfinite(number) & np.isfinite(decimal)
    away = [np.median(np.abs(one[both] - column.mean)) if both.any() else 0.0 for one in (number, decimal)]
    return decimal if away[1] < away[0] else number


def require_columns(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Check that the table has the columns `names`, wanted as `what`.

    Raises:
        InputError: naming the first column that is missing and those that there are.
    """
    for name in names:
        if name not in frame.columns:
            raise InputError(f"unknown {what} '{name}': choose from {', '.join(map(_quoted, frame.columns))}")


def _quoted(name: object) -> str:
    """Return a column's name as it is written between commas: in quotes if it has a comma."""
    text = str(name)
    return '"' + text.replace('"', '""') + '"' if "," in text else text
