"""The figures of a run, one function each, from its tables."""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fl_tiprdc.evaluation.frontier import POINT, over_seeds
from fl_tiprdc.evaluation.limits import MEAN
from fl_tiprdc.report.panels import BARS, interval, one_legend, panels, shades
from fl_tiprdc.report.style import GRAY, SETTING_LINES, SETTING_MARKERS, colors, draw_each, styled
from fl_tiprdc.report.training_curves import CURVES, serving_all, training_curves

ATTACK = "worst attack AUC (0.5 = chance)"
RETENTION = "utility retention (raw = 1)"
EXACT, CERTIFIED = "exact attack: the best there is", "certified (95 %)"  # in legends


def _curves(axes: Axes, mean: pd.DataFrame, label_lambda: bool) -> None:
    """Draw one line for each setting and method, with intervals of the attack and ranges of the retention."""
    palette = colors(list(mean["method"]))
    for (setting, method), curve in mean[mean["setting"] != "raw"].groupby(["setting", "method"], sort=False):
        curve = curve.sort_values("lam")
        axes.errorbar(
            curve["attack"],
            curve["retention"],
            xerr=interval(curve, "attack"),
            yerr=interval(curve, "retention"),
            color=palette[str(method)],
            marker=SETTING_MARKERS[str(setting)],
            linestyle=SETTING_LINES[str(setting)],
            markerfacecolor="white" if setting == "federated" else palette[str(method)],
            label=f"{method}, {setting}",
            **BARS,
        )
        if label_lambda and setting == "federated" and method == "tiprdc+":
            for row in curve.itertuples():
                axes.annotate(
                    f"λ={row.lam:g}",
                    (row.attack, row.retention),
                    xytext=(7, -10),
                    textcoords="offset points",
                    fontsize=7,
                    color=palette[str(method)],
                    bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
                    zorder=6,
                )
    raw = mean[mean["setting"] == "raw"]
    axes.plot(raw["attack"], raw["retention"], marker="*", markersize=11, color="black", linestyle="", label="raw data")
    missing = [f"{row.method} {row.setting} {row.lam:g}" for row in mean[mean["attack"].isna()].itertuples()]
    if missing:
        text = textwrap.fill(f"not measured, not drawn: {', '.join(missing)}", 44)
        axes.text(0.98, 0.98, text, fontsize=7, color=GRAY, ha="right", va="top", transform=axes.transAxes)
    axes.axvline(0.5, color=GRAY, linewidth=1)
    axes.text(0.502, 0.02, "chance", rotation=90, color=GRAY, fontsize=7, transform=axes.get_xaxis_transform())
    axes.set_xlabel(ATTACK)


def _finite(axes: Axes, points: pd.DataFrame) -> None:
    """Mark the attacks of finite releases as exact, and draw what is certified: a tick to their right, at their height.

    Args:
        axes: with the curves.
        points: one row a seed, with `retention` and, if a release is finite, `exact` and `certified`. The largest bound
            of the seeds is drawn; none where a seed has none.
    """
    if "exact" not in points:
        return
    palette = colors(list(points["method"]))
    finite = points[points["exact"].notna()]
    marks = finite.groupby(["setting", "method", "lam"], sort=False, as_index=False).agg(
        exact=("exact", "mean"),
        retention=("retention", "mean"),
        certified=("certified", lambda bound: bound.max(skipna=False)),
    )
    axes.plot(
        marks["exact"],
        marks["retention"],
        marker=".",
        markersize=3.5,
        color="black",
        linestyle="",
        label=EXACT,
        zorder=5,
    )
    label = CERTIFIED
    for method, rows in marks.dropna(subset=["certified"]).groupby("method", sort=False):
        color = palette[str(method)]
        axes.hlines(rows["retention"], rows["exact"], rows["certified"], color=color, linewidth=0.6, linestyle=":")
        axes.plot(
            rows["certified"],
            rows["retention"],
            marker="|",
            markersize=11,
            markeredgewidth=1.4,
            color=color,
            linestyle="",
            label=label,
        )
        label = "_"  # one entry in the legend


