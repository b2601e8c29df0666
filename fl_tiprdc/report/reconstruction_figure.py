"""People beside what the reconstruction attack makes of their releases."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fl_tiprdc.data.lazy_images import Pixels
from fl_tiprdc.evaluation.attacks.reconstruction import Examples
from fl_tiprdc.report.style import colors, styled

CurveKey = tuple[str, str, float, int]  # setting, method, λ or a baseline's dial, seed

PEOPLE = 6  # rows
METHODS = 2  # beside each other, at most
SETTINGS = ("federated", "centralized", "baseline")  # the first that a run has is drawn
TILE = 0.72  # inches, the longer side of an image
GAP = 0.25  # between groups of columns, in tiles


def drawn_curves(examples: Mapping[CurveKey, Examples]) -> dict[str, list[CurveKey]]:
    """Return method -> its points by λ: of the first of `SETTINGS`, tiprdc+ and tiprdc before others, first seed."""
    setting = min((curve[0] for curve in examples), key=SETTINGS.index)
    seed = min(curve[3] for curve in examples)
    mine = [curve for curve in examples if curve[0] == setting and curve[3] == seed]
    methods = list(colors([curve[1] for curve in mine]))[:METHODS]
    return {method: sorted(curve for curve in mine if curve[1] == method) for method in methods}


@styled
def reconstruction_figure(examples: Mapping[CurveKey, Examples]) -> Figure:
    """Draw a row a person: the original, the best constant image, then a column for each λ of each method.

    Args:
        examples: of every attacked release, by (setting, method, λ, seed).
    """
    groups = drawn_curves(examples)
    setting = next(iter(groups.values()))[0][0]
    one = examples[next(iter(groups.values()))[0]]
    people = min(PEOPLE, len(one.originals))
    _, height, width = one.originals.shape[1:]
    tall, wide = height / max(height, width), width / max(height, width)

    columns: list[tuple[str, list[Pixels]] | None] = [  # None: a gap
        ("original\n", list(one.originals)),
        (f"constant\n{one.chance:.2f}", [one.constant] * people),
    ]
    headings: dict[int, tuple[int, str]] = {}
    dial = "dial" if setting == "baseline" else "λ"
    for method, curves in groups.items():
        columns.append(None)
        headings[len(columns)] = (len(curves), f"{method}, {setting}")
        for curve in curves:
            example = examples[curve]
            columns.append((f"{dial} = {curve[2]:g}\n{example.similarity:.2f}", list(example.reconstructions)))
    ratios = [GAP if column is None else 1.0 for column in columns]
    head = 1.05  # inches above the images
    size = (TILE * wide * sum(ratios) + 0.2, TILE * tall * people + head)
    figure = Figure(figsize=(max(size[0], 4.6), size[1]))
    side = (1 - (size[0] - 0.2) / figure.get_figwidth()) / 2  # few columns are centered, not stretched
    grid = figure.subplots(
        people,
        len(columns),
        squeeze=False,
        gridspec_kw={
            "width_ratios": ratios,
            "wspace": 0.06,
            "hspace": 0.06,
            "left": side,
            "right": 1 - side,
            "bottom": 0.08 / size[1],
            "top": 1 - head / size[1],
        },
    )
    for place, column in enumerate(columns):
        for row in range(people):
            _tile(grid[row][place], None if column is None else column[1][row])
        if column is not None:
            grid[0][place].set_title(column[0], fontsize=8)
    for place, (count, text) in headings.items():
        left, right = grid[0][place].get_position(), grid[0][place + count - 1].get_position()
        figure.text((left.x0 + right.x1) / 2, 1 - 0.58 / size[1], text, ha="center", weight="bold", fontsize=9)
    figure.text(
        0.5,
        1 - 0.2 / size[1],
        "What a decoder makes of held-out people's releases",
        ha="center",
        fontsize=10,
    )
    figure.text(0.5, 1 - 0.38 / size[1], "numbers: mean MS-SSIM (lower = hidden)", ha="center", fontsize=8)
    return figure


def _tile(axes: Axes, image: Pixels | None) -> None:
    axes.set_axis_off()
    if image is None:
        return
    pixels = image.transpose(1, 2, 0)
    axes.imshow(np.repeat(pixels, 3 // pixels.shape[2], axis=2), interpolation="nearest", aspect="auto")
