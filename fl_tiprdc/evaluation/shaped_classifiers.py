"""Classifiers for representations that have a shape: maps of an image, vectors of a text's places."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.evaluation.mlp import Perceptron

Build = Callable[[Sequence[int], int], nn.Module]

SMALLEST = 4  # a map is halved while its shorter side is longer than this
MOST_CHANNELS = 64
EPOCHS = 12


def _convolutional(shape: Sequence[int], outputs: int) -> nn.Module:
    """Convolutions of stride 2, [b, C·H·W] -> [b, outputs]; GroupNorm, as everywhere."""
    channels, height, width = shape
    layers: list[nn.Module] = [nn.Unflatten(1, tuple(shape))]
    after = min(MOST_CHANNELS, max(16, channels))
    while True:
        layers += [nn.Conv2d(channels, after, 3, 2, 1, bias=False), nn.GroupNorm(4, after), nn.ReLU()]
        height, width = -(-height // 2), -(-width // 2)
        channels, after = after, min(MOST_CHANNELS, 2 * after)
        if min(height, width) <= SMALLEST:
            return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, outputs))


class _Recurrent(nn.Module):
    """A GRU in both directions over the places, [b, T·k] -> [b, outputs]."""

    def __init__(self, shape: Sequence[int], outputs: int, width: int = 64) -> None:
        super().__init__()
        self._shape = tuple(shape)
        self._layer = nn.GRU(self._shape[1], width, batch_first=True, bidirectional=True)
        self._head = nn.Linear(2 * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits."""
        states, _ = self._layer(x.unflatten(1, self._shape))
        logits: Tensor = self._head(states.amax(1))
        return logits


# name -> the number of dimensions of a representation that it is for, and its network
SHAPED: dict[str, tuple[int, Build]] = {"convolutional": (3, _convolutional), "recurrent": (2, _Recurrent)}


def fits(name: str, shape: Sequence[int]) -> bool:
    """Tell whether a classifier of `SHAPED` is for representations of this shape."""
    return len(shape) == SHAPED[name][0]


def shaped(
    name: str, shape: Sequence[int], x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int
) -> list[Floats]:
    """Fit on x [n, d], which is flattened [n, *shape]; class probabilities for `test`, one [m, classes] a target."""
    assert math.prod(shape) == x.shape[1]
    model = Perceptron(seed, epochs=EPOCHS, patience=2, build=lambda outputs: SHAPED[name][1](shape, outputs))
    return model.fit_predict(x, labels, classes, test)
