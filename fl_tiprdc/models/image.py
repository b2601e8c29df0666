"""Small convolutional networks for images, for processors; GroupNorm, which needs no statistics of other clients."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description

SMALLEST = 8  # a map is halved while its shorter side is longer than this


class Pixels(nn.Module):
    """Bytes [b, C, H, W] to numbers from -1 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return images of the same shape, float32."""
        return x.float() / 127.5 - 1


def maps(description: Description, config: NetworkConfig) -> list[tuple[int, int, int]]:
    """Return (channels, height, width) of the maps, from the image itself to the smallest."""
    sizes: list[tuple[int, int, int]] = [(description.shape[0], description.shape[1], description.shape[2])]
    channels = config.channels
    while len(sizes) == 1 or min(sizes[-1][1:]) > SMALLEST:
        sizes.append((channels, -(-sizes[-1][1] // 2), -(-sizes[-1][2] // 2)))
        channels *= 2
    return sizes


def image_trunk(description: Description, config: NetworkConfig, hidden: Sequence[int]) -> tuple[list[nn.Module], int]:
    """Return layers from x [b, C, H, W] uint8 to features, and their number. `hidden` has no effect."""
    sizes = maps(description, config)
    layers: list[nn.Module] = [Pixels()]  # no bias before a normalization, which takes it out again
    for (before, _, _), (after, _, _) in pairwise(sizes):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.GroupNorm(min(4, after), after), nn.ReLU()]
    channels, height, width = sizes[-1]
    return [*layers, nn.Flatten()], channels * height * width


class _Crop(nn.Module):
    """The first rows and columns of a map: transposed convolutions double odd sizes to one too many."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self._height, self._width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """Return maps [b, C, height, width]."""
        return x[..., : self._height, : self._width]


def image_decoder(description: Description, config: NetworkConfig, inputs: int) -> nn.Module:
    """Return a network from [b, inputs] to pixels from 0 to 1, [b, C, H, W] (not confined to that range)."""
    sizes = maps(description, config)[::-1]
    channels, height, width = sizes[0]
    layers: list[nn.Module] = [
        nn.Linear(inputs, channels * height * width),
        nn.ReLU(),
        nn.Unflatten(1, (channels, height, width)),
    ]
    for i, ((before, _, _), (after, height, width)) in enumerate(pairwise(sizes)):
        # 2 x 2 patches, a transposed convolution of kernel and stride 2: processors are many times faster in this form
        layers += [nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2), _Crop(height, width)]
        if i < len(sizes) - 2:
            layers += [nn.ReLU()]
    return nn.Sequential(*layers)
