"""From a table of mixed columns to a population of scaled, one-hot encoded records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Column, Floats, Ints, Population
from fl_tiprdc.data.population import build_population
from fl_tiprdc.errors import InputError

CLIP = 5.0  # standard deviations; keeps one millionaire from ruling a batch
MISSING = "(missing)"  # the category of missing texts


@dataclass(frozen=True)
class Table:
    """Raw columns, before any scaling.

    Attributes:
        features: the columns that become x; numbers are standardised, everything else is one-hot encoded. Missing
            numbers become the contributors' median, beside a column "NAME missing"; missing texts are a category.
        private: the private columns; numeric ones are split at the contributors' median.
        tasks: name -> [n] integer labels.
        participant: [n] the person a row belongs to; None: every row is a person.
    """

    features: pd.DataFrame
    private: pd.DataFrame
    tasks: Mapping[str, Ints]
    participant: Ints | None = None


def encode(table: Table, held_out: float) -> Population:
    """Split by people, then scale and encode with statistics of the contributors only.

    Raises:
        InputError: no feature is left, a number is infinite, or a private attribute has a single value.
    """
    return build_population(
        lambda known: _encode_features(table.features, known),
        table.private,
        table.tasks,
        table.participant,
        held_out,
        "table",
    )


def _encode_features(features: pd.DataFrame, known: np.ndarray) -> tuple[Floats, tuple[Column, ...]]:
    parts: list[Floats] = []
    columns: list[Column] = []
    start = 0
    for name, values in _without_gaps(features, known):
        if _is_number(values):
            number = values.to_numpy(np.float64)
            if np.isinf(number).any():
                raise InputError(f"column '{name}' has numbers that are not finite")
            mean, std = number[known].mean(), number[known].std()
            if std == 0:
                continue  # a constant says nothing
            scaled = np.clip((number - mean) / std, -CLIP, CLIP)[:, None]
            column = Column(name, "numeric", start, (), 0.5 * float((scaled[known] ** 2).mean()))
        else:
            text = values.astype(str).to_numpy()
            categories = tuple(np.unique(text[known]).tolist())
            if len(categories) < 2:
                continue
            scaled = (text[:, None] == np.array(categories)[None, :]).astype(np.float64)
            share = scaled[known].mean(0)
            column = Column(name, "categorical", start, categories, float(-(share * np.log(share)).sum()))
        parts.append(scaled.astype(np.float32))
        columns.append(column)
        start += column.width
    if not columns:
        raise InputError("no feature column with more than one value is left")
    return np.concatenate(parts, axis=1), tuple(columns)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _without_gaps(features: pd.DataFrame, known: np.ndarray) -> Iterator[tuple[str, pd.Series]]:
    """The columns with missing values filled, each number that has some followed by where they were."""
    for label, values in features.items():
        name, missing = str(label), values.isna()
        if not missing.any():
            yield name, values
        elif _is_number(values):
            middle = values[known & ~missing].median() if (known & ~missing).any() else 0.0
            yield name, pd.Series(np.where(missing, middle, values.to_numpy(np.float64, na_value=np.nan)))
            yield f"{name} missing", missing.map({False: "no", True: "yes"})
        else:
            yield name, values.astype(object).where(~missing, MISSING)


def require_columns(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Check that the table has the columns `names`, wanted as `what`.

    Raises:
        InputError: naming the first column that is missing and those that there are.
    """
    for name in names:
        if name not in frame.columns:
            raise InputError(f"unknown {what} '{name}': choose from {', '.join(map(str, frame.columns))}")
