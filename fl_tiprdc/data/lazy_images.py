"""Images that stay in their files until somebody reads them; the last ones read stay in memory."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from fl_tiprdc.errors import InputError

Pixels = npt.NDArray[np.uint8]


def read_image(path: Path, size: tuple[int, int], channels: int = 3) -> Pixels:
    """Decode one image file, scaled to `size` = (height, width): [channels, height, width] uint8.

    Raises:
        InputError: missing, or no image that can be decoded.
    """
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB" if channels == 3 else "L")
            if picture.size != size[::-1]:
                picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(picture, dtype=np.uint8)
    except FileNotFoundError:
        raise InputError(f"image '{path}' is missing") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"cannot decode image '{path}': {error}") from None
    return np.ascontiguousarray(pixels.reshape(*size, channels).transpose(2, 0, 1))


class _Cache:
    """The images read last, up to a number of bytes. Safe to share between threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = Lock()

    def get(self, key: int) -> Pixels | None:
        with self._lock:
            image = self._kept.get(key)
            if image is not None:
                self._kept.move_to_end(key)
            return image

    def put(self, key: int, image: Pixels) -> None:
        with self._lock:
            if key not in self._kept:
                self._size += image.nbytes
            self._kept[key] = image
            while self._size > self._limit and self._kept:
                self._size -= self._kept.popitem(last=False)[1].nbytes

    def __getstate__(self) -> Any:
        return self._limit  # a copy in another process starts empty

    def __setstate__(self, limit: Any) -> None:
        self.__init__(limit)  # type: ignore[misc]


class LazyImages:
    """Behaves like an array [n, channels, height, width] of uint8 that can only be read, by rows.

    Args:
        paths: image files, one a row.
        size: (height, width) to which they are scaled.
        channels: 3 (color) or 1 (gray).
        cache_bytes: decoded images to keep in memory.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, paths: Sequence[Path], size: tuple[int, int], channels: int = 3, cache_bytes: int = 512 << 20
    ) -> None:
        self._paths, self._size, self._channels = tuple(paths), size, channels
        self._rows = np.arange(len(self._paths))
        self._cache = _Cache(cache_bytes)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return (n, channels, height, width)."""
        return (len(self._rows), self._channels, *self._size)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def paths(self) -> list[Path]:
        """Return the image files, one a row."""
        return [self._paths[row] for row in self._rows]

    def subset(self, index: npt.NDArray[np.int64]) -> "LazyImages":
        """Return the images at `index`, unread; they share paths and cache."""
        part = object.__new__(LazyImages)
        part._paths, part._size, part._channels, part._cache = self._paths, self._size, self._channels, self._cache
        part._rows = self._rows[index]
        return part

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the paths of images that aren't among these."""
        paths = tuple(self._paths[row] for row in self._rows)
        return {**self.__dict__, "_paths": paths, "_rows": np.arange(len(paths))}

    def _one(self, key: int) -> Pixels:
        image = self._cache.get(key)
        if image is None:
            image = read_image(self._paths[key], self._size, self._channels)
            self._cache.put(key, image)
        return image

    def __getitem__(self, index: Any) -> Pixels:
        """Decode images.

        Raises:
            InputError: a file can't be decoded.
        """
        rows = self._rows[index]
        if rows.ndim == 0:
            return self._one(int(rows))
        images = np.empty((*rows.shape, self._channels, *self._size), np.uint8)
        flat = images.reshape(-1, self._channels, *self._size)
        for place, key in enumerate(rows.reshape(-1).tolist()):
            flat[place] = self._one(key)
        return images
