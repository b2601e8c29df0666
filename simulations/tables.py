"""Result tables on the screen."""

import pandas as pd
from rich.table import Table


def show(frame: pd.DataFrame, title: str) -> Table:
    """A result table for the screen."""
    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(
            *(f"{v:,.2f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v) for v in row)
        )
    return table
