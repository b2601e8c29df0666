"""Figures of the benchmark, from its tables."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fl_tiprdc.report.panels import interval
from fl_tiprdc.report.style import BLUE, GREEN, ORANGE, RED, SKY, styled

_COLORS = {"ray-cohort": BLUE, "flower": RED, "inline": ORANGE}


@styled
def runtimes_figure(frame: pd.DataFrame) -> Figure:
    """Draw each runtime's seconds a round on each workload; bars: medians, whiskers: the fastest and slowest round."""
    workloads = list(frame["workload"].unique())
    figure = Figure(figsize=(3.9 * len(workloads), 3.1), layout="constrained")
    figure.suptitle("A round of 100 clients on each runtime")
    for axes, workload in zip(figure.subplots(1, len(workloads), squeeze=False)[0], workloads, strict=True):
        mine = frame[frame["workload"] == workload].reset_index(drop=True)
        places = np.arange(len(mine))
        axes.barh(
            places,
            mine["seconds"],
            xerr=[mine["seconds"] - mine["low"], mine["high"] - mine["seconds"]],
            color=[_COLORS.get(name, SKY) for name in mine["runtime"]],
            ecolor="black",
            height=0.6,
        )
        for place, row in mine.iterrows():
            axes.text(row["high"], float(place), f" {row['seconds']:.2f} s", va="center", fontsize=8)
        alone = float(mine["pure_compute"].iloc[0])
        axes.axvline(alone, color="black", linewidth=1, linestyle="--", label=f"compute alone: {alone:.2f} s")
        axes.legend(loc="lower right")
        axes.set_yticks(places, list(mine["runtime"]))
        axes.set_xlim(0, 1.25 * float(mine["high"].max()))
        axes.set_ylim(len(mine) + 0.2, -0.6)
        axes.set_xlabel("seconds a round")
        axes.set_title(workload, fontsize=8)
        axes.grid(False, axis="y")
    return figure


@styled
def scale_figure(frame: pd.DataFrame) -> Figure:
    """Draw times of rounds and questions, and peak memory, against the number of clients, 100 of them asked at a time.

    Points are medians, bars the fastest and slowest.
    """
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    figure.suptitle("coded on ray-cohort with more and more clients")
    left, right = figure.subplots(1, 2)
    for name, columns, marker, color in (
        ("a round of training", ("seconds", "low", "high"), "o", BLUE),
        ("a question of the fit", ("question_seconds", "question_low", "question_high"), "s", ORANGE),
    ):
        spread = interval(frame, *columns)
        left.errorbar(frame["clients"], frame[columns[0]], yerr=spread, marker=marker, color=color, label=name)
    left.set_ylabel("seconds (100 clients asked)")
    left.legend()
    right.plot(frame["clients"], frame["peak_mb"], marker="o", color=BLUE, label="peak of all processes")
    right.plot(frame["clients"], frame["data_mb"], marker="^", linestyle=":", color=GREEN, label="records on disk")
    right.set_ylabel("memory (MB)")
    right.legend()
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("clients")
    return figure
