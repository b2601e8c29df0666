"""A map of a codebook: where each code lies, and what it stands for, in words or as a picture."""

import base64
import io
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.image import imsave
from scipy.special import ndtr, softmax

from fl_tiprdc.config import Point
from fl_tiprdc.data.crowd import Column, Description, Floats
from fl_tiprdc.hybrid.decoded_codes import decode_codewords
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.arrays import GroupArrays

WORDS = 3  # columns of a table that are named of each code


@dataclass(frozen=True)
class PlacedCode:
    """Place a code on the map.

    Attributes:
        x, y: first two principal components of its codeword.
        words: what the decoder says of it that sets it apart from other codes; empty: nothing is known.
        picture: PNG in base64; empty: records are no images.
    """

    x: float
    y: float
    words: str = ""
    picture: str = ""


def code_map(step: HybridStep, setting: str, point: Point, groups: GroupArrays) -> dict[str, object]:
    """Return the map of a training's codes, which all values of λ share, ready for code-map.json.

    Nothing in it is of single records: codewords are published, and the decoder was trained with the extractor.

    Args:
        step: the method's networks.
        setting: federated or centralized.
        point: any of the training's.
        groups: its arrays, see `decode_codewords`.
    """
    places = principal_plane(groups["codes"]["codewords"])
    decoded = decode_codewords(step, groups)
    words, pictures = [""] * len(places), [""] * len(places)
    if decoded is not None and step.description.modality == "table":
        words = telling_words(decoded, step.description)
    if decoded is not None and step.description.modality == "image":
        pictures = [_png(image) for image in decoded]
    codes = [
        PlacedCode(round(float(x), 4), round(float(y), 4), *says)
        for (x, y), says in zip(places, zip(words, pictures, strict=True), strict=True)
    ]
    return {"setting": setting, "method": point.method, "seed": point.seed, "codes": [asdict(code) for code in codes]}


def principal_plane(points: Floats) -> Floats:
    """Return the first two principal components [n, 2] of points [n, d]; those that there are not are 0."""
    centered = points - points.mean(0)
    axes = np.linalg.svd(centered, full_matrices=False)[2][:2]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]  # a sign that doesn't depend on LAPACK
    plane: Floats = np.pad(centered @ axes.T, ((0, 0), (0, 2 - len(axes))))
    return plane


def telling_words(decoded: Floats, description: Description) -> list[str]:
    """Return the columns that set each code apart from the mean over codes, the most telling first.

    Columns are compared by total variation: of a categorical column's shares, and of two Gaussians of a number's means.

    Args:
        decoded: [K, D] parameters, see `hybrid.bounds.reconstruction`.
        description: columns of the table.
    """
    columns = [column for column in description.columns if not column.missing_in]
    told = [_column_words(column, decoded[:, column.span]) for column in columns]
    order = np.argsort([-apart for apart, _ in told], axis=0, kind="stable")[:WORDS]
    return ["; ".join(told[column][1][code] for column in order[:, code]) for code in range(len(decoded))]


def _column_words(column: Column, decoded: Floats) -> tuple[Floats, list[str]]:
    """Return how far each code is from the mean over codes [K], and what it says of the column."""
    if column.kind == "numeric":
        values = decoded[:, 0]
        apart: Floats = 2 * ndtr(np.abs(values - values.mean()) / 2) - 1
        return apart, [f"{column.name} {value * column.deviation + column.mean:.3g}" for value in values]
    shares = softmax(decoded, axis=1)
    mean = shares.mean(0)
    apart = np.abs(shares - mean).sum(1) / 2
    more = (shares - mean).argmax(1)
    return apart, [
        f"{column.name} {column.categories[k]} {100 * own[k]:.0f} %" for k, own in zip(more, shares, strict=True)
    ]


def _png(image: Floats) -> str:
    """Return a picture [C, H, W] with values from 0 to 1 as PNG in base64."""
    pixels = (255 * np.clip(image, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    buffer = io.BytesIO()
    imsave(buffer, np.repeat(pixels, 3 // pixels.shape[2], axis=2), format="png")
    return base64.b64encode(buffer.getvalue()).decode()
