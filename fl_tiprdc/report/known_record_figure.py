"""The figure of attackers who know some of a record, from `further_summary.summarize_known`."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fl_tiprdc.evaluation.further_summary import mean_known
from fl_tiprdc.report.panels import interval, one_legend, shades
from fl_tiprdc.report.style import GRAY, shown, styled

NAME = "known-record"
PANEL_COLUMNS = 3
SPREAD = 0.56  # of a rung's height, over which the values of λ lie
LONGEST = 24  # letters of a column's name
_MARKERS = "osD^vPX"


def known_record_figures(summary: pd.DataFrame) -> dict[str, Figure]:
    """Return the figure by its name; none of an empty summary."""
    return {NAME: known_record_figure(mean_known(summary))} if len(summary) else {}


@styled
def known_record_figure(mean: pd.DataFrame) -> Figure:
    """Draw the AUC alone and with the release for everything that attackers may know, a panel a method.

    Args:
        mean: `mean_known` of a summary.
    """
    panels = {
        str(target): list(rows.groupby(["setting", "method"], sort=False))
        for target, rows in mean.groupby("target", sort=False)
    }
    rungs = {target: _rungs(mean[mean["target"] == target]) for target in panels}
    columns = min(PANEL_COLUMNS, max(map(len, panels.values())))
    lines = [target for target, own in panels.items() for _ in range(0, len(own), columns)]  # an attribute begins anew
    height = 0.9 + sum(0.7 + 0.3 * len(rungs[target]) for target in lines)
    figure = Figure(figsize=(1.9 + 2.9 * columns, height), layout="constrained")
    figure.suptitle("What a release adds for an attacker who knows some of the record")
    grid = figure.subplots(len(lines), columns, squeeze=False, sharex=True)
    for target, own in panels.items():
        for i, ((setting, method), panel) in enumerate(own):
            axes = grid[lines.index(target) + i // columns, i % columns]
            _panel(axes, panel, rungs[target])
            axes.set_title(f"{method}, {setting}" + (f": {target}" if len(panels) > 1 else ""))
            if i % columns == 0:
                axes.set_yticks(range(len(rungs[target])), [_shortened(name) for name in rungs[target]])
                axes.set_ylabel("the attacker knows")
            else:
                axes.set_yticks(range(len(rungs[target])), [])
            axes.set_xlabel("AUC of the attacker (0.5 = chance)")
            axes.xaxis.set_tick_params(labelbottom=True)
    for axes in grid.flat:
        axes.set_visible(axes.has_data())
    one_legend(figure, min(4, 2 * columns))
    return figure


def _rungs(rows: pd.DataFrame) -> list[str]:
    """Return everything that attackers know in some panel: nothing, columns by their AUC, several, everything."""
    rungs = rows.groupby("knows", sort=False).agg(count=("count", "first"), alone=("alone", "mean"))
    order = rungs.assign(alone=-rungs["alone"]).sort_values(["count", "alone"], kind="stable")  # everything: no count
    return order.index.astype(str).tolist()


def _shortened(name: str) -> str:
    return shown(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")


def _panel(axes: Axes, panel: pd.DataFrame, rungs: Sequence[str]) -> None:
    """Draw one method: on each rung a line at the AUC alone, and a mark with interval for each value of λ."""
    dial = "dial" if (panel["setting"] == "baseline").all() else "λ"
    shade = shades(panel["lam"])
    heights = {name: height for height, name in enumerate(rungs)}
    alone = panel.groupby("knows")["alone"].mean()
    furthest = panel.groupby("knows")["with_release"].max()
    rows = alone.index.map(heights).to_numpy()
    axes.hlines(rows, alone, furthest, color=GRAY, linewidth=0.8, alpha=0.5)
    axes.vlines(alone, rows - 0.4, rows + 0.4, color="black", linewidth=1.8, label="without the release")
    for i, (lam, color) in enumerate(shade.items()):
        mine = panel[panel["lam"] == lam]
        shift = SPREAD * ((i + 0.5) / len(shade) - 0.5)
        axes.errorbar(
            mine["with_release"],
            mine["knows"].map(heights) + shift,
            xerr=interval(mine, "with_release"),
            color=color,
            marker=_MARKERS[i % len(_MARKERS)],
            linestyle="",
            markersize=4,
            elinewidth=0.8,
            label=f"with the release, {dial} = {lam:g}",
        )
    axes.axvline(0.5, color=GRAY, linewidth=1, label="chance")
    axes.set_ylim(len(rungs) - 0.4, -0.6)
