"""The comparison of two runs, value by value."""

from pathlib import Path

import pandas as pd

from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.metric_rows import COLUMNS

VALUES = ("value", "low", "high")


def read_values(folder: Path) -> pd.DataFrame:
    """Return a run's values as they are written, by what they are of.

    Raises:
        InputError: the folder has no metrics.csv of a run.
    """
    path = folder / "metrics.csv"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read '{path}': {error}") from None
    if list(table.columns) != COLUMNS:
        raise InputError(f"'{path}' has other columns than this version's: {', '.join(table.columns)[:200]}")
    return table.set_index([name for name in COLUMNS if name not in VALUES])


def differing_rows(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose values differ or that one run alone has, largest differences first."""
    both = before.add_suffix(" before").join(after.add_suffix(" after"), how="outer").fillna("no such row")
    differs = pd.concat([both[f"{name} before"] != both[f"{name} after"] for name in VALUES], axis=1).any(axis=1)
    rows = both[differs]
    sides = [pd.to_numeric(rows[f"value {side}"], errors="coerce") for side in ("before", "after")]
    return rows.loc[(sides[0] - sides[1]).abs().sort_values(ascending=False, na_position="first").index]
