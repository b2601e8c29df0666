"""The figures of the attacks beside the panel's, from `further_summary.summarize_further`."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fl_tiprdc.evaluation.attacks import membership, reidentification
from fl_tiprdc.evaluation.attacks.registry import FURTHER, LevelFigure
from fl_tiprdc.evaluation.further_summary import mean_further
from fl_tiprdc.report.panels import BARS, interval, one_legend, panels, shades
from fl_tiprdc.report.style import GRAY, SETTING_LINES, SETTING_MARKERS, colors, styled

RAW, CHANCE = "raw data", "chance"  # in legends
PERSON = "further-attacks"  # name of the figure of attacks that have no level
COLUMNS = 3  # of panels
TRAINED = ("centralized", "federated")
_MARKERS = "osD^vPX"


def further_figures(summary: pd.DataFrame) -> dict[str, Figure]:
    """Return a figure, by name, for each attack that there is."""
    mean = mean_further(summary)
    kinds = set(mean["kind"])
    figures = {
        kind: level_figure(mean[mean["kind"] == kind], attack.figure)
        for kind, attack in FURTHER.items()
        if attack.figure and kind in kinds
    }
    if kinds & {membership.KIND, reidentification.KIND}:
        figures[PERSON] = people_figure(mean)
    return figures


@styled
def level_figure(rows: pd.DataFrame, words: LevelFigure) -> Figure:
    """Draw the best attacker's AUC over the level of an attack: a panel a method, a line a λ, raw data, chance.

    Args:
        rows: `mean_further` of a summary, of this kind.
        words: title and labels.
    """
    raw = rows[rows["setting"] == "raw"]
    several = rows["target"].nunique() > 1
    curves = rows[rows["setting"] != "raw"] if (rows["setting"] != "raw").any() else rows
    cases = list(curves.groupby(["target", "setting", "method"], sort=False))
    columns = min(COLUMNS, len(cases))
    lines = -(-len(cases) // columns)
    figure = Figure(figsize=(1.0 + 3.1 * columns, 0.9 + 2.7 * lines), layout="constrained")
    figure.suptitle(words.title)
    grid = panels(figure, len(cases), columns, sharex=True, sharey=True)
    for i, (axes, ((target, setting, method), panel)) in enumerate(zip(grid, cases, strict=True)):
        _levels(axes, panel, raw[raw["target"] == target])
        axes.set_title(f"{method}, {setting}" + (f": {target}" if several else ""))
        if i % columns == 0:
            axes.set_ylabel("AUC of the best attacker\n(0.5 = chance)")
        if i + columns >= len(cases):  # attributes may differ in the unit of their levels
            axes.set_xlabel(words.axes[str(panel["unit"].iloc[0])])
    one_legend(figure, 4, (RAW, CHANCE))
    return figure


def _levels(axes: Axes, panel: pd.DataFrame, raw: pd.DataFrame) -> None:
    """Draw one method's lines, and the line of raw data."""
    dial = "dial" if (panel["setting"] == "baseline").all() else "λ"
    for i, (lam, shade) in enumerate(shades(panel["lam"]).items()):
        _bars(axes, panel[panel["lam"] == lam], "level", f"{dial} = {lam:g}", shade, _MARKERS[i % len(_MARKERS)], "-")
    if len(raw):
        _bars(axes, raw, "level", RAW, "black", "*", "-.")
    axes.axhline(0.5, color=GRAY, linewidth=1, label=CHANCE)
    axes.set_xscale("log")
    levels = sorted({*panel["level"], *raw["level"]})
    axes.set_xticks(levels, [f"{level:,.0f}" for level in levels], rotation=30 if max(levels) >= 1000 else 0)
    axes.set_xticks([], minor=True)


def _bars(axes: Axes, rows: pd.DataFrame, by: str, label: str, color: Any, marker: str, line: Any) -> None:
    rows = rows.sort_values(by)
    axes.errorbar(
        rows[by],
        rows["value"],
        yerr=interval(rows, "value"),
        color=color,
        marker=marker,
        linestyle=line,
        label=label,
        **BARS,
    )


@styled
def people_figure(mean: pd.DataFrame) -> Figure:
    """Draw membership and re-identification over λ, a line a method; chance in each panel.

    Args:
        mean: `mean_further` of a summary.
    """
    cases = [
        (kind, str(target))
        for kind in (membership.KIND, reidentification.KIND)
        for target in mean.loc[mean["kind"] == kind, "target"].unique()
    ]
    figure = Figure(figsize=(0.6 + 3.3 * len(cases), 3.7), layout="constrained")
    figure.suptitle("Attacks on people rather than attributes")
    grid = panels(figure, len(cases), len(cases), "λ (weight of privacy)")
    palette = colors(list(mean["method"]))
    methods = [m for m in palette if m in set(mean.loc[mean["setting"].isin(TRAINED), "method"])]
    for axes, (kind, target) in zip(grid, cases, strict=True):
        rows = mean[(mean["kind"] == kind) & (mean["target"] == target)]
        trained = rows[rows["setting"].isin(TRAINED)]
        for (setting, method), curve in trained.groupby(["setting", "method"], sort=False):
            label = f"{method}, {setting}"
            # side by side, so that bars don't hide each other
            curve = curve.assign(lam=curve["lam"] + 0.012 * (methods.index(str(method)) - (len(methods) - 1) / 2))
            marker, line = SETTING_MARKERS[str(setting)], SETTING_LINES[str(setting)]
            _bars(axes, curve, "lam", label, palette[str(method)], marker, line)
        for value in rows.loc[rows["setting"] == "raw", "value"]:
            axes.axhline(value, color="black", linewidth=0.8, linestyle="-.", label=RAW)
        axes.axhline(float(rows["chance"].mean()), color=GRAY, linewidth=1, label=CHANCE)
        axes.set_xlim(-0.05, 1.05)
        if kind == membership.KIND:
            axes.set_title(f"membership, by {target}")
            axes.set_ylabel("AUC of the best attacker (0.5 = chance)")
            axes.set_ylim(
                min(0.4, float(rows["value_low"].min()) - 0.01), max(0.6, float(rows["value_high"].max()) + 0.01)
            )
        else:
            axes.set_yscale("log")
            axes.set_title(f"re-identification among {1 / rows['chance'].mean():,.0f}")
            axes.set_ylabel("share of people found first")
    one_legend(figure, 4, (RAW, CHANCE))
    return figure
