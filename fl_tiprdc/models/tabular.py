"""Networks for records that are vectors: multilayer perceptrons."""

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


class TowerCritic(nn.Module):
    """Separable critic: T(x, z, u) = f(x) · g(z, u) / √h, so that all pairs of a batch cost one product."""

    def __init__(self, x_width: int, z_width: int, u_width: int, hidden: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.f = perceptron([x_width, *hidden, embedding])
        self.g = perceptron([z_width + u_width, *hidden, embedding])

    def forward(self, x: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Scores [b, b]: row i, column j is T(x_j, z_i, u_i). Shapes: x [b, D], z [b, d], u one-hot [b, K]."""
        f, g = self.f(x), self.g(torch.cat([z, u], dim=-1))
        scores: Tensor = g @ f.transpose(-1, -2) / f.shape[-1] ** 0.5
        return scores


class SoftmaxTowerCritic(TowerCritic):
    """The separable critic for bounds that compare the x of one z by a softmax.

    They don't feel a constant added to f, so f ends without a bias: its gradient would be rounding noise, which
    Adam blows up to full steps.
    """

    def __init__(self, x_width: int, z_width: int, u_width: int, hidden: Sequence[int], embedding: int) -> None:
        super().__init__(x_width, z_width, u_width, hidden, embedding)
        self.f[-1] = nn.Linear([x_width, *hidden][-1], embedding, bias=False)


class DecoderCritic(nn.Module):
    """Parameters of a model q(x | z, u) of the record: logits of categories, means of numbers."""

    def __init__(self, x_width: int, z_width: int, u_width: int, hidden: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.decoder = perceptron([z_width + u_width, *hidden, x_width])

    def forward(self, x: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """[b, D]. x isn't used: one interface for all critics."""
        scores: Tensor = self.decoder(torch.cat([z, u], dim=-1))
        return scores


class SeparateAdversaries(nn.Module):
    """A perceptron for each private attribute; answers side by side, as of one network with several heads."""

    def __init__(self, width: int, hidden: Sequence[int], classes: Sequence[int]) -> None:
        super().__init__()
        self.each = nn.ModuleList(perceptron([width, *hidden, k]) for k in classes)

    def forward(self, z: Tensor) -> Tensor:
        """Logits [b, sum of classes]."""
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

CRITIC_NETWORKS: Mapping[str, Callable[[int, int, int, Sequence[int], int], nn.Module]] = {
    "towers": TowerCritic,
    "softmax-towers": SoftmaxTowerCritic,
    "decoder": DecoderCritic,
}


_seeding = threading.Lock()  # layers draw their weights from the one generator that all threads share


def build_networks(description: Description, config: NetworkConfig, critic: str, seed: int) -> dict[str, nn.Module]:
    """Extractor, adversary and critic with initial weights that depend on `seed` alone.

    Args:
        description: widths of x and classes of the private attributes.
        config: layer widths.
        critic: a key of `CRITIC_NETWORKS`.
        seed: for the initial weights.

    Returns:
        "extractor" [n, D] -> [n, d]; "adversary" [n, d] -> [n, sum of classes]; "critic".
    """
    width, classes, d = description.width, sum(description.classes), config.representation
    with _seeding, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {
            "extractor": perceptron([width, *config.extractor_hidden, d]),
            "adversary": ADVERSARIES[config.adversaries](d, config.adversary_hidden, description.classes),
            "critic": CRITIC_NETWORKS[critic](width, d, classes, config.critic_hidden, config.critic_embedding),
        }
