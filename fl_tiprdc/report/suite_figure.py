"""The figure of every method over every data set."""

import pandas as pd
from matplotlib.figure import Figure

from fl_tiprdc.report.figures import ATTACK, RETENTION
from fl_tiprdc.report.panels import interval, one_legend, panels
from fl_tiprdc.report.style import GRAY, colors, styled

ACROSS = 3  # panels in a row


@styled
def suite_figure(table: pd.DataFrame) -> Figure:
    """Draw a panel for each data set: retention of each method over its worst attack, with what is certified.

    Args:
        table: as suite.csv; methods that were refused have no point.
    """
    color = colors(list(table["method"].unique()))
    kinds = list(table.groupby(["dataset", "private"], sort=False))
    columns = min(ACROSS, len(kinds))
    figure = Figure(figsize=(3.4 * columns, 3.0 * -(-len(kinds) // columns) + 0.6), layout="constrained")
    grid = panels(figure, len(kinds), columns, f"{ATTACK};\nbars to the right: certified", sharex=True, sharey=True)
    for axes, ((dataset, private), of_data) in zip(grid, kinds, strict=True):
        for method, curve in of_data.dropna(subset="retention").groupby("method", sort=False):
            attack = curve[["panel", "exact"]].max(axis=1)
            axes.errorbar(
                attack,
                curve["retention"],
                xerr=[0 * attack, (curve["certified"] - attack).clip(lower=0).fillna(0)],
                yerr=interval(curve, "retention"),
                color=color[str(method)],
                marker="o" if curve["exact"].notna().any() else "s",
                linestyle="-",
                markersize=4.5,
                elinewidth=0.8,
                label=str(method),
            )
        if of_data["limit"].notna().any():
            axes.axhline(of_data["limit"].max(), color=GRAY, linestyle=":", linewidth=1)
        axes.axvline(0.5, color=GRAY, linewidth=1)
        axes.set_title(f"{dataset}, hiding {private}", fontsize=9)
        axes.set_ylim(0, 1.05)
    for axes in grid[::columns]:
        axes.set_ylabel(f"mean {RETENTION};\ndotted: limit")
    one_legend(figure, 7, fontsize=8)
    return figure
