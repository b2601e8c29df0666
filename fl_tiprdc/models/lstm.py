"""TIPRDC's networks for texts (KDD 2020, section 4 and the authors' code): an embedding and LSTMs of 300."""

from torch import Tensor, nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Description
from fl_tiprdc.models.critics import JointCritic

WIDTH, HEAD = 300, 150


class _Sequence(nn.Module):
    """LSTM layers, [b, T, WIDTH] to the outputs at all places or the last one."""

    def __init__(self, layers: int, last: bool) -> None:
        super().__init__()
        self.lstm, self._last = nn.LSTM(WIDTH, WIDTH, layers, batch_first=True), last

    def forward(self, x: Tensor) -> Tensor:
        """[b, T, WIDTH], or [b, WIDTH]."""
        outputs: Tensor = self.lstm(x)[0]
        return outputs[:, -1] if self._last else outputs


def lstm_shape(description: Description, config: NetworkConfig) -> tuple[int, ...]:
    """(T, 300)."""
    return (description.shape[0], WIDTH)


def build_lstm(description: Description, config: NetworkConfig, critic: str) -> dict[str, nn.Module]:
    """Extractor: embedding and LSTM; adversary: two LSTMs and a head; critic: the paper's."""
    shape, classes = lstm_shape(description, config), sum(description.classes)

    def extractor() -> nn.Sequential:
        return nn.Sequential(nn.Embedding(description.vocabulary, WIDTH), _Sequence(1, last=False))

    return {
        "extractor": nn.Sequential(extractor(), nn.Flatten()),
        "adversary": nn.Sequential(
            nn.Unflatten(1, shape),
            _Sequence(2, last=True),
            nn.Linear(WIDTH, HEAD),
            nn.ReLU(),
            nn.Linear(HEAD, classes),
        ),
        "critic": JointCritic(
            extractor(),
            shape,
            _Sequence(2, last=True),
            nn.Sequential(nn.Linear(2 * WIDTH + classes, HEAD), nn.ReLU(), nn.Linear(HEAD, 1)),
        ),
    }
