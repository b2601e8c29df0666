"""Small convolutional networks for texts of token ids, for processors."""

from collections.abc import Sequence

from torch import Tensor, nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description


class Tokens(nn.Module):
    """Token ids [b, T] to vectors, [b, width, T]."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return one column a token."""
        vectors: Tensor = self.table(x).transpose(1, 2)
        return vectors


def text_trunk(description: Description, config: NetworkConfig, hidden: Sequence[int]) -> tuple[list[nn.Module], int]:
    """Return layers from x [b, T] to features, and their number: two convolutions, then `hidden`'s first."""
    places, channels = description.shape[0], 2 * config.channels
    layers: list[nn.Module] = [Tokens(description.vocabulary, channels)]
    for before, after in ((channels, 2 * channels), (2 * channels, channels)):
        layers += [nn.Conv1d(before, after, 3, 1, 1, bias=False), nn.GroupNorm(1, after), nn.ReLU()]
    width = hidden[0] if hidden else 128
    return [*layers, nn.Flatten(), nn.Linear(channels * places, width), nn.ReLU()], width


def text_decoder(description: Description, config: NetworkConfig, inputs: int) -> nn.Module:
    """Return a network from [b, inputs] to logits of the token at each place, [b, T, vocabulary]."""
    places, channels = description.shape[0], 2 * config.channels
    width = config.critic_hidden[0] if config.critic_hidden else 128
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.ReLU(),
        nn.Linear(width, places * channels),
        nn.ReLU(),
        nn.Unflatten(1, (places, channels)),
        nn.Linear(channels, description.vocabulary),
    )
