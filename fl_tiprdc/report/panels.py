"""The shared parts of figures with several panels: their grid, one legend, shades, error bars."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BARS: Mapping[str, Any] = {"markersize": 4.5, "linewidth": 1.3, "elinewidth": 0.8}  # of `Axes.errorbar`


def panels(
    figure: Figure, count: int, columns: int, xlabel: str = "", sharex: bool = False, sharey: bool = False
) -> list[Axes]:
    """Return the panels of a figure, row by row.

    Args:
        figure: without panels so far.
        count: of panels.
        columns: panels beside each other.
        xlabel: below the lowest panel of each column.
        sharex: one horizontal scale for all.
        sharey: one vertical scale for all.
    """
    lines = -(-count // columns)
    grid = list(figure.subplots(lines, columns, squeeze=False, sharex=sharex, sharey=sharey).flat)
    for axes in grid[count:]:
        axes.set_visible(False)
    for axes in grid[max(0, count - columns) : count]:
        axes.set_xlabel(xlabel)
        axes.xaxis.set_tick_params(labelbottom=True)  # also where the last line has fewer panels
    return grid[:count]


def one_legend(figure: Figure, columns: int, last: Sequence[str] = (), **looks: Any) -> None:
    """Draw one legend below all panels, each label once.

    Args:
        figure: with its panels.
        columns: of the legend.
        last: labels that come at its end.
        looks: of `Figure.legend`.
    """
    known: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    order = sorted(known, key=lambda label: last.index(label) if label in last else -1)
    figure.legend([known[label] for label in order], order, loc="outside lower center", ncols=columns, **looks)


def shades(values: Iterable[float]) -> dict[float, Any]:
    """Return a shade for each value, in their order."""
    own = sorted(set(values))
    return {value: mpl.colormaps["viridis"](0.9 * i / max(1, len(own) - 1)) for i, value in enumerate(own)}


def interval(curve: pd.DataFrame, value: str, low: str = "", high: str = "") -> list[pd.Series]:
    """Return the lengths of error bars below and above `value`, from its columns _low and _high or those named."""
    ends = curve[low or f"{value}_low"], curve[high or f"{value}_high"]
    return [(curve[value] - ends[0]).clip(lower=0), (ends[1] - curve[value]).clip(lower=0)]
