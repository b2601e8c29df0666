"""Compare two runs value by value: a change that moves code and nothing else leaves every digit of metrics.csv.

python simulations/same_values.py results/BEFORE results/AFTER

Ends with status 1, after a table of the largest differences, where a value differs or one run has a row more.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.experiment.screen import Screen
from simulations.tables import show

VALUES = ("value", "low", "high")
SHOWN = ["method", "lam", "kind", "target", "model", "metric", "value before", "value after"]  # fit a terminal
MOST = 20  # rows that are shown


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, compare, print."""
    parser = Parser(description=__doc__ or "")
    parser.add_argument("before", type=Path, help="folder of a run")
    parser.add_argument("after", type=Path, help="folder of a run with the same settings")
    parsed = parser.parse_args(arguments)
    before, after = read_values(parsed.before), read_values(parsed.after)
    rows, screen = differing_rows(before, after), Screen()
    if not len(rows):
        screen.print(f"all {len(VALUES) * len(after):,} values of {len(after):,} rows are the same", highlight=False)
        return
    screen.print(show(rows.reset_index()[SHOWN][:MOST], f"rows that differ, {MOST} at most"))
    raise SystemExit(f"{len(rows):,} of {len(before.index.union(after.index)):,} rows differ")


if __name__ == "__main__":
    guard(main)
