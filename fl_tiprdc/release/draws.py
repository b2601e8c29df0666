"""Sources of a release's random numbers: standard normal draws for each record."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.release.channel import Noise, draw_noise

Draws = Callable[[npt.NDArray[Any], int], Floats]  # from records [n, *shape] and a width to draws [n, width] of N(0, 1)


def draws_from(noise: Noise) -> Draws:
    """Return draws that a generator, or a function of a shape, makes in the order of the records."""

    def draw(x: npt.NDArray[Any], width: int) -> Floats:
        numbers: Floats = draw_noise((len(x), width), noise).numpy()
        return numbers

    return draw


def no_draws(x: npt.NDArray[Any], width: int) -> Floats:
    """Return zeros [n, width], with which a release has no noise."""
    return np.zeros((len(x), width), dtype=np.float32)


def seeded_draws(seed: int) -> Draws:
    """Return draws of a torch generator with this seed."""
    return draws_from(torch.Generator().manual_seed(seed))
