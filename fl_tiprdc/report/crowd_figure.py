"""The figure of what a larger crowd buys."""

import pandas as pd
from matplotlib.figure import Figure

from fl_tiprdc.report.style import BLUE, GRAY, RED, styled


@styled
def crowd_figure(table: pd.DataFrame) -> Figure:
    """Draw retention, and exact and certified attacks, over the number of people.

    Args:
        table: as sizes.csv: people, codes, retention, exact, certified, limit.
    """
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    figure.suptitle("Codes of a larger crowd, λ = 1")
    left, right = figure.subplots(1, 2)
    left.plot(table["people"], table["retention"], "o-", color=BLUE, label="codes, their number above")
    for row in table.itertuples():
        left.annotate(
            f"{row.codes:.0f}", (row.people, row.retention), (0, 6), textcoords="offset points", ha="center", fontsize=7
        )
    left.plot(table["people"], table["limit"], "--", color=GRAY, label="best scores without any leak")
    left.set_ylabel("retention R of unknown tasks")
    left.set_ylim(0, 1.05)
    right.plot(table["people"], table["certified"], "v-", color=RED, label="certified: no attacker exceeds it")
    right.plot(table["people"], table["exact"], "o-", color=BLUE, label="exact attack on held-out people")
    right.axhline(0.5, linestyle=":", color=GRAY)
    right.set_ylabel("AUC (0.5 is chance)")
    right.set_ylim(0.45, 0.8)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("people in the crowd")
        axes.legend(loc="lower right" if axes is left else "upper right")
    return figure
