"""Sources of the random numbers that a release is made with: standard normal draws for each record."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.release.channel import Noise, draw_noise

Draws = Callable[[npt.NDArray[Any], int], Floats]  # of records [n, *shape], and a width: from N(0, 1), [n, width]


def draws_from(noise: Noise) -> Draws:
    """Return draws that a generator, or a function of a shape, makes one record after the other."""

    def draw(x: npt.NDArray[Any], width: int) -> Floats:
        numbers: Floats = draw_noise((len(x), width), noise).numpy()
        return numbers

    return draw


def no_draws(x: npt.NDArray[Any], width: int) -> Floats:
    """Return zeros [n, width]: what a release would be without its noise."""
    return np.zeros((len(x), width), dtype=np.float32)


def seeded_draws(seed: int) -> Draws:
    """Return draws of a torch generator with this seed."""
    return draws_from(torch.Generator().manual_seed(seed))
