"""A released extractor in use: from raw records to representations that may leave the device."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from fl_tiprdc.data.column_encoding import encode_frame
from fl_tiprdc.data.crowd import TYPES, Description, Floats, Ints, X
from fl_tiprdc.data.described_table import private_positions
from fl_tiprdc.data.lazy_images import LazyImages
from fl_tiprdc.errors import InputError
from fl_tiprdc.extractor.card import Card, read_extractor, write_extractor
from fl_tiprdc.extractor.private_columns import as_pandas, require_same_rows
from fl_tiprdc.hybrid.bounds import critic_and_bound
from fl_tiprdc.models.networks import build_networks, representation_width
from fl_tiprdc.release.arrays import Arrays
from fl_tiprdc.release.channel import capacity_bits, release
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.draws import Draws, draws_from, fresh_noise, key_of, record_noise
from fl_tiprdc.release.release import ChannelRelease, CodedRelease, Released, ReleaseMaker


class ChannelModule(nn.Module):
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
        """Return what is released of x, [n, d], with the draws `noise` [n, d] from N(0, I)."""
        features: Tensor = self.extractor(x)
        return release(features, noise, self.sigma) if self.channel else features


class Extractor:
    """Make the release of records, as a client does before anything leaves it.

    A record should be released once: the mean of several releases has less noise than one. `transform` with a `key`
    gives a record the same noise each time.

    Args:
        card: what it is.
        groups: arrays by name of the "extractor", and of "codes" where the method has them.

    Attributes:
        card: what it is: method, λ, σ, networks, meaning of x.
        module: extractor and channel as a torch module of (x, noise).
        d: numbers in a representation.

    Raises:
        InputError: the arrays don't fit the card.
    """

    def __init__(self, card: Card, groups: Mapping[str, Arrays]) -> None:
        self.card, arrays = card, groups["extractor"]
        critic, _ = critic_and_bound(card.method_config.information)
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
        self.module = ChannelModule(network, card.sigma, card.method_config.channel).eval()
        self.d = representation_width(card.description, card.network)
        if (card.method_config.coding is not None) != ("codes" in groups):
            raise InputError("the file has codes and its method publishes none, or the other way round")
        self.codes = Codes.of_arrays(dict(groups["codes"])) if "codes" in groups else None
        if self.codes is not None and self.codes.cells.shape[1] != self.d:
            raise InputError("the codebook is not one of this extractor's representations")

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
        codes = {} if self.codes is None else {"codes": self.codes.arrays()}
        write_extractor(Path(folder), self.card, {"extractor": arrays, **codes})

    @property
    def description(self) -> Description:
        """Return the meaning of x and of the private labels."""
        return self.card.description

    @property
    def sigma(self) -> float:
        """Return the standard deviation of the channel's noise; 0: the method has none."""
        return self.card.sigma

    @property
    def capacity(self) -> float:
        """Return the most bits a release can tell of its record; infinite for representations without a channel."""
        return capacity_bits(self.d, self.sigma) if self.codes is None else self.codes.bits

    @property
    def release(self) -> ReleaseMaker:
        """Return what makes releases of encoded records."""
        network = self.module.extractor
        if self.codes is not None:
            return CodedRelease(network, self.codes, self.description.classes)
        return ChannelRelease(network, self.d, self.sigma, self.module.channel)

    def private_labels(self, private: pd.DataFrame | npt.NDArray[Any] | Sequence[Any] | None) -> Ints | None:
        """Return private labels [n, attributes] as positions in the classes.

        Args:
            private: a data frame that has the private columns, or [n] or [n, attributes] of their values: names of
                classes, or the numbers of an attribute that was split at a median. None: none.

        Raises:
            InputError: a column or a value is missing, or a value is no class.
        """
        if private is None:
            return None
        attributes = self.description.attributes
        names = [attribute.name for attribute in attributes]
        if isinstance(private, pd.DataFrame):
            for name in names:
                if name not in private.columns:
                    has = ", ".join(map(str, private.columns))
                    raise InputError(
                        f"this release looks at the private column '{name}', which the table lacks: it has {has}"
                    )
            frame = private[names].reset_index(drop=True)
        else:
            values = np.asarray(private, dtype=object).reshape(len(private), -1)
            if values.shape[1] != len(attributes):
                raise InputError(f"there are {values.shape[1]} private columns: give {len(attributes)}")
            frame = pd.DataFrame(values, columns=names).infer_objects()
        for name in names:
            if (missing := frame[name].isna().to_numpy()).any():
                raise InputError(f"private column '{name}' has no value in row {int(missing.argmax()) + 1}")
        return private_positions(frame, attributes)

    def encode(self, x: X | pd.DataFrame) -> X:
        """Return records as the networks take them.

        Args:
            x: [n, *shape] as the data set has them (scaled numbers, pixels 0 to 255 or token ids); or of a table a
                data frame that has its columns, in the original units. Others, private ones too, are not looked at.

        Raises:
            InputError: wrong shape or type, values that are not finite or no token, or a column that is missing.
        """
        description, x = self.description, as_pandas(x)
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

    def encode_with_private(
        self, x: X | pd.DataFrame, private: pd.DataFrame | npt.NDArray[Any] | Sequence[Any] | None = None
    ) -> tuple[X, Ints | None]:
        """Return records as the networks take them, and their private labels as positions in the classes.

        Args:
            x: records, see `encode`.
            private: their private labels, see `private_labels`; a release that looks at them takes them from x where
                that is a data frame. None: none.

        Raises:
            InputError: as `encode` and `private_labels`, or there are not as many labels as records.
        """
        x, private = as_pandas(x), as_pandas(private)
        if private is None and isinstance(x, pd.DataFrame) and self.release.sees_private:
            private = x
        require_same_rows(x, private)
        encoded, labels = self.encode(x), self.private_labels(private)
        if labels is not None and len(labels) != len(encoded):
            raise InputError(f"there are {len(labels)} private labels for {len(encoded)} records")
        return encoded, labels

    def transform(
        self,
        x: X | pd.DataFrame,
        private: pd.DataFrame | npt.NDArray[Any] | Sequence[Any] | None = None,
        *,
        key: bytes | int | None = None,
        generator: torch.Generator | None = None,
    ) -> Floats:
        """Return what may leave the device of the records x: [n, d], float32; of a release of codes the codewords.

        Args:
            x: records, see `encode`.
            private: their private labels, see `private_labels`; needed by releases that look at them, which take them
                from x where that is a data frame that has them.
            key: a secret (32 bytes) from which, together with the record, its noise derives: the same record is
                released in the same way each time. A number is a key too, for experiments only: others guess it.
            generator: draws the noise, for experiments. Without key and generator it is fresh at each call.

        Raises:
            InputError: x doesn't fit, or private labels are needed and missing.
        """
        return self._released(x, private, key, generator).z

    def transform_codes(
        self,
        x: X | pd.DataFrame,
        private: pd.DataFrame | npt.NDArray[Any] | Sequence[Any] | None = None,
        *,
        key: bytes | int | None = None,
        generator: torch.Generator | None = None,
    ) -> Ints:
        """Return the codes [n] of records; arguments as of `transform`, whose numbers are `codes.codewords` of these.

        Raises:
            InputError: the method publishes no codes; or as `transform`.
        """
        codes = self._released(x, private, key, generator).codes
        if codes is None:
            raise InputError(f"method {self.card.method} publishes no codes: use transform")
        return codes

    def _released(
        self,
        x: X | pd.DataFrame,
        private: pd.DataFrame | npt.NDArray[Any] | Sequence[Any] | None,
        key: bytes | int | None,
        generator: torch.Generator | None,
    ) -> Released:
        if key is not None and generator is not None:
            raise ValueError("give a key or a generator, not both")
        draws: Draws = fresh_noise
        if key is not None:
            draws = self.draws(key)
        if generator is not None:
            draws = draws_from(generator)
        encoded, labels = self.encode_with_private(x, private)
        return self.release.apply(encoded, labels, draws)

    def draws(self, key: bytes | int) -> Draws:
        """Return the draws that a secret key gives records in this release: of encoded x and a width, [n, width].

        They follow from the key, the record and this extractor. Two extractors with one key so share no noise, which
        their releases together could be freed from.
        """
        return record_noise(key_of(key) + self._digest())

    def _digest(self) -> bytes:
        digest = hashlib.sha256(f"{self.sigma!r} {self.codes.digest if self.codes else ''}".encode())
        for name, value in sorted(self.module.extractor.named_parameters()):
            digest.update(name.encode() + np.ascontiguousarray(value.numpy()).tobytes())
        return digest.digest()

    def __repr__(self) -> str:
        bits = f"{self.capacity:.1f} bits" if math.isfinite(self.capacity) else "no channel"
        how = f"σ={self.sigma:g}" if self.codes is None else f"{len(self.codes)} codes"
        hidden = ", ".join(attribute.name for attribute in self.description.attributes)
        return (
            f"Extractor({self.card.method}, λ={self.card.lam:g}, hides {hidden}: "
            f"{_sizes(self.description.shape)} -> {self.d} numbers, {how}, {bits})"
        )


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _as_type(x: npt.NDArray[Any], description: Description) -> npt.NDArray[Any]:
    """Return x in the type that the networks take, where no value changes."""
    if description.modality == "table":
        if x.dtype.kind not in "fiub" or not np.isfinite(x).all():
            raise InputError("x has values that are no finite numbers")
    elif description.modality == "image":
        if x.dtype != np.uint8:
            raise InputError(f"x is {x.dtype}: the extractor takes pixels from 0 to 255, uint8")
    elif x.dtype.kind not in "iu" or (len(x) and not (x.min() >= 0 and x.max() < description.vocabulary)):
        raise InputError(f"x has values that are no tokens in 0..{description.vocabulary - 1}")
    return x.astype(TYPES[description.modality], copy=False)
