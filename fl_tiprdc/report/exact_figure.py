"""The figure of what every code of a finite release says of u, from `posterior_risk.PosteriorRisk.table`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fl_tiprdc.evaluation.posterior_risk import ATTRIBUTE
from fl_tiprdc.report.file_names import file_name
from fl_tiprdc.report.panels import panels
from fl_tiprdc.report.style import BLUE, GRAY, ORANGE, styled

PANEL_COLUMNS = 2
SEPARATE = 150  # codes, up to which the boxes have edges


@styled
def exact_figure(risk: pd.DataFrame, attribute: str) -> Figure:
    """Draw P(class | code) of every code with its 95 % interval, a panel a class, beside the class's share.

    A code is as wide as its share of the records, and codes are sorted by P(class | code), so that one can read how
    many people are told how much. Of two classes the rarer is drawn, since the other mirrors it.

    Args:
        risk: columns of `RISK_COLUMNS`; codes that no record has are left out.
        attribute: name of u.
    """
    risk = risk[risk["records"] > 0]
    shares = risk.drop_duplicates("class").set_index("class")["prior"]
    classes = [shares.idxmin()] if len(shares) == 2 else list(shares.index)
    columns = min(PANEL_COLUMNS, len(classes))
    lines = -(-len(classes) // columns)
    size = (6.4, 4.2) if len(classes) == 1 else (1.0 + 3.7 * columns, 1.2 + 2.5 * lines)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(f"What each of {risk['code'].nunique():,} codes tells of {attribute}")
    grid = panels(figure, len(classes), columns, "share of the records, sorted by the risk of their code", sharex=True)
    for axes, name in zip(grid, classes, strict=True):
        _class_panel(axes, risk[risk["class"] == name], f"P({name} | code)")
    _legend(figure)
    return figure


def _class_panel(axes: Axes, codes: pd.DataFrame, label: str) -> None:
    """Draw one class: a box a code, from the low to the high end of its interval, and a line at the posterior."""
    codes = codes.sort_values(["posterior", "code"])
    share, posterior = codes["share"].to_numpy(), codes["posterior"].to_numpy()
    low, high = codes["low"].to_numpy(), codes["high"].to_numpy()
    prior = float(codes["prior"].iloc[0])
    edges = np.r_[0, np.cumsum(share)]
    outside = (low > prior) | (high < prior)
    axes.bar(
        edges[:-1],
        high - low,
        width=share,
        bottom=low,
        align="edge",
        color=np.where(outside, ORANGE, BLUE).tolist(),
        alpha=0.45,
        edgecolor="white",
        linewidth=0.6 if len(codes) <= SEPARATE else 0.0,
    )
    axes.stairs(posterior, edges, baseline=None, color="black", linewidth=1.2)
    axes.axhline(prior, color=GRAY, linewidth=1.2, linestyle="--")
    axes.set_xlim(0, 1)
    margin = 0.05 * (high.max() - low.min())
    axes.set_ylim(max(0.0, low.min() - margin), min(1.0, high.max() + margin))
    axes.set_ylabel(label)
    axes.set_title(f"the share of {prior:.2f} lies outside {outside.sum():,} of {len(codes):,} intervals", fontsize=8)


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color="black", linewidth=1.2),
        Line2D([], [], color=GRAY, linewidth=1.2, linestyle="--"),
        Patch(color=BLUE, alpha=0.45, linewidth=0),
        Patch(color=ORANGE, alpha=0.45, linewidth=0),
    ]
    labels = [
        "measured for a code",
        "share of the class: nothing is told",
        "95 % interval with the share inside",
        "95 % interval without the share (1 in 20 by chance)",
    ]
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def exact_figures(risk: pd.DataFrame) -> dict[str, Figure]:
    """Return a figure for each private attribute and point of what is published, by name, of the first seed.

    Centralized releases are left out where there are federated ones.

    Args:
        risk: rows of risk.csv: columns of a point, "attribute" and `RISK_COLUMNS`; may be empty.
    """
    if risk.empty:
        return {}
    settings = set(risk["setting"])
    published = risk[(risk["setting"] == ("federated" if "federated" in settings else risk["setting"].iloc[0]))]
    published = published[published["seed"] == published["seed"].iloc[0]]
    several = published["method"].nunique() > 1
    figures: dict[str, Figure] = {}
    for (method, lam, attribute), rows in published.groupby(["method", "lam", ATTRIBUTE], sort=False):
        name = "-".join(["exact", *([str(method)] if several else []), f"{lam:g}", str(attribute)])
        figure = exact_figure(rows, str(attribute))
        figure.suptitle(f"{figure.get_suptitle()}: {method}, λ = {lam:g}")
        figures[file_name(name)] = figure
    return figures
