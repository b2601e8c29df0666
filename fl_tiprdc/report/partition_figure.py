"""The figure of a comparison of partitions."""

import pandas as pd
from matplotlib.figure import Figure

from fl_tiprdc.evaluation.frontier import over_seeds
from fl_tiprdc.report.figures import ATTACK, RETENTION
from fl_tiprdc.report.panels import BARS, interval, one_legend
from fl_tiprdc.report.style import GRAY, PARTITION_LOOKS, styled


@styled
def partition_figure(points: pd.DataFrame) -> Figure:
    """Draw a panel a method: one curve a partition beside centralized, raw data and the baselines.

    `points` as `summarize_points` gives them, with a column "partition" (for other settings the setting's name).
    """
    methods = list(points.loc[points["setting"].isin(["centralized", "federated"]), "method"].unique())
    figure = Figure(figsize=(1.2 + 5.0 * len(methods), 4.6), layout="constrained")
    grid = figure.subplots(1, len(methods), squeeze=False, sharey=True)[0]
    for axes, method in zip(grid, methods, strict=True):
        mine = points[(points["method"] == method) | points["setting"].isin(["raw", "baseline"])]
        looks = iter(PARTITION_LOOKS)
        for (partition, name), group in mine.groupby(["partition", "method"], sort=False):
            curve = over_seeds(group).sort_values("lam")
            label = {"raw": "raw data", "baseline": name}.get(str(partition), str(partition))
            if partition == "raw":
                axes.plot(curve["attack"], curve["retention"], "*", color="black", markersize=11, label=label)
                continue
            color, marker, line = (GRAY, "^", ":") if partition == "baseline" else next(looks)
            axes.errorbar(
                curve["attack"],
                curve["retention"],
                xerr=interval(curve, "attack"),
                yerr=interval(curve, "retention"),
                color=color,
                marker=marker,
                linestyle=line,
                label=label if partition in ("centralized", "baseline") else f"federated, {label}",
                **BARS,
            )
        axes.axvline(0.5, color=GRAY, linewidth=1)
        axes.text(0.502, 0.02, "chance", rotation=90, color=GRAY, fontsize=7, transform=axes.get_xaxis_transform())
        axes.set_xlabel(ATTACK)
        axes.set_title(method)
    grid[0].set_ylabel(f"mean {RETENTION}")
    one_legend(figure, 3)
    return figure