def _limit(axes: Axes, limit: float | None, text: str) -> None:
    """Draw the most that can be kept at no leak, as a line with its label on it."""
    if limit is None or pd.isna(limit):
        return
    axes.axhline(limit, color=GRAY, linewidth=1, linestyle="--")
    axes.annotate(
        text,
        (0.06, limit),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, 2),
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=7,
        color=GRAY,
    )


@styled
def frontier_figure(points: pd.DataFrame, limit: float | None = None) -> Figure:
    """Draw privacy-utility curves: mean retention over worst attack AUC. Up and left is better.

    Args:
        points: as `summarize_points` gives them.
        limit: the most mean retention of a release that tells nothing of u; None: not known.
    """
    figure = Figure(figsize=(6.4, 5), layout="constrained")
    axes = figure.subplots()
    _curves(axes, over_seeds(points), label_lambda=True)
    _finite(axes, points)
    _limit(axes, limit, "limit at no leak (each task alone)")
    axes.set_ylabel(f"mean {RETENTION}")
    axes.set_title("What unknown tasks keep against what a retrained attacker gets\n(up and left is better)")
    one_legend(figure, 2)
    return figure


@styled
def tasks_figure(points: pd.DataFrame, tasks: pd.DataFrame, limits: Mapping[str, float] | None = None) -> Figure:
    """Draw the curves of `frontier_figure` for each unknown task.

    Args:
        points: as `summarize_points` gives them.
        tasks: as `retention_of_tasks` gives them.
        limits: task -> the most retention of a release that tells nothing of u; None: not known.
    """
    names = sorted(tasks["task"].unique())
    figure = Figure(figsize=(7.2, 3.1 * -(-len(names) // 2)), layout="constrained")
    figure.suptitle("What each unknown task keeps (up and left is better)")
    for axes, task in zip(panels(figure, len(names), min(2, len(names)), ATTACK, sharex=True), names, strict=True):
        own = points.drop(columns="retention").merge(tasks[tasks["task"] == task], on=POINT, how="left")
        _curves(axes, over_seeds(own), label_lambda=False)
        _finite(axes, own)
        _limit(axes, (limits or {}).get(task), "limit at no leak")
        axes.set_title(f"task: {task}")
        axes.set_ylabel(RETENTION)
    one_legend(figure, 3)
    return figure


@styled
def training_figure(rounds: pd.DataFrame, points: pd.DataFrame) -> Figure:
    """Draw federated training curves by round, one row a method and one line a λ: mean and range over seeds.

    A method without one of the networks has no panel for it.
    """
    rounds = rounds[rounds["setting"] == "federated"]
    curves = training_curves(rounds)
    one_for_all = serving_all(curves, points)
    methods = list(rounds["method"].unique())
    figure = Figure(figsize=(8.4, 2.5 * max(1, len(methods))), layout="constrained")
    figure.suptitle("Federated training, by round")
    grid = figure.subplots(max(1, len(methods)), 3, squeeze=False, sharex=True)
    shade = shades(rounds["lam"])
    for row, method in enumerate(methods):
        shared = ("federated", method) in one_for_all
        grid[row][0].set_title(f"{method}: one training for all λ" if shared else method, loc="left")
        for axes, (loss, label) in zip(grid[row], CURVES.items(), strict=True):
            mine = curves[(curves["method"] == method) & (curves["loss"] == loss)]
            if mine.empty:
                axes.set_axis_off()
                continue
            for lam, color in shade.items():
                curve = mine[mine["lam"] == lam]
                color, label_of = (GRAY, "all λ") if shared else (color, f"λ = {lam:g}")
                axes.plot(curve["round"], curve["value"], color=color, linewidth=1.3, label=label_of)
                axes.fill_between(curve["round"], curve["low"], curve["high"], color=color, alpha=0.2, linewidth=0)
            axes.set_ylabel(label, fontsize=7)
    for column in grid.T:
        for axes in [axes for axes in column if axes.axison][-1:]:  # the lowest that there is
            axes.set_xlabel("round")
            axes.xaxis.set_tick_params(labelbottom=True)
    one_legend(figure, len(shade))
    return figure


@styled
def comparison_figure(points: pd.DataFrame) -> Figure:
    """Draw centralized beside federated at each λ: worst attack and mean retention."""
    mean = over_seeds(points)
    raw = mean[mean["setting"] == "raw"]
    palette = colors(list(mean["method"]))
    mean = mean[mean["setting"].isin(["centralized", "federated"])]
    figure = Figure(figsize=(7.6, 3.5), layout="constrained")
    figure.suptitle("Centralized beside federated")
    left, right = figure.subplots(1, 2)
    for axes, value, label in ((left, "attack", ATTACK), (right, "retention", f"mean {RETENTION}")):
        for (setting, method), curve in mean.groupby(["setting", "method"], sort=False):
            curve = curve.sort_values("lam")
            shift = 0.006 if setting == "federated" else -0.006  # side by side, so that bars don't hide each other
            axes.errorbar(
                curve["lam"] + shift,
                curve[value],
                yerr=interval(curve, value),
                color=palette[str(method)],
                marker=SETTING_MARKERS[str(setting)],
                linestyle=SETTING_LINES[str(setting)],
                markerfacecolor="white" if setting == "federated" else palette[str(method)],
                label=f"{method}, {setting}",
                **BARS,
            )
        if len(raw):
            axes.axhline(float(raw[value].iloc[0]), color="black", linewidth=0.8, linestyle="-.", label="raw data")
        if value == "attack":
            axes.axhline(0.5, color=GRAY, linewidth=1, label="chance")
        axes.set_xlim(-0.05, 1.05)
        axes.set_xlabel("λ (weight of privacy)")
        axes.set_ylabel(label)
    one_legend(figure, 3)
    return figure


@styled
def methods_figure(points: pd.DataFrame) -> Figure:
    """Draw many methods beside each other, for an ablation: a line a method, a dot a λ."""
    mean = over_seeds(points)
    mean = mean[mean["setting"].isin(["centralized", "federated"])]
    methods = list(mean["method"].unique())[::-1]
    shade = shades(mean["lam"])
    figure = Figure(figsize=(7.6, 1.6 + 0.32 * len(methods)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, value, label in ((left, "attack", ATTACK), (right, "retention", f"mean {RETENTION}")):
        for (setting, lam), rows in mean.groupby(["setting", "lam"], sort=False):
            shift = 0.12 if setting == "federated" else -0.12
            axes.errorbar(
                rows[value],
                [methods.index(method) + shift for method in rows["method"]],
                xerr=interval(rows, value),
                color=shade[float(rows["lam"].iloc[0])],
                marker=SETTING_MARKERS[str(setting)],
                linestyle="",
                markersize=5,
                elinewidth=1,
                label=f"λ = {lam:g}, {setting}",
            )
        axes.set_xlabel(label)
    left.axvline(0.5, color=GRAY, linewidth=1, label="chance")
    left.set_yticks(range(len(methods)), methods)
    one_legend(figure, 3)
    return figure


def draw_all(
    folder: Path, points: pd.DataFrame, tasks: pd.DataFrame, rounds: pd.DataFrame, limits: pd.DataFrame | None = None
) -> list[str]:
    """Write every figure of a run; their names, most telling first.

    Args:
        folder: of the figures.
        points: as `summarize_points` gives them.
        tasks: as `retention_of_tasks` gives them.
        rounds: rows of rounds.csv.
        limits: as `limit_table` gives them; None: not known.
    """
    most = {} if limits is None else dict(zip(limits["task"], limits["retention"], strict=True))
    if not len(points):  # nothing was audited
        draw_each(folder, {"training": lambda: training_figure(rounds, points)})
        return ["training"]
    figures: dict[str, Callable[[], Figure]] = {
        "frontier": lambda: frontier_figure(points, most.get(MEAN)),
        "comparison": lambda: comparison_figure(points),
        "tasks": lambda: tasks_figure(points, tasks, most),
    }
    if len(rounds):  # principal components centralized have none
        figures["training"] = lambda: training_figure(rounds, points)
    if points["method"].nunique() - points.loc[points["setting"].isin(["raw", "baseline"]), "method"].nunique() > 2:
        figures["methods"] = lambda: methods_figure(points)
    draw_each(folder, figures)
    return list(figures)
