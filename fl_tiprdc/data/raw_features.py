"""Records of any modality as vectors of numbers: what attackers, probes and simple baselines see of raw data."""

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import PADDING, Crowd, Description, Floats, X

WIDEST_ONE_HOT = 2048  # one-hot places of a text; longer ones become counts of tokens
PIXELS = 32  # of an image's shorter side; larger ones are averaged down


def raw_features(crowd: Crowd) -> Floats:
    """Return the raw features [n, k], float32.

    Tables as they are; pixels scaled to -1..1, side by side (channels, rows, columns), of large images averaged over
    squares so that the shorter side has `PIXELS` to twice as many; short texts one-hot, place
    by place; long texts as how often each of the first `WIDEST_ONE_HOT` tokens of the vocabulary occurs.
    """
    x, description = crowd.x, crowd.description
    if description.modality == "table":
        return np.asarray(x[:], dtype=np.float32)
    if description.modality == "image":
        square = max(1, min(description.shape[1:]) // PIXELS)
        parts = [_pixel_features(x[begin : begin + 1024], square) for begin in range(0, len(x), 1024)]
        return np.concatenate(parts) if parts else np.empty((0, description.width), dtype=np.float32)
    return _text_features(x, description.vocabulary)


def raw_shape(description: Description) -> tuple[int, ...]:
    """Return the shape of raw features before flattening: (channels, height, width), (places, tokens); or none."""
    if description.modality == "image":
        channels, height, width = description.shape
        square = max(1, min(height, width) // PIXELS)
        return channels, height // square, width // square
    if description.modality == "text" and description.shape[0] * description.vocabulary <= WIDEST_ONE_HOT:
        return description.shape[0], description.vocabulary
    return ()


def _pixel_features(images: npt.NDArray[np.uint8], square: int) -> Floats:
    n, channels, height, width = images.shape
    height, width = height // square, width // square
    kept = images[:, :, : height * square, : width * square].astype(np.float32)
    means = kept.reshape(n, channels, height, square, width, square).mean((3, 5))
    pixels: Floats = (means.reshape(n, -1) / 127.5 - 1).astype(np.float32)
    return pixels


def _text_features(x: X, vocabulary: int) -> Floats:
    tokens = x[:]
    n, places = tokens.shape
    if places * vocabulary <= WIDEST_ONE_HOT:
        one_hot: Floats = (tokens[:, :, None] == np.arange(vocabulary)).reshape(n, -1).astype(np.float32)
        return one_hot
    counts = np.zeros((n, min(vocabulary, WIDEST_ONE_HOT)), dtype=np.float32)
    rows, columns = np.nonzero((tokens != PADDING) & (tokens < counts.shape[1]))
    np.add.at(counts, (rows, tokens[rows, columns]), 1)
    return counts
