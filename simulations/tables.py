"""Result tables on the screen."""

import math

import pandas as pd
from rich.table import Table


def show(frame: pd.DataFrame, title: str) -> Table:
    """Return a result table for the screen."""
    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*map(_cell, row))
    return table


def _cell(value: object) -> str:
    """Return a number or word as it is shown; what is missing is left empty."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
