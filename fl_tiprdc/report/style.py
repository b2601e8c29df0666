"""Looks shared by all figures: Okabe-Ito colors (safe for color-blind readers), markers, file formats."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial, wraps
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, LogFormatterMathtext

from fl_tiprdc.notices import DataNotice
from fl_tiprdc.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

ORANGE, SKY, GREEN, BLUE, RED, PURPLE, GRAY, WINE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#6b6b6b",
    "#882255",
)
SETTING_MARKERS = {"centralized": "o", "federated": "s", "baseline": "^", "raw": "*"}
SETTING_LINES = {"centralized": "-", "federated": "--", "baseline": ":"}
# of partitions beside each other: color, marker, line
PARTITION_LOOKS = (
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    (GREEN, "D", "-."),
    (PURPLE, "v", (0, (1, 1))),
    (RED, "P", (0, (5, 1))),
    (SKY, "X", (0, (3, 1, 1, 1))),
)
_METHOD_COLORS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, WINE)

LONGEST_LINE = 100  # letters of a line of text in a figure

# matplotlib's settings while a figure is made and written, and no longer: they are the whole process's
LOOKS: "dict[RcKeyType, Any]" = {
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

P = ParamSpec("P")
T = TypeVar("T")


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Return a function that draws with `LOOKS`, and leaves matplotlib's settings as they were."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context(LOOKS):
            return draw(*args, **kwargs)

    return drawn


def colors(methods: list[str]) -> dict[str, str]:
    """Return a color for each method, the same in every figure of a run."""
    ranked = sorted(set(methods), key=lambda m: (m != "tiprdc+", m != "tiprdc", m))
    return {method: _METHOD_COLORS[i % len(_METHOD_COLORS)] for i, method in enumerate(ranked)}


def shown(text: str, longest: int = LONGEST_LINE) -> str:
    """Return text for a figure: what no font can draw replaced, the middle of lines that are too long left out."""
    lines = ("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line) for line in text.split("\n"))
    half = longest // 2
    return "\n".join(line if len(line) <= longest else f"{line[:half]}…{line[half - longest + 1 :]}" for line in lines)


def _take_literally(figure: Figure) -> None:
    """Keep matplotlib from reading text as formulas: names are written as they are."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatterMathtext):  # writes formulas of its own
                axis.set_major_formatter(LogFormatter())
            if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
                axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text(shown(text.get_text()))


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write NAME.png and NAME.svg, with all text taken literally.

    Raises:
        OSError: they can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    formats: dict[str, dict[str, Any]] = {"png": {}, "svg": {"metadata": {"Date": None}}}
    _take_literally(figure)
    # labels of an axis are made while it is drawn; scripts that the font lacks are boxes, which is seen
    with mpl.rc_context({**LOOKS, "text.parse_math": False}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figure.draw_without_rendering()
        around = figure.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
        figure.set_layout_engine(None)  # places stay as they were found, which took longest
        for kind, options in formats.items():
            drawn = BytesIO()
            figure.savefig(drawn, format=kind, bbox_inches=around, **options)
            write_whole(folder / f"{name}.{kind}", drawn.getvalue())


def draw_each(folder: Path, figures: Mapping[str, Figure | Callable[[], Figure]]) -> None:
    """Write figures, or what makes them, by their names; of one that can't be drawn a notice says why.

    Raises:
        OSError: the disk takes no file.
    """
    for name, figure in figures.items():
        try_to_draw(f"figure '{name}'", partial(_draw, figure, folder, name))


def _draw(figure: Figure | Callable[[], Figure], folder: Path, name: str) -> None:
    save(figure if isinstance(figure, Figure) else figure(), folder, name)


def try_to_draw(what: str, draw: Callable[[], object]) -> None:
    """Draw something of a run whose results are written already: if that fails, a `DataNotice` says why.

    Args:
        what: for the notice.
        draw: makes the files.

    Raises:
        OSError: the disk takes no file.
    """
    try:
        draw()
    except OSError:
        raise
    except Exception as error:
        cause = next(iter(str(error).strip().splitlines()), "")
        warnings.warn(f"no {what}: {type(error).__name__}: {cause}", DataNotice, stacklevel=2)
