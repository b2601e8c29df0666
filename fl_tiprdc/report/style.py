"""Looks shared by all figures: Okabe-Ito colours (safe for colour-blind readers), markers, file formats."""

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fl_tiprdc.whole_file import write_whole

mpl.use("Agg")

ORANGE, SKY, GREEN, BLUE, RED, PURPLE, GREY = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#6b6b6b",
)
SETTING_MARKERS = {"centralized": "o", "federated": "s", "baseline": "^", "raw": "*"}
SETTING_LINES = {"centralized": "-", "federated": "--", "baseline": ":"}
# of partitions beside each other: colour, marker, line
PARTITION_LOOKS = (
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    (GREEN, "D", "-."),
    (PURPLE, "v", (0, (1, 1))),
    (RED, "P", (0, (5, 1))),
    (SKY, "X", (0, (3, 1, 1, 1))),
)
_METHOD_COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)

mpl.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "figure.dpi": 150,
        "svg.hashsalt": "fl-tiprdc",
    }
)


def colours(methods: list[str]) -> dict[str, str]:
    """A colour for each method, the same in every figure of a run."""
    ranked = sorted(set(methods), key=lambda m: (m != "tiprdc+", m != "tiprdc", m))
    return {method: _METHOD_COLOURS[i % len(_METHOD_COLOURS)] for i, method in enumerate(ranked)}


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write NAME.png and NAME.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    formats: dict[str, dict[str, Any]] = {"png": {}, "svg": {"metadata": {"Date": None}}}
    for kind, options in formats.items():
        drawn = BytesIO()
        figure.savefig(drawn, format=kind, bbox_inches="tight", **options)
        figure.set_layout_engine("none")  # places stay as they were found for the first
        write_whole(folder / f"{name}.{kind}", drawn.getvalue())
