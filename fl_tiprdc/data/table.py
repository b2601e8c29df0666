"""From a table of mixed columns to a population of scaled, one-hot encoded records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Attribute, Column, Crowd, Description, Floats, Ints, Population
from fl_tiprdc.errors import InputError
from fl_tiprdc.seeding import numpy_generator

CLIP = 5.0  # standard deviations; keeps one millionaire from ruling a batch
RARE = 0.005  # private classes below this share of the contributors are merged: too few to train or test on
OTHER = "(other)"


@dataclass(frozen=True)
class Table:
    """Raw columns, before any scaling.

    Attributes:
        features: the columns that become x; numbers are standardised, everything else is one-hot encoded.
        private: the private columns; numeric ones are split at the contributors' median.
        tasks: name -> [n] integer labels.
        participant: [n] the person a row belongs to; None: every row is a person.
    """

    features: pd.DataFrame
    private: pd.DataFrame
    tasks: Mapping[str, Ints]
    participant: Ints | None = None


def hold_out(participant: Ints, share: float) -> np.ndarray:
    """Which records belong to held-out people: [n] bool.

    The same people are held out for every experiment seed, so that nothing is ever chosen on them.
    """
    people = np.unique(participant)
    count = min(max(1, round(share * len(people))), len(people) - 1)
    out = numpy_generator(0, "held-out").permutation(len(people))[:count]
    return np.isin(participant, people[out])


def encode(table: Table, held_out_share: float) -> Population:
    """Split by people, then scale and encode with statistics of the contributors only.

    Raises:
        InputError: no feature is left, or a private attribute has a single value.
    """
    n = len(table.features)
    participant = np.arange(n, dtype=np.int64) if table.participant is None else table.participant
    out = hold_out(participant, held_out_share)
    private, attributes = _encode_private(table.private, ~out)
    x, columns = _encode_features(table.features, ~out)
    marginals = tuple(
        tuple((np.bincount(private[~out, a], minlength=len(attribute.classes)) / (~out).sum()).tolist())
        for a, attribute in enumerate(attributes)
    )
    crowd = Crowd(x, private, table.tasks, participant, Description(columns, attributes, marginals))
    return Population(crowd.take(np.flatnonzero(~out)), crowd.take(np.flatnonzero(out)))


def _encode_features(features: pd.DataFrame, known: np.ndarray) -> tuple[Floats, tuple[Column, ...]]:
    parts: list[Floats] = []
    columns: list[Column] = []
    start = 0
    for name in features.columns:
        values = features[name]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            number = values.to_numpy(np.float64)
            mean, std = number[known].mean(), number[known].std()
            if std == 0:
                continue  # a constant says nothing
            scaled = np.clip((number - mean) / std, -CLIP, CLIP)[:, None]
            column = Column(str(name), "numeric", start, (), 0.5 * float((scaled[known] ** 2).mean()))
        else:
            text = values.astype(str).to_numpy()
            categories = tuple(np.unique(text[known]).tolist())
            if len(categories) < 2:
                continue
            scaled = (text[:, None] == np.array(categories)[None, :]).astype(np.float64)
            share = scaled[known].mean(0)
            column = Column(str(name), "categorical", start, categories, float(-(share * np.log(share)).sum()))
        parts.append(scaled.astype(np.float32))
        columns.append(column)
        start += column.width
    if not columns:
        raise InputError("no feature column with more than one value is left")
    return np.concatenate(parts, axis=1), tuple(columns)


def _encode_private(private: pd.DataFrame, known: np.ndarray) -> tuple[Ints, tuple[Attribute, ...]]:
    labels, attributes = [], []
    for name in private.columns:
        values = private[name]
        if pd.api.types.is_numeric_dtype(values) and values[known].nunique() > 2:
            middle = values[known].median()
            text = np.where(values.to_numpy() > middle, f"> {middle:g}", f"<= {middle:g}")
        else:
            text = values.astype(str).to_numpy()
        names, counts = np.unique(text[known], return_counts=True)
        kept = names[counts >= RARE * known.sum()]
        text = np.where(np.isin(text, kept), text, OTHER)
        classes = tuple(np.unique(text[known]).tolist())
        if OTHER in text and OTHER not in classes:
            classes = (*classes, OTHER)
        if len(classes) < 2:
            raise InputError(f"private attribute '{name}' has a single value, '{classes[0]}': nothing to hide")
        position = {value: code for code, value in enumerate(classes)}
        labels.append(np.array([position[value] for value in text], dtype=np.int64))
        attributes.append(Attribute(str(name), classes))
    return np.stack(labels, axis=1), tuple(attributes)


def require_columns(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Check that the table has the columns `names`, wanted as `what`.

    Raises:
        InputError: naming the first column that is missing and those that there are.
    """
    for name in names:
        if name not in frame.columns:
            raise InputError(f"unknown {what} '{name}': choose from {', '.join(map(str, frame.columns))}")
