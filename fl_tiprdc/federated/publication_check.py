"""Checks of a published part: it must be a release of the channel, of a client's own records and of no others."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from flwr.app import Array, RecordDict
from scipy.special import gammaincinv

from fl_tiprdc.errors import InputError
from fl_tiprdc.wire.messages import REPRESENTATIONS, unpack_strictly
from strategies.reply_check import BadReplyError

Floats = npt.NDArray[np.float32]

UNLIKELY = 1e-15  # probability with which an honest record's norm is refused as too small
CLEAN = 1e-5  # relative distance of a norm from √d that rounding alone explains
FEW = 3  # fewest records whose norms are all so clean that chance doesn't explain it


def read_part(content: RecordDict, records: int) -> Floats:
    """Return the array [n, d] that a client sent, before `check_part`.

    Args:
        content: content of its reply.
        records: number of records that it said to hold: its quota.

    Raises:
        InputError: the reply isn't the one array asked for, or has more records than the quota.
    """
    array = _one_array(content, "z", records)
    try:
        return unpack_strictly(array)
    except ValueError as error:
        raise InputError(str(error)) from None


def read_codes(content: RecordDict, records: int, codes: int) -> npt.NDArray[np.uint16]:
    """Return the codes [n] that a client sent.

    Args:
        content: content of its reply.
        records: number of records that it said to hold: its quota.
        codes: size of the codebook.

    Raises:
        InputError: the reply isn't the one array asked for, has more records than the quota, or a code that isn't one.
    """
    array = _one_array(content, "code", records)
    try:
        sent: npt.NDArray[np.uint16] = unpack_strictly(array, "uint16")
    except ValueError as error:
        raise InputError(str(error)) from None
    if sent.ndim != 1 or (len(sent) and int(sent.max()) >= codes):
        raise InputError(f"has shape {sent.shape} or codes that are not in 0..{codes - 1}")
    return sent


def _one_array(content: RecordDict, name: str, records: int) -> Array:
    if set(content) != {REPRESENTATIONS} or set(content.array_records.get(REPRESENTATIONS, ())) != {name}:
        raise InputError(f"isn't the one array asked for: it has {', '.join(sorted(map(str, content)))[:200]}")
    array = content.array_records[REPRESENTATIONS][name]
    if array.shape and array.shape[0] > records:  # before its bytes are looked at
        raise InputError(f"has {array.shape[0]} records; the client said to hold {records}")
    return array


def check_part(z: Floats, d: int, sigma: float, bounded: bool) -> None:
    """Check that a part can be a release of the channel.

    Args:
        z: array that a client sent.
        d: number of numbers in a representation.
        sigma: standard deviation of the channel's noise.
        bounded: checks norms, and that no record is there twice: the method has a power-constrained channel.

    Raises:
        InputError: the shape or type is wrong, a number isn't finite, the channel doesn't give such a norm, records
            come without noise, or one is there twice.
    """
    if z.ndim != 2 or z.shape[1] != d or z.dtype != np.float32:
        raise InputError(f"has shape {z.shape} and type {z.dtype}, expected (n, {d}) of float32")
    if not np.isfinite(z).all():
        raise InputError("has values that are not finite")
    if bounded and len(z):
        _check_norms(np.linalg.norm(z.astype(np.float64), axis=1), d, sigma)
    if bounded and sigma and len(np.unique(z, axis=0)) < len(z):  # no two records have the same noise
        raise InputError("has a record twice")


def _check_norms(norms: npt.NDArray[np.float64], d: int, sigma: float) -> None:
    """Check that norms are like ‖√d e + σ ε‖ with ‖e‖ = 1 (or 0, where an extractor says nothing) and ε ~ N(0, I_d).

    Upper limit: ‖ε‖ < √d + t except with a probability of exp(-t²/2). Lower limit: a norm is most likely to be small
    for e = 0, where ‖ε‖² is chi-squared.
    """
    most = 1.001 * math.sqrt(d) + sigma * (math.sqrt(d) + 6.5)
    if norms.max() > most:
        raise InputError(f"has a norm of {norms.max():.2f}, the channel allows {most:.2f}")
    least = sigma * math.sqrt(2 * float(gammaincinv(d / 2, UNLIKELY)))
    if norms.min() < 0.999 * least:
        raise InputError(f"has a norm of {norms.min():.2g}, the channel's noise alone gives {least:.2g}")
    if sigma and len(norms) >= FEW and (np.abs(norms / math.sqrt(d) - 1) < CLEAN).all():
        raise InputError(f"has norms of {math.sqrt(d):.2f} only: it comes without the channel's noise")


@dataclass(frozen=True)
class Part:
    """Holds what a client publishes.

    Attributes:
        z: representations [n, d]; for codes, their codewords.
        codes: codes [n] of a finite release; None: representations are published.
        sent: number of bytes of the reply.
    """

    z: Floats
    codes: npt.NDArray[np.uint16] | None
    sent: int


class PartCheck:
    """Checks the clients' replies to the question for their publications.

    Args:
        d: number of numbers in a representation.
        sigma: standard deviation of the channel's noise.
        bounded: checks norms and copies: the method has a power-constrained channel.
        codewords: codewords [K, d] of a finite release; None: representations are published.
    """

    def __init__(self, d: int, sigma: float, bounded: bool, codewords: Floats | None) -> None:
        self._d, self._sigma, self._bounded, self._codewords = d, sigma, bounded, codewords

    def read(self, content: RecordDict, records: int) -> Part:
        """Return the part that a reply holds.

        Raises:
            BadReplyError: the reply can't be a part of the release.
        """
        try:
            if self._codewords is None:
                z, codes = read_part(content, records), None
                check_part(z, self._d, self._sigma, self._bounded)
            else:
                codes = read_codes(content, records, len(self._codewords))
                z = self._codewords[codes]
        except InputError as error:
            raise BadReplyError("part", str(error)) from None
        return Part(z, codes, content.array_records[REPRESENTATIONS].count_bytes())


class Copies:
    """Finds parts that are the same as another client's: no two are if each client draws noise.

    Args:
        noisy: says that the releases have noise; others may well be the same, and none are found.
    """

    def __init__(self, noisy: bool) -> None:
        self._noisy = noisy
        self._owner: dict[bytes, int] = {}

    def owner(self, z: Floats, partition: int) -> int | None:
        """Return the client that sent the same part before; None: nobody did."""
        if not self._noisy or not len(z):
            return None
        first = self._owner.setdefault(hashlib.sha256(np.ascontiguousarray(z).data).digest(), partition)
        return None if first == partition else first
