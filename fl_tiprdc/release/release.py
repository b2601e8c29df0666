"""What leaves the device: one interface for all methods, from records (x and u) to a release."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fl_tiprdc.data.crowd import Floats, Ints, X
from fl_tiprdc.errors import InputError
from fl_tiprdc.release.channel import release
from fl_tiprdc.release.codes import Codes, joint_classes
from fl_tiprdc.release.draws import Draws, no_draws

PIECE = 2048  # records at a time

Network = Callable[[Tensor], Tensor]  # an extractor, from x [n, *shape] to [n, d]


class Released(NamedTuple):
    """What is published of some records.

    z [n, d] float32: the numbers; of a finite release the codewords. codes [n]: of a finite release, else None.
    """

    z: Floats
    codes: Ints | None = None


class Release(Protocol):
    """From records to what may leave the device."""

    @property
    def sees_private(self) -> bool:
        """Whether the private labels have a say."""

    def apply(self, x: X, private: Ints | None, draws: Draws) -> Released:
        """Return what is published of records x [n, *shape] with private labels [n, attributes]."""

    def apply_without_noise(self, x: X, private: Ints | None) -> Floats:
        """Return what would be published without noise [n, d]: what an attacker with the release knows of records."""


def extract(network: Network, x: X, d: int) -> Floats:
    """Return the network's output [n, d] for records x [n, *shape], some at a time."""
    features = np.empty((len(x), d), dtype=np.float32)
    with torch.no_grad():
        for begin in range(0, len(x), PIECE):
            part = torch.tensor(np.ascontiguousarray(x[begin : begin + PIECE]))
            features[begin : begin + PIECE] = network(part).numpy()
    return features


class ChannelRelease:
    """The extractor's output, through the noisy channel where the method has one.

    Args:
        network: the extractor, from x [n, *shape] to [n, d].
        d: numbers in a representation.
        sigma: the channel's noise.
        channel: whether the method has a channel; without, the extractor's output leaves as it is.
    """

    sees_private = False

    def __init__(self, network: Network, d: int, sigma: float, channel: bool) -> None:
        self._network, self._d, self._sigma, self._channel = network, d, sigma, channel

    def apply(self, x: X, private: Ints | None, draws: Draws) -> Released:
        """Return the noisy representations; private labels aren't looked at."""
        z = np.empty((len(x), self._d), dtype=np.float32)
        with torch.no_grad():
            for begin in range(0, len(x), PIECE):
                part = np.ascontiguousarray(x[begin : begin + PIECE])
                features = self._network(torch.tensor(part))
                if self._channel:
                    features = release(features, torch.from_numpy(draws(part, self._d)), self._sigma)
                z[begin : begin + PIECE] = features.numpy()
        return Released(z)

    def apply_without_noise(self, x: X, private: Ints | None) -> Floats:
        """Return the representations before the noise."""
        return self.apply(x, None, no_draws).z


class CodedRelease:
    """One code a record, drawn once.

    Args:
        network: the extractor, from x [n, *shape] to [n, d].
        codes: codebook and coupling.
        classes: number of classes of each private attribute.
    """

    def __init__(self, network: Network, codes: Codes, classes: tuple[int, ...]) -> None:
        self.codes, self._network, self._classes = codes, network, classes

    @property
    def sees_private(self) -> bool:
        """Whether the private labels have a say."""
        return self.codes.sees_private

    def apply(self, x: X, private: Ints | None, draws: Draws) -> Released:
        """Return codes and codewords.

        Raises:
            InputError: private labels are needed, and there are none.
        """
        if private is None and self.sees_private:
            raise InputError("this release looks at the private attribute: give each record's private label too")
        joint = np.zeros(len(x), dtype=np.int64) if private is None else joint_classes(private, self._classes)
        points = unit_features(self._network, x, self.codes.cells.shape[1])
        codes = self.codes.draw(points, joint, one_draw_each(x, draws))
        return Released(self.codes.codewords[codes], codes)

    def apply_without_noise(self, x: X, private: Ints | None) -> Floats:
        """Return the codewords that records have most often, [n, d]."""
        return self.apply(x, private, no_draws).z


def unit_features(network: Network, x: X, d: int) -> Floats:
    """Return the points [n, d] of the representation space that records are coded at, on a sphere of radius √d."""
    features = extract(network, x, d)
    points: Floats = release(torch.from_numpy(features), torch.zeros(()), 0.0).numpy()
    return points


def one_draw_each(x: X, draws: Draws) -> Floats:
    """Return a draw for each record, [n, 1], as a coded release makes them: some records at a time."""
    parts = [draws(np.ascontiguousarray(x[begin : begin + PIECE]), 1) for begin in range(0, len(x), PIECE)]
    return np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)
