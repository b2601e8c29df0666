"""Noise of a release outside of training: from the system's entropy, or from a key and the record itself."""

import hashlib
import os
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.release.draws import Draws

KEY_BYTES = 32


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
