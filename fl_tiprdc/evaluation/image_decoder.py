"""The network of the reconstruction attack: from a representation back to an image."""

from itertools import pairwise

import torch
from torch import Tensor, nn

START = 8  # largest side of the feature map that the image grows from
WIDEST_RELEASE = 512  # longer releases (noisy pixels) are narrowed first
CHANNELS = (64, 32, 16)  # of the feature maps, coarsest first; all finer ones have as many as the last


class ImageDecoder(nn.Module):
    """Decode by a linear layer to a small feature map, then upsampling and transposed convolutions, as in the paper.

    It starts at a constant image and learns how a record departs from it.

    Args:
        width: numbers in a representation, d.
        shape: of an image, (C, H, W).
        start: [C, H, W], values within 0 and 1, not at the ends: the image it starts at.
    """

    def __init__(self, width: int, shape: tuple[int, int, int], start: Tensor) -> None:
        super().__init__()
        channels, self._height, self._width = shape
        doublings = 0
        while -(-max(self._height, self._width) // 2**doublings) > START:
            doublings += 1
        low = [-(-side // 2**doublings) for side in shape[1:]]
        widths = [CHANNELS[min(i, len(CHANNELS) - 1)] for i in range(doublings + 1)]
        narrow = [nn.Linear(width, WIDEST_RELEASE)] if width > WIDEST_RELEASE else []
        layers: list[nn.Module] = [
            *narrow,
            nn.Linear(min(width, WIDEST_RELEASE), widths[0] * low[0] * low[1]),
            nn.Unflatten(1, (widths[0], *low)),
        ]
        for before, after in pairwise(widths):
            layers += [
                nn.GroupNorm(8, before),  # batches of large images are too small for batch normalization
                nn.ReLU(),
                nn.ConvTranspose2d(before, after, 3, padding=1),
                nn.Upsample(scale_factor=2),  # after the convolution, which costs a quarter before it
            ]
        last = nn.ConvTranspose2d(widths[-1], channels, 3, padding=1, bias=False)
        nn.init.zeros_(last.weight)
        layers += [nn.GroupNorm(8, widths[-1]), nn.ReLU(), last]
        self.layers = nn.Sequential(*layers)
        self.start = nn.Parameter(torch.logit(start))

    def forward(self, z: Tensor) -> Tensor:
        """Return images [n, C, H, W], values 0 to 1, of representations [n, d]."""
        grown = self.layers(z)[:, :, : self._height, : self._width]
        images: Tensor = torch.sigmoid(self.start + grown)
        return images


class ConstantImage(nn.Module):
    """Decode to the same image whatever the representation.

    Args:
        start: [C, H, W], values within 0 and 1, not at the ends.
    """

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.logit(start))

    def forward(self, z: Tensor) -> Tensor:
        """Return images [n, C, H, W] for representations [n, d]."""
        return torch.sigmoid(self.start).expand(len(z), *self.start.shape)
