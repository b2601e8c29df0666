"""The figure of the trade-off that no representation escapes, from `guarantees.trade_offs`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fl_tiprdc.evaluation.guarantees import most_group_mean
from fl_tiprdc.report.panels import one_legend, panels
from fl_tiprdc.report.style import GRAY, SETTING_LINES, SETTING_MARKERS, colors, styled

MARGIN = 0.03  # around what is drawn


def _panel(axes: Axes, rows: pd.DataFrame, left: float) -> None:
    """Draw one task: curves, raw data, chance, and the area beyond the bound."""
    palette = colors(list(rows["method"]))
    mean = rows.groupby(["setting", "method", "lam"], sort=False, as_index=False)[["attack", "group_mean"]].mean()
    for (setting, method), curve in mean[mean["setting"] != "raw"].groupby(["setting", "method"], sort=False):
        curve = curve.sort_values("lam")
        axes.plot(
            curve["attack"],
            curve["group_mean"],
            color=palette[str(method)],
            marker=SETTING_MARKERS[str(setting)],
            linestyle=SETTING_LINES[str(setting)],
            markersize=4.5,
            linewidth=1.3,
            markerfacecolor="white" if setting == "federated" else palette[str(method)],
            label=f"{method}, {setting}",
        )
    raw = mean[mean["setting"] == "raw"]
    axes.plot(
        raw["attack"], raw["group_mean"], marker="*", markersize=11, color="black", linestyle="", label="raw data"
    )
    gap, chance = float(rows["base_gap"].mean()), float(rows["chance"].mean())
    attacks = np.unique([left, 0.5, (1 + gap) / 2, 1 + MARGIN])  # the bound bends where the distance is 0 and Δ
    bound = [most_group_mean(gap, attack) for attack in attacks]
    top = 1 + MARGIN
    axes.plot(attacks, bound, color="black", linewidth=1.3, label="bound for this attack")
    axes.fill_between(attacks, bound, top, color=GRAY, alpha=0.18, linewidth=0)
    axes.axhline(chance, color=GRAY, linewidth=1, linestyle="-.", label="most frequent answer")
    axes.set_xlim(left, 1 + MARGIN)
    axes.set_ylim(min(chance, float(mean["group_mean"].min())) - MARGIN, top)


@styled
def bounds_figure(trade_offs: pd.DataFrame) -> Figure:
    """Draw the best probe's group-mean accuracy over the best balanced attack, and what that attack leaves possible.

    One panel a task and binary private attribute; means over seeds. The bound is an estimate, as the attack is: a
    probe in the shaded area shows that the panel has missed an attacker.

    Args:
        trade_offs: `guarantees.trade_offs`, not empty.
    """
    cases = list(trade_offs.groupby(["attribute", "task"], sort=False))
    figure = Figure(figsize=(7.2, 3.0 * -(-len(cases) // 2) + 0.9), layout="constrained")
    figure.suptitle("What any probe can have, given the attack (up and left is better)")
    grid = panels(figure, len(cases), min(2, len(cases)), "best balanced attack accuracy (0.5 = chance)", sharex=True)
    left = min(0.5, float(trade_offs["attack"].min())) - MARGIN
    for axes, ((attribute, task), one) in zip(grid, cases, strict=True):
        _panel(axes, one, left)
        axes.set_title(f"task: {task}, Δ = {one['base_gap'].mean():.2f} by {attribute}")
        axes.set_ylabel("best probe's accuracy,\nmean of both groups")
    one_legend(figure, 3)
    return figure
