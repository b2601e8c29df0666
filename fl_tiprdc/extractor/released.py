"""A released extractor in use: from raw records to representations that may leave the device."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from fl_tiprdc.data.column_encoding import encode_frame
from fl_tiprdc.data.crowd import TYPES, Description, Floats, X
from fl_tiprdc.data.lazy_images import LazyImages
from fl_tiprdc.errors import InputError
from fl_tiprdc.extractor.card import Arrays, Card, read_extractor, write_extractor
from fl_tiprdc.extractor.noise import Noise, fresh_noise, key_of, record_noise
from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.models.channel import capacity_bits, draw_noise, release
from fl_tiprdc.models.networks import build_networks, representation_width

PIECE = 2048  # records at a time


class Release(nn.Module):
    """Extractor and channel in one network, a function of x and the noise.

    Args:
        extractor: from x [n, *shape] to [n, d].
        sigma: the channel's noise.
        channel: whether the method has one; without, the noise has no effect.
    """

    def __init__(self, extractor: nn.Module, sigma: float, channel: bool) -> None:
        super().__init__()
        self.extractor, self.sigma, self.channel = extractor, sigma, channel

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """[n, d], what is released of x with the draws `noise` [n, d] from N(0, I)."""
        features: Tensor = self.extractor(x)
        return release(features, noise, self.sigma) if self.channel else features


class Extractor:
    """What a client applies to its records before anything leaves it.

    A record should be released once: the mean of several releases has less noise than one. `transform` with a `key`
    gives a record the same noise each time.

    Args:
        card: what it is.
        arrays: of the network, by name.

    Attributes:
        card: what it is: method, λ, σ, networks, meaning of x.
        module: extractor and channel as a torch module of (x, noise).
        d: numbers in a representation.

    Raises:
        InputError: the arrays don't fit the card.
    """

    def __init__(self, card: Card, arrays: Arrays) -> None:
        self.card = card
        critic, _ = INFORMATION[card.method_config.information]
        with torch.device("meta"):  # shapes only: adversary and critic are not needed
            network = build_networks(card.description, card.network, critic, 0)["extractor"]
        wanted = {name: tuple(value.shape) for name, value in network.named_parameters()}
        if {name: array.shape for name, array in arrays.items()} != wanted:
            raise InputError("the extractor's arrays are not those of the networks that its card describes")
        for name, array in arrays.items():
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise InputError(f"the extractor's array '{name}' is {array.dtype}, or has values that are not finite")
        network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()}, assign=True)
        network.requires_grad_(False)
        self.module = Release(network, card.sigma, card.method_config.channel).eval()
        self.d = representation_width(card.description, card.network)

    @classmethod
    def load(cls, path: str | Path) -> "Extractor":
        """Load an extractor that a run has written, as results/NAME/extractors/federated/tiprdc+/lam-0.5/seed-0.

        Raises:
            InputError: there is none, or its files are not as they were written.
        """
        return cls(*read_extractor(Path(path)))

    def save(self, folder: str | Path) -> None:
        """Write it, for `load`."""
        arrays = {name: value.numpy() for name, value in self.module.extractor.named_parameters()}
        write_extractor(Path(folder), self.card, arrays)

    @property
    def description(self) -> Description:
        """Meaning of x and of the private labels."""
        return self.card.description

    @property
    def sigma(self) -> float:
        """Standard deviation of the channel's noise; 0: the method has none."""
        return self.card.sigma

    @property
    def capacity(self) -> float:
        """Bits that a representation can tell of its record at most, whoever looks; infinite without a channel."""
        return capacity_bits(self.d, self.sigma)

    def encode(self, x: X | pd.DataFrame) -> X:
        """Records as the networks take them.

        Args:
            x: [n, *shape] as the data set has them (scaled numbers, pixels 0 to 255 or token ids); or of a table a
                data frame that has its columns, in the original units. Others, private ones too, are not looked at.

        Raises:
            InputError: wrong shape or type, values that are not finite or no token, or a column that is missing.
        """
        description = self.description
        if isinstance(x, pd.DataFrame):
            if description.modality != "table":
                raise InputError(f"the extractor takes arrays of shape (n, {_sizes(description.shape)}), no tables")
            return encode_frame(x, description.columns)
        if not isinstance(x, LazyImages):
            x = np.asarray(x)
        if x.shape[1:] != description.shape or not len(x.shape):
            raise InputError(f"x has shape {tuple(x.shape)}, the extractor takes (n, {_sizes(description.shape)})")
        if isinstance(x, LazyImages):
            return x
        return _as_type(x, description)

    def transform(
        self, x: X | pd.DataFrame, *, key: bytes | int | None = None, generator: torch.Generator | None = None
    ) -> Floats:
        """What may leave the device of the records x: [n, d], float32.

        Args:
            x: records, see `encode`.
            key: a secret (32 bytes) from which, together with the record, its noise derives: the same record is
                released in the same way each time. A number is a key too, for experiments only: others guess it.
            generator: draws the noise, for experiments. Without key and generator it is fresh at each call.

        Raises:
            InputError: x doesn't fit.
        """
        if key is not None and generator is not None:
            raise ValueError("give a key or a generator, not both")
        noise: Noise = fresh_noise(self.d)
        if key is not None:
            noise = record_noise(key_of(key), self.d)
        if generator is not None:
            owned = generator
            noise = lambda part: draw_noise((len(part), self.d), owned).numpy()  # noqa: E731
        return self.apply(self.encode(x), noise)

    def apply(self, x: X, noise: Noise) -> Floats:
        """Representations [n, d] of encoded records, some at a time, with noise of any source."""
        found = np.empty((len(x), self.d), dtype=np.float32)
        with torch.no_grad():
            for begin in range(0, len(x), PIECE):
                part = np.ascontiguousarray(x[begin : begin + PIECE])
                draws = noise(part) if self.module.channel else np.zeros((len(part), self.d), dtype=np.float32)
                found[begin : begin + PIECE] = self.module(torch.tensor(part), torch.from_numpy(draws)).numpy()
        return found

    def __repr__(self) -> str:
        bits = f"{self.capacity:.1f} bits" if math.isfinite(self.capacity) else "no channel"
        hidden = ", ".join(attribute.name for attribute in self.description.attributes)
        return (
            f"Extractor({self.card.method}, λ={self.card.lam:g}, hides {hidden}: "
            f"{_sizes(self.description.shape)} -> {self.d} numbers, σ={self.sigma:g}, {bits})"
        )


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _as_type(x: npt.NDArray[Any], description: Description) -> npt.NDArray[Any]:
    """The type that the networks take, where no value changes."""
    if description.modality == "table":
        if x.dtype.kind not in "fiub" or not np.isfinite(x).all():
            raise InputError("x has values that are no finite numbers")
    elif description.modality == "image":
        if x.dtype != np.uint8:
            raise InputError(f"x is {x.dtype}: the extractor takes pixels from 0 to 255, uint8")
    elif x.dtype.kind not in "iu" or (len(x) and not (x.min() >= 0 and x.max() < description.vocabulary)):
        raise InputError(f"x has values that are no tokens in 0..{description.vocabulary - 1}")
    return x.astype(TYPES[description.modality], copy=False)
