"""Multilayer perceptrons: the networks for tables, and the adversaries of all representations that are vectors."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description


def hidden_layers(widths: Sequence[int]) -> list[nn.Module]:
    """Return linear layers of the given widths, each followed by ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers of the given widths with ReLU between them."""
    return nn.Sequential(*hidden_layers(widths[:-1]), nn.Linear(widths[-2], widths[-1]))


def table_trunk(description: Description, config: NetworkConfig, hidden: Sequence[int]) -> tuple[list[nn.Module], int]:
    """Return layers from x [b, D] to features, and the number of those."""
    widths = [description.width, *hidden]
    return hidden_layers(widths), widths[-1]


def table_decoder(description: Description, config: NetworkConfig, inputs: int) -> nn.Module:
    """Return a network from [b, inputs] to a record's parameters [b, D]: logits of categories, means of numbers."""
    return perceptron([inputs, *config.critic_hidden, description.width])


class SeparateAdversaries(nn.Module):
    """Run a perceptron for each private attribute; answers side by side, as of one network with several heads."""

    def __init__(self, width: int, hidden: Sequence[int], classes: Sequence[int]) -> None:
        super().__init__()
        self.each = nn.ModuleList(perceptron([width, *hidden, k]) for k in classes)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits [b, sum of classes]."""
        return torch.cat([adversary(z) for adversary in self.each], dim=-1)


def _joint_adversary(width: int, hidden: Sequence[int], classes: Sequence[int]) -> nn.Module:
    return perceptron([width, *hidden, sum(classes)])


def _separate_adversaries(width: int, hidden: Sequence[int], classes: Sequence[int]) -> nn.Module:
    return (
        _joint_adversary(width, hidden, classes) if len(classes) == 1 else SeparateAdversaries(width, hidden, classes)
    )


ADVERSARIES: Mapping[str, Callable[[int, Sequence[int], Sequence[int]], nn.Module]] = {
    "joint": _joint_adversary,
    "separate": _separate_adversaries,
}
