"""Noise of what a client publishes: standard normal draws from a key, by a cryptographic hash."""

import hashlib
import math

import torch
from torch import Tensor

from fl_tiprdc.release.noise import normal_of


class KeyedNoise:
    """Draws standard normal numbers that nobody without the key can tell from others, or foretell from some of them.

    A torch.Generator won't do. On CPUs it uses 32 bits of its seed: whoever knows one record and the extractor finds
    the seed by trying, and with it the noise of all other records. Besides, all its numbers follow from 624 of them.

    Args:
        key: secret from which the numbers follow; the same key draws the same numbers.
    """

    def __init__(self, key: bytes) -> None:
        self._key, self._calls = hashlib.sha256(key).digest(), 0

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        """Return draws of this shape; every call returns others."""
        place = self._calls.to_bytes(8, "big")
        self._calls += 1
        stream = hashlib.shake_256(self._key + place).digest(8 * math.prod(shape))
        return torch.from_numpy(normal_of(stream, shape[-1])).reshape(shape)
