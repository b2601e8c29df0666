"""TIPRDC's networks for images (KDD 2020, section 4, and the authors' code): VGG16, batch-normalised, cut in two."""

from collections.abc import Sequence

from torch import nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description
from fl_tiprdc.models.batch_norm import BatchNorm2d
from fl_tiprdc.models.critics import JointCritic
from fl_tiprdc.models.image import Pixels


def _stack(before: int, widths: Sequence[int | None]) -> list[nn.Module]:
    """3×3 convolutions of the given widths, each with batch normalisation and ReLU; None halves the map."""
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
    """(128, H/4, W/4)."""
    return (128, *_halves(description.shape[1:], 2))


def build_vgg16(description: Description, config: NetworkConfig, critic: str) -> dict[str, nn.Module]:
    """Extractor: up to the second max-pool; adversary: the rest; critic: the paper's."""
    stem = [64, 64, None, 128, 128, None]
    shape = vgg16_shape(description, config)
    rest = [256, 256, 256, None, 512, 512, 512, None, 512, 512, 512, None]
    height, width = _halves(description.shape[1:], 5)
    low, small = _halves(shape[1:], 3)

    def extractor() -> nn.Sequential:
        return nn.Sequential(Pixels(), *_stack(description.shape[0], stem))

    return {
        "extractor": nn.Sequential(extractor(), nn.Flatten()),
        "adversary": nn.Sequential(
            nn.Unflatten(1, shape),
            *_stack(128, rest),
            nn.Flatten(),
            nn.Linear(512 * height * width, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, sum(description.classes)),
        ),
        "critic": JointCritic(
            extractor(),
            shape,
            nn.Sequential(*_stack(128, [256, None, 512, None, 512, None]), nn.Flatten()),
            nn.Sequential(
                nn.Linear(2 * 512 * low * small + sum(description.classes), 4096),
                nn.ReLU(),
                nn.Linear(4096, 512),
                nn.ReLU(),
                nn.Linear(512, 1),
            ),
        ),
    }
