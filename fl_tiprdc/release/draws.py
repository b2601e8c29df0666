"""Sources of a release's random numbers: a generator, the system's entropy, or a key that nobody else has."""

import hashlib
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtri
from torch import Tensor

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.release.channel import Noise, draw_noise

Draws = Callable[[npt.NDArray[Any], int], Floats]  # from records [n, *shape] and a width to draws [n, width] of N(0, 1)
KEY_BYTES = 32


def draws_from(noise: Noise) -> Draws:
    """Return draws that a generator, or a function of a shape, makes in the order of the records."""

    def draw(x: npt.NDArray[Any], width: int) -> Floats:
        numbers: Floats = draw_noise((len(x), width), noise).numpy()
        return numbers

    return draw


def no_draws(x: npt.NDArray[Any], width: int) -> Floats:
    """Return zeros [n, width], with which a release has no noise."""
    return np.zeros((len(x), width), dtype=np.float32)


def normal_of(data: bytes, d: int) -> Floats:
    """Return standard normal numbers [n, d] from uniform bytes, eight for each number, by the normal quantile."""
    uniform = ((np.frombuffer(data, dtype="<u8") >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    normal: Floats = ndtri(uniform).astype(np.float32).reshape(-1, d)
    return normal


def fresh_noise(x: npt.NDArray[Any], width: int) -> Floats:
    """Return draws [n, width] that nobody can repeat, so that two releases of a record differ."""
    return normal_of(os.urandom(8 * width * len(x)), width)


def record_noise(key: bytes) -> Draws:
    """Return draws that a secret key and the record determine, so that another release of a record tells nothing new.

    They are made of the SHAKE-256 of both: without the key they can't be told from fresh noise. Equal records get equal
    draws.
    """

    def draw(x: npt.NDArray[Any], width: int) -> Floats:
        records = (key + np.ascontiguousarray(record).tobytes() for record in x)
        return normal_of(b"".join(hashlib.shake_256(record).digest(8 * width) for record in records), width)

    return draw


def key_of(key: bytes | int) -> bytes:
    """Return a key as bytes. A number may be given in experiments, but not to protect anyone: it can be guessed.

    Raises:
        ValueError: the key has fewer than `KEY_BYTES` bytes.
    """
    if isinstance(key, (int, np.integer)):
        return hashlib.blake2b(f"release\x1f{int(key)}".encode(), digest_size=KEY_BYTES).digest()
    if len(key) < KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes: give {KEY_BYTES}, such as secrets.token_bytes({KEY_BYTES})")
    return key


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
