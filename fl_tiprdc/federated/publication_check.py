"""What a published part must be: a release of the channel, of records that the client holds, and nobody else's."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from flwr.app import Array, RecordDict
from scipy.stats import chi2

from fl_tiprdc.errors import InputError
from fl_tiprdc.wire.messages import REPRESENTATIONS, unpack_strictly
from strategies.reply_check import BadReplyError

Floats = npt.NDArray[np.float32]

UNLIKELY = 1e-15  # probability of an honest record's norm below the least: nobody meets one
CLEAN = 1e-5  # relative distance of a norm from √d that rounding alone explains
FEW = 3  # records that may have such norms by chance


def read_part(content: RecordDict, records: int) -> Floats:
    """What a client sent, [n, d], before `check_part`.

    Args:
        content: of its reply.
        records: how many records it said to hold: its quota.

    Raises:
        InputError: something else than the one array asked for, or more records than that.
    """
    array = _one_array(content, "z", records)
    try:
        return unpack_strictly(array)
    except ValueError as error:
        raise InputError(str(error)) from None


def read_codes(content: RecordDict, records: int, codes: int) -> npt.NDArray[np.uint16]:
    """Return the codes [n] that a client sent.

    Args:
        content: of its reply.
        records: how many records it said to hold: its quota.
        codes: size of the codebook.

    Raises:
        InputError: something else than the one array asked for, more records than that, or a code that isn't one.
    """
    found = _one_array(content, "code", records)
    try:
        sent: npt.NDArray[np.uint16] = unpack_strictly(found, "uint16")
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
    """Refuse what can't be a release of the channel.

    Args:
        z: what a client sent.
        d: numbers in a representation.
        sigma: the channel's noise.
        bounded: whether the method has a power-constrained channel.

    Raises:
        InputError: wrong shape or type, not finite, a norm that the channel doesn't give, a record without noise, or
            one that is there twice.
    """
    if z.ndim != 2 or z.shape[1] != d or z.dtype != np.float32:
        raise InputError(f"has shape {z.shape} and type {z.dtype}, expected (n, {d}) of float32")
    if not np.isfinite(z).all():
        raise InputError("has values that are not finite")
    if bounded and len(z):
        _check_norms(np.linalg.norm(z.astype(np.float64), axis=1), d, sigma)
    if bounded and sigma and len(np.unique(z, axis=0)) < len(z):  # no noise is drawn twice
        raise InputError("has a record twice")


def _check_norms(norms: npt.NDArray[np.float64], d: int, sigma: float) -> None:
    """Each ‖√d e + σ ε‖ with ‖e‖ = 1 (or 0, where an extractor says nothing) and ε ~ N(0, I_d).

    Above: ‖ε‖ < √d + t but for a probability of exp(-t²/2). Below: it is the least likely to be small for e = 0, where
    ‖ε‖² is chi-squared.
    """
    most = 1.001 * math.sqrt(d) + sigma * (math.sqrt(d) + 6.5)
    if norms.max() > most:
        raise InputError(f"has a norm of {norms.max():.2f}, the channel allows {most:.2f}")
    least = sigma * math.sqrt(float(chi2.ppf(UNLIKELY, d)))
    if norms.min() < 0.999 * least:
        raise InputError(f"has a norm of {norms.min():.2g}, the channel's noise alone gives {least:.2g}")
    if sigma and len(norms) >= FEW and (np.abs(norms / math.sqrt(d) - 1) < CLEAN).all():
        raise InputError(f"has norms of {math.sqrt(d):.2f} only: it comes without the channel's noise")


@dataclass(frozen=True)
class Part:
    """What a client publishes.

    Attributes:
        z: representations [n, d]; of codes their codewords.
        codes: [n], of a finite release.
        sent: bytes of the reply.
    """

    z: Floats
    codes: npt.NDArray[np.uint16] | None
    sent: int


class PartCheck:
    """What each client's reply to the question for its publication must be.

    Args:
        d: numbers in a representation.
        sigma: the channel's noise.
        bounded: whether the method has a power-constrained channel.
        codewords: [K, d] of a finite release; None: representations are published.
    """

    def __init__(self, d: int, sigma: float, bounded: bool, codewords: Floats | None) -> None:
        self._d, self._sigma, self._bounded, self._codewords = d, sigma, bounded, codewords

    def read(self, content: RecordDict, records: int) -> Part:
        """Return the part that a reply holds.

        Raises:
            BadReplyError: it can't be a part of the release.
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
    """Finds parts that are the same as another client's: with noise of one's own, no two are.

    Args:
        noisy: whether the releases have noise; others may well be the same.
    """

    def __init__(self, noisy: bool) -> None:
        self._noisy = noisy
        self._owner: dict[bytes, int] = {}

    def owner(self, z: Floats, partition: int) -> int | None:
        """The client that sent the same part before; None: nobody did."""
        if not self._noisy or not len(z):
            return None
        first = self._owner.setdefault(hashlib.sha256(np.ascontiguousarray(z).data).digest(), partition)
        return None if first == partition else first
