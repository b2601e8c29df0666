"""Compare two runs value by value: a change that moves code and nothing else leaves every digit of metrics.csv.

python simulations/same_values.py results/BEFORE results/AFTER

Ends with status 1, after a table of the largest differences, where a value differs or one run has a row more.
"""

from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.studies.value_differences import VALUES, differing_rows, read_values
from simulations.tables import show

SHOWN = ["method", "lam", "kind", "target", "model", "metric", "value before", "value after"]  # fit a terminal
MOST = 20  # rows that are shown


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
