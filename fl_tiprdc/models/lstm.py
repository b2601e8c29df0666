"""TIPRDC's networks for texts (KDD 2020, section 4, and the authors' code): an embedding and LSTMs of 300."""

import torch
from torch import Tensor, nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import PADDING, Description
from fl_tiprdc.models.critics import JointCritic

WIDTH, HEAD = 300, 150


class _Extractor(nn.Module):
    """An embedding and an LSTM; places after a text's end are zero, so that its length can be told from z."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Turn token ids [b, T] into [b, T, WIDTH]."""
        outputs: Tensor = self.lstm(self.embedding(x))[0]
        return outputs * (x != PADDING)[:, :, None]


class _Reader(nn.Module):
    """Two LSTMs; their output at a text's last place."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, WIDTH, 2, batch_first=True)

    def forward(self, z: Tensor) -> Tensor:
        """Return the last step [b, WIDTH] of [b, T, WIDTH]."""
        outputs: Tensor = self.lstm(z)[0]
        last = ((z != 0).any(-1).sum(1) - 1).clamp(min=0)
        return outputs[torch.arange(len(z), device=z.device), last]


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HEAD), nn.ReLU(), nn.Dropout(), nn.Linear(HEAD, outputs))


def lstm_shape(description: Description, config: NetworkConfig) -> tuple[int, ...]:
    """Return (T, 300)."""
    return (description.shape[0], WIDTH)


def build_lstm(description: Description, config: NetworkConfig, critic: str) -> dict[str, nn.Module]:
    """Build the extractor: embedding and LSTM; the adversary: two LSTMs and a head; the critic: the paper's."""
    shape, classes = lstm_shape(description, config), sum(description.classes)
    return {
        "extractor": nn.Sequential(_Extractor(description.vocabulary), nn.Flatten()),
        "adversary": nn.Sequential(nn.Unflatten(1, shape), _Reader(), _head(WIDTH, classes)),
        "critic": JointCritic(_Extractor(description.vocabulary), shape, _Reader(), _head(2 * WIDTH + classes, 1)),
    }
