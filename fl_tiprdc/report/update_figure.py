"""The figure of what clients' updates give away."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fl_tiprdc.report.panels import BARS, interval, one_legend
from fl_tiprdc.report.style import BLUE, GRAY, GREEN, ORANGE, PURPLE, styled

# phase -> color, marker, line
LOOKS: dict[str, tuple[str, str, Any]] = {
    "hybrid-gradient": (BLUE, "o", "-"),
    "adversary-gradient": (ORANGE, "s", "--"),
    "local-training": (GREEN, "D", "-."),
    "any": (PURPLE, "v", ":"),
}
GROUPS = ("extractor", "adversary", "critic", "all", "losses", "records")


def _over_moments(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the mean over moments; intervals from the lowest to the highest end."""
    return rows.groupby(by, as_index=False, sort=False).agg(
        value=("value", "mean"), low=("low", "min"), high=("high", "max")
    )


def _draw(axes: Any, places: Any, rows: pd.DataFrame, phase: str, joined: bool) -> None:
    color, marker, line = LOOKS.get(phase, (GRAY, "x", ":"))
    axes.errorbar(
        places,
        rows["value"],
        yerr=interval(rows, "value", "low", "high"),
        color=color,
        marker=marker,
        linestyle=line if joined else "none",
        label="number of records" if phase == "any" else phase.replace("-", " "),
        **BARS,
    )


@styled
def update_figure(table: pd.DataFrame) -> Figure:
    """Draw the AUC of reading a private value from an update: by group, noise, members of a sum; a column a partition.

    `table` as in updates.csv. Points are means over the moments of training, bars reach from the lowest to the
    highest end of the moments' 95 % intervals.
    """
    table = table[(table["metric"] == "auc") & (table["attacker"] != "bias")]
    partitions = list(table["partition"].unique())
    phases = [phase for phase in LOOKS if phase in set(table["phase"])]
    groups = [group for group in GROUPS if group in set(table["group"])]
    figure = Figure(figsize=(1.2 + 3.4 * len(partitions), 8.6), layout="constrained")
    grid = figure.subplots(3, len(partitions), squeeze=False, sharey=True)
    for column, partition in enumerate(partitions):
        mine = table[table["partition"] == partition]
        for i, phase in enumerate(phases):
            rows = mine[mine["phase"] == phase]
            plain = _over_moments(rows[rows["defence"] == "none"], "group")
            shift = 0.16 * (i - (len(phases) - 1) / 2)
            _draw(grid[0][column], plain["group"].map(groups.index) + shift, plain, phase, joined=False)
            # an exchange of one group has no "all"
            whole = rows[rows["group"] == ("adversary" if phase == "adversary-gradient" else "all")]
            noisy = _over_moments(whole[whole["defence"] == "noise"], "defence_level")
            if len(noisy):
                _draw(grid[1][column], noisy["defence_level"], noisy, phase, joined=True)
            summed = whole[whole["defence"].isin(["none", "sum"])]
            summed = summed.assign(defence_level=summed["defence_level"].where(summed["defence"] == "sum", 1.0))
            if phase != "any":
                summed = _over_moments(summed, "defence_level")
                _draw(grid[2][column], summed["defence_level"], summed, phase, joined=True)
        exact = mine[mine["group"] == "exact"]
        if len(exact):
            rows = _over_moments(exact[exact["phase"] == exact["phase"].iloc[0]], "defence_level")
            grid[2][column].plot(
                rows["defence_level"], rows["value"], "x:", color=GRAY, linewidth=1.3, label="sum's share known exactly"
            )
        levels = sorted(mine.loc[mine["defence"] == "noise", "defence_level"].unique())
        above = [level for level in levels if level > 0]
        grid[0][column].set_title(f"{partition}, {int(mine['clients'].max())} clients")
        grid[0][column].set_xticks(range(len(groups)), groups, rotation=30)
        grid[0][column].set_xlabel("what the attacker reads, no defence")
        if above:
            grid[1][column].set_xscale("symlog", linthresh=min(above))
            grid[1][column].set_xlim(-0.3 * min(above), 1.6 * max(above))
        grid[1][column].set_xlabel("noise multiplier (0: clipping alone)")
        grid[2][column].set_xscale("log")
        sizes = [1, *(int(m) for m in sorted(mine.loc[mine["defence"] == "sum", "defence_level"].unique()))]
        grid[2][column].set_xticks(sizes, [str(size) for size in sizes])
        grid[2][column].set_xticks([], minor=True)
        grid[2][column].set_xlabel("clients in a sum (1: no secure aggregation)")
    for row in grid:
        row[0].set_ylabel("AUC of the private value")
        for axes in row:
            axes.axhline(0.5, color=GRAY, linewidth=1)
            axes.text(
                0.99, 0.5, "chance", color=GRAY, fontsize=7, ha="right", va="top", transform=axes.get_yaxis_transform()
            )
    one_legend(figure, 5)
    return figure
