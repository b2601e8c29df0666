"""The figure of what a federation sends and what tasks keep for it."""

import pandas as pd
from matplotlib.figure import Figure

from fl_tiprdc.report.style import colors, styled

MARKERS = ("o", "s", "D", "v", "^", "P", "X", "*", "<", ">", "p", "h")


@styled
def exchanges_figure(table: pd.DataFrame, level: float) -> Figure:
    """Draw the retention at a worst attack of `level` over the megabytes of a training.

    Args:
        table: as exchanges.csv: plan, method, exchanges, megabytes, retention_at; rows of a plan agree in these.
        level: the attack AUC at which retention was read.
    """
    plans = table.drop_duplicates("plan")
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    color = colors(list(plans["method"]))
    for i, (_, plan) in enumerate(plans.iterrows()):
        reached = pd.notna(plan["retention_at"])
        axes.plot(
            plan["megabytes"],
            max(0.0, plan["retention_at"]) if reached else 0.0,
            MARKERS[i % len(MARKERS)],
            color=color[plan["method"]],
            markerfacecolor=color[plan["method"]] if reached else "none",
            clip_on=False,
            label=f"{plan['plan']}: {plan['exchanges']:,.0f} exchanges" + ("" if reached else ", never so safe"),
        )
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel("megabytes of one training, all clients, sent and received")
    axes.set_ylabel(f"retention R at a worst attack of {level:g}")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
