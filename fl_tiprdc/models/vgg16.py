"""TIPRDC's networks for images (KDD 2020, section 4, and the authors' code): VGG16, batch-normalized, cut in two."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description
from fl_tiprdc.models.batch_norm import BatchNorm2d
from fl_tiprdc.models.critics import JointCritic


class _UnitPixels(nn.Module):
    """Bytes to numbers from 0 to 1, as the authors scale them."""

    def forward(self, x: Tensor) -> Tensor:
        """Return images of the same shape, float32."""
        return x.float() / 255


def _as_the_authors_start(module: nn.Module) -> None:
    """Set initial weights as the authors' code: He's for convolutions, N(0, 0.01²) for linear layers, no biases."""
    if isinstance(module, nn.Conv2d):
        fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, 0, math.sqrt(2 / fan))
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _stack(before: int, widths: Sequence[int | None]) -> list[nn.Module]:
    """Return 3×3 convolutions of the given widths, each with batch norm and ReLU; None halves the map."""
    layers: list[nn.Module] = []
    for width in widths:
        if width is None:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(before, width, 3, padding=1), BatchNorm2d(width), nn.ReLU()]
            before = width
    return layers


def _halves(size: Sequence[int], times: int) -> tuple[int, int]:
    return size[0] >> times, size[1] >> times


def vgg16_shape(description: Description, config: NetworkConfig) -> tuple[int, ...]:
    """Return (128, H/4, W/4)."""
    return (128, *_halves(description.shape[1:], 2))


def build_vgg16(description: Description, config: NetworkConfig, critic: str) -> dict[str, nn.Module]:
    """Build the extractor: up to the second max-pool; the adversary: the rest; the critic: the paper's."""
    stem = [64, 64, None, 128, 128, None]
    shape = vgg16_shape(description, config)
    rest = [256, 256, 256, None, 512, 512, 512, None, 512, 512, 512, None]
    height, width = _halves(description.shape[1:], 5)
    features, classes = 512 * height * width, sum(description.classes)

    def extractor() -> nn.Sequential:
        return nn.Sequential(_UnitPixels(), *_stack(description.shape[0], stem))

    networks: dict[str, nn.Module] = {
        "extractor": nn.Sequential(extractor(), nn.Flatten()),
        "adversary": nn.Sequential(
            nn.Unflatten(1, shape),
            *_stack(128, rest),
            nn.Flatten(),
            nn.Linear(features, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, classes),
        ),
        "critic": JointCritic(
            extractor(),
            shape,
            nn.Sequential(*_stack(128, rest), nn.Flatten()),
            nn.Sequential(
                nn.Linear(2 * features + classes, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 512),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(512, 1),
            ),
        ),
    }
    for network in networks.values():
        network.apply(_as_the_authors_start)
    return networks
