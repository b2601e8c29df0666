"""Records of any modality as vectors of numbers: what attackers, probes and simple baselines see of raw data."""

import numpy as np

from fl_tiprdc.data.crowd import PADDING, Crowd, Floats, X

WIDEST = 2048  # one-hot places of a text; longer ones become counts of tokens


def raw_features(crowd: Crowd) -> Floats:
    """[n, k] float32.

    Tables as they are; pixels scaled to -1..1, side by side (channels, rows, columns); short texts one-hot, place
    by place; long texts as how often each of the first `WIDEST` tokens of the vocabulary occurs.
    """
    x, description = crowd.x, crowd.description
    if description.modality == "table":
        return np.asarray(x[:], dtype=np.float32)
    if description.modality == "image":
        found = np.empty((len(x), description.width), dtype=np.float32)
        for begin in range(0, len(x), 1024):
            found[begin : begin + 1024] = x[begin : begin + 1024].reshape(-1, description.width) / 127.5 - 1
        return found
    return _text_features(x, description.vocabulary)


def _text_features(x: X, vocabulary: int) -> Floats:
    tokens = x[:]
    n, places = tokens.shape
    if places * vocabulary <= WIDEST:
        one_hot: Floats = (tokens[:, :, None] == np.arange(vocabulary)).reshape(n, -1).astype(np.float32)
        return one_hot
    counts = np.zeros((n, min(vocabulary, WIDEST)), dtype=np.float32)
    rows, columns = np.nonzero((tokens != PADDING) & (tokens < counts.shape[1]))
    np.add.at(counts, (rows, tokens[rows, columns]), 1)
    return counts
