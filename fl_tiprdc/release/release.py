"""Releases: one interface for all methods, from records (x and u) to what leaves the device."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fl_tiprdc.data.crowd import Floats, Ints, X
from fl_tiprdc.errors import InputError
from fl_tiprdc.moved import names_moved_from
from fl_tiprdc.release.channel import release
from fl_tiprdc.release.codes import Codes, joint_classes
from fl_tiprdc.release.draws import Draws, no_draws
from fl_tiprdc.release.known_levels import with_level

RECORDS_AT_ONCE = 2048

Network = Callable[[Tensor], Tensor]  # an extractor, from x [n, *shape] to [n, d]


class Released(NamedTuple):
    """Published representations of some records.

    z is [n, d] float32, the codewords of a finite release; codes is [n], or None unless the release is finite.
    """

    z: Floats
    codes: Ints | None = None


class ReleaseMaker(Protocol):
    """Map records to what may leave the device."""

    @property
    def sees_private(self) -> bool:
        """Return whether the release depends on the private labels."""

    def apply(self, x: X, private: Ints | None, draws: Draws) -> Released:
        """Return the release of records x [n, *shape] with private labels [n, attributes]."""

    def apply_without_noise(self, x: X, private: Ints | None) -> Floats:
        """Return the representations [n, d] without noise, which an attacker who has the release can compute."""


def extract(network: Network, x: X, d: int) -> Floats:
    """Return the network's output [n, d] for records x [n, *shape], computed some at a time."""
    features = np.empty((len(x), d), dtype=np.float32)
    with torch.no_grad():
        for begin in range(0, len(x), RECORDS_AT_ONCE):
            part = torch.tensor(np.ascontiguousarray(x[begin : begin + RECORDS_AT_ONCE]))
            features[begin : begin + RECORDS_AT_ONCE] = network(part).numpy()
    return features


class ChannelRelease:
    """Release of the extractor's output, through the noisy channel where the method has one.

    Args:
        network: the extractor, from x [n, *shape] to [n, d].
        d: numbers in a representation.
        sigma: standard deviation of the channel's noise.
        channel: whether the method has a channel; if not, the extractor's output is published as it is.
    """

    sees_private = False

    def __init__(self, network: Network, d: int, sigma: float, channel: bool) -> None:
        self._network, self._d, self._sigma, self._channel = network, d, sigma, channel

    def apply(self, x: X, private: Ints | None, draws: Draws) -> Released:
        """Return the noisy representations; private labels have no effect."""
        z = np.empty((len(x), self._d), dtype=np.float32)
        with torch.no_grad():
            for begin in range(0, len(x), RECORDS_AT_ONCE):
                part = np.ascontiguousarray(x[begin : begin + RECORDS_AT_ONCE])
                features = self._network(torch.tensor(part))
                if self._channel:
                    features = release(features, torch.from_numpy(draws(part, self._d)), self._sigma)
                z[begin : begin + RECORDS_AT_ONCE] = features.numpy()
        return Released(z)

    def apply_without_noise(self, x: X, private: Ints | None) -> Floats:
        """Return the representations before the noise."""
        return self.apply(x, None, no_draws).z


class CodedRelease:
    """Release of one code for each record.

    Args:
        network: the extractor, from x [n, *shape] to [n, d].
        codes: codebook and coupling.
        classes: number of classes of each private attribute.
    """

    def __init__(self, network: Network, codes: Codes, classes: tuple[int, ...]) -> None:
        self.codes, self._network, self._classes = codes, network, classes

    @property
    def sees_private(self) -> bool:
        """Return whether the codes depend on the private labels."""
        return self.codes.sees_private

    def apply(self, x: X, private: Ints | None, draws: Draws) -> Released:
        """Return the records' codes and codewords.

        Raises:
            InputError: the codes depend on private labels, and none are given.
        """
        if private is None and self.sees_private:
            raise InputError("this release looks at the private attribute: give each record's private label too")
        joint = np.zeros(len(x), dtype=np.int64) if private is None else joint_classes(private, self._classes)
        place = with_level(joint, self.codes.known, x)
        points = unit_features(self._network, x, self.codes.cells.shape[1])
        codes = self.codes.draw(points, place, one_draw_each(x, draws))
        return Released(self.codes.codewords[codes], codes)

    def apply_without_noise(self, x: X, private: Ints | None) -> Floats:
        """Return the records' codewords [n, d] with all draws at zero, their median."""
        return self.apply(x, private, no_draws).z


def unit_features(network: Network, x: X, d: int) -> Floats:
    """Return the points [n, d] at which records are coded, on the representation space's sphere of radius √d."""
    features = extract(network, x, d)
    points: Floats = release(torch.from_numpy(features), torch.zeros(()), 0.0).numpy()
    return points


def one_draw_each(x: X, draws: Draws) -> Floats:
    """Return the draw [n, 1] of each record in a coded release, made for some records at a time."""
    parts = [
        draws(np.ascontiguousarray(x[begin : begin + RECORDS_AT_ONCE]), 1)
        for begin in range(0, len(x), RECORDS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)


if not TYPE_CHECKING:  # type checkers know the current names only
    __getattr__ = names_moved_from(__name__)
