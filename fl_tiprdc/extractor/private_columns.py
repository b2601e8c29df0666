"""Private labels as the transformer is given them: a column for each private attribute, each with its name."""

from typing import Any

import numpy as np
import pandas as pd

from fl_tiprdc.data.column_values import as_text
from fl_tiprdc.errors import InputError, require_once


def as_pandas(data: Any) -> Any:
    """Return a frame or series of another library, such as polars or Arrow, as pandas'; all else as it is."""
    foreign = not isinstance(data, (pd.Series, pd.DataFrame)) and hasattr(data, "to_pandas")
    return data.to_pandas() if foreign else data


def require_same_rows(x: Any, private: Any) -> None:
    """Check that private labels stand in the order of the records, where pandas knows both by an index.

    Raises:
        InputError: they have the same index in another order: labels are joined by place.
    """
    if not (isinstance(x, pd.DataFrame) and isinstance(private, (pd.Series, pd.DataFrame))):
        return
    ours, theirs = x.index, private.index
    if len(ours) == len(theirs) and not ours.equals(theirs) and ours.is_unique and ours.isin(theirs).all():
        raise InputError("the private labels have the records' index in another order: give private.loc[X.index]")


def private_columns(labels: Any) -> pd.DataFrame:
    """Return private labels as a table, a column for each attribute, numbers with a fraction in float64.

    Args:
        labels: [n] or [n, attributes]. A Series and a DataFrame keep their names; other attributes are called
            "private", or "private 0", "private 1" and so on.

    Raises:
        InputError: a label is missing, or two columns have one name.
    """
    if isinstance(labels, pd.Series):
        labels = labels.to_frame()
    if not isinstance(labels, pd.DataFrame):
        labels = pd.DataFrame(np.asarray(labels).reshape(len(labels), -1))
    names = list(labels.columns)
    if not all(isinstance(name, str) for name in names):
        names = ["private"] if len(names) == 1 else [f"private {i}" for i in range(len(names))]
    require_once("private column", names)
    table = labels.set_axis(names, axis=1).reset_index(drop=True)
    for name in names:
        if (missing := table[name].isna().to_numpy()).any():
            raise InputError(f"private column '{name}' has no value in row {int(missing.argmax()) + 1}")
    floats = {name: np.float64 for name in names if pd.api.types.is_float_dtype(table[name])}
    wide: pd.DataFrame = table.astype(floats)
    return wide


def as_classes(labels: pd.DataFrame) -> pd.DataFrame:
    """Return the labels as texts, but numbers with a fraction as they are: these are split at their median."""
    classes = {}
    for name, values in labels.items():
        split = pd.api.types.is_float_dtype(values) and (values % 1 != 0).any() and values.nunique() > 2
        classes[name] = values if split else as_text(values)
    return pd.DataFrame(classes)


def without_private(table: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Return the table without the columns that are a private attribute itself: its name and its values."""
    own = [
        name
        for name in labels.columns
        if name in table.columns
        and table[name].notna().all()
        and np.array_equal(table[name].to_numpy(object), labels[name].to_numpy(object))
    ]
    return table.drop(columns=own)
