"""Avatars: small drawings whose attributes are known and as correlated as one wants. Made up, free of rights."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.attributes import Attributes
from fl_tiprdc.data.crowd import Ints, Population
from fl_tiprdc.data.population import build_population, hold_out
from fl_tiprdc.errors import InputError
from fl_tiprdc.seeding import numpy_generator

# attribute -> its two values, each of half of the avatars
VALUES = {
    "shape": ("round", "square"),
    "hat": ("bare", "hat"),
    "color": ("blue", "red"),
    "background": ("dark", "light"),
    "position": ("left", "right"),
}
TASKS = ("color", "background", "position")  # unless one of them is hidden

RECORDS, SIZE = 5000, (32, 32)
LEAST = 16  # pixels a side, below which attributes can't be seen
MOST_BYTES = 4 * 2**30
BLOCK = 500  # avatars drawn at a time: bounds the memory; each block has a generator of its own
NOISE = 6  # largest change of a pixel

Pixels = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]


def choose_attributes(private: Sequence[str], tasks: Sequence[str] = ()) -> tuple[str, str]:
    """Return the two attributes that are correlated: the first private one and the first task.

    Args:
        private: names of attributes that are hidden.
        tasks: names of tasks; none: `TASKS` without the private ones.

    Raises:
        InputError: a name is unknown or both private and a task, or no task is left.
    """
    empty = Attributes(pd.DataFrame({name: pd.Series(dtype=str) for name in VALUES}), TASKS)
    empty.private(private)
    chosen = empty.labels(private, DataConfig(tasks=tuple(tasks)), np.zeros(0, dtype=bool))
    return private[0], next(iter(chosen))


def _block(number: int, size: tuple[int, int], pair: tuple[str, str], correlation: float) -> tuple[Pixels, Ints]:
    """`BLOCK` avatars [BLOCK, 3, *size] and their attributes [BLOCK, 5]."""
    generator = numpy_generator(0, "avatars", number)
    names = list(VALUES)
    bits = generator.integers(0, 2, (BLOCK, len(names)))
    agree = generator.random(BLOCK) < (1 + correlation) / 2
    first, second = (names.index(name) for name in pair)
    bits[:, second] = np.where(agree, bits[:, first], 1 - bits[:, first])
    shape, hat, color, background, position = bits.astype(bool).T

    def spread(least: float, most: float) -> Reals:
        return generator.uniform(least, most, (BLOCK, 1, 1))

    def each(flag: npt.NDArray[np.bool_], no: float, yes: float) -> Reals:
        return np.where(flag, yes, no)[:, None, None]

    # in units of the image's shorter side, from its middle
    height, width = size
    y = (np.arange(height)[None, :, None] + 0.5 - height / 2) / min(size)
    x = (np.arange(width)[None, None, :] + 0.5 - width / 2) / min(size)
    radius = spread(0.17, 0.21)
    dx, dy = x - each(position, -0.18, 0.18) - spread(-0.04, 0.04), y - 0.1 - spread(-0.04, 0.04)
    disc = dx**2 + dy**2 < radius**2
    side = radius * np.sqrt(np.pi) / 2  # as much area as the disc: size gives nothing away
    head = np.where(each(shape, 0, 1) > 0, (np.abs(dx) < side) & (np.abs(dy) < side), disc)
    on_top = (np.abs(dx) < 0.16) & (dy < -radius * 0.8) & (dy > -radius * 0.8 - 0.14)
    with_hat = on_top & (each(hat, 0, 1) > 0)

    ground = each(background, 50, 190) + spread(-20, 20)
    main, rest = 205 + spread(-30, 30), 40 + spread(-25, 25)
    paint = {0: np.where(each(color, 0, 1) > 0, main, rest), 1: rest, 2: np.where(each(color, 0, 1) > 0, rest, main)}
    image = np.empty((BLOCK, 3, height, width), dtype=np.uint8)
    for channel in range(3):
        plane = np.where(with_hat, (230, 200, 40)[channel], np.where(head, paint[channel], ground))
        plane = plane + generator.integers(-NOISE, NOISE + 1, plane.shape)
        image[:, channel] = plane.clip(0, 255).astype(np.uint8)
    return image, bits.astype(np.int64)


def draw_avatars(
    records: int, size: tuple[int, int], pair: tuple[str, str], correlation: float
) -> tuple[Pixels, pd.DataFrame]:
    """Draw avatars, always the same ones; more of them begin with the same ones.

    Args:
        records: how many.
        size: height and width in pixels.
        pair: the attributes that are correlated.
        correlation: of the two.

    Returns:
        Images [records, 3, height, width] and their attributes, a column of texts for each of `VALUES`.
    """
    images = np.empty((records, 3, *size), dtype=np.uint8)
    bits = np.empty((records, len(VALUES)), dtype=np.int64)
    for begin in range(0, records, BLOCK):
        some, attributes = _block(begin // BLOCK, size, pair, correlation)
        end = min(begin + BLOCK, records)
        images[begin:end], bits[begin:end] = some[: end - begin], attributes[: end - begin]
    frame = {name: np.array(values)[bits[:, i]] for i, (name, values) in enumerate(VALUES.items())}
    return images, pd.DataFrame(frame)


def load_avatars(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Draw the avatars: x [n, 3, height, width] uint8. Every avatar is a person.

    Attributes, private or tasks, see `VALUES`; each is a fair coin, and all but one pair are independent.
        shape: of the head. Private unless others are named.
        hat: with one or without.
        color: of the head.
        background: its brightness.
        position: of the head.

    Colors, sizes and places vary a little, and every pixel has noise, so that no two avatars are the same.

    Args:
        config: `records` (default 5,000), `size` (default 32 x 32), `tasks` (default: `TASKS` less what is hidden)
            and `correlation` of the first private attribute with the first task.
        private: attributes to hide.
        held_out: share of the avatars that contribute nothing.

    Raises:
        InputError: an attribute is unknown or both private and a task, no task is left, or the images are too small
            or too many.
    """
    size, records = config.size or SIZE, config.records or RECORDS
    pair = choose_attributes(private, config.tasks)
    if min(size) < LEAST:
        raise InputError(f"size is {size[0]}x{size[1]}: avatars need at least {LEAST}x{LEAST} pixels")
    if (needed := records * 3 * size[0] * size[1]) > MOST_BYTES:
        raise InputError(
            f"{records} avatars of {size[0]}x{size[1]} need {needed / 2**30:.1f} GiB: "
            f"ask for at most {MOST_BYTES // 2**30} GiB"
        )
    images, frame = draw_avatars(records, size, pair, config.correlation)
    attributes = Attributes(frame, TASKS)
    tested = hold_out(np.arange(records), held_out, attributes.columns())
    tasks = attributes.labels(private, config, ~tested)
    hidden = attributes.private(private)
    return build_population(lambda _: (images, ()), hidden, tasks, None, held_out, "image", tested=tested)
