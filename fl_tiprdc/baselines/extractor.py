"""Extractors that baselines train on contributors: perceptrons, their training, and the autoencoder."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.hybrid.batches import batches_in, shuffled_batches
from fl_tiprdc.models.perceptron import perceptron
from fl_tiprdc.models.trainer import train_network
from fl_tiprdc.seeding import derive, layer_draws, numpy_generator

FEATURES = 32  # numbers in a representation, as in the methods
HIDDEN = 256  # width of the hidden layer
EPOCHS = 20
BATCH_SIZE = 512
LEARNING_RATE = 2e-3


def build_perceptrons(seed: int, *widths: Sequence[int]) -> list[nn.Sequential]:
    """Return a perceptron for each list of widths; initial weights depend on `seed` alone."""
    with layer_draws(derive(seed, "baseline-weights")):
        return [perceptron(layers) for layers in widths]


def minimize(loss: Callable[[Tensor], Tensor], networks: Iterable[nn.Module], n: int, seed: int) -> None:
    """Minimize `loss`, a function of a batch's positions [b], by Adam over shuffled passes through n records."""
    together = nn.ModuleList(networks)
    optimizer = torch.optim.Adam(together.parameters(), LEARNING_RATE, fused=True)
    batches = shuffled_batches(
        n, BATCH_SIZE, batches_in(n, BATCH_SIZE, EPOCHS), numpy_generator(seed, "baseline-batches")
    )
    train_network(together, optimizer, map(torch.from_numpy, batches), loss)


def extract(network: nn.Module, x: Floats) -> Floats:
    """Return the features [n, d] of x [n, k]."""
    with torch.no_grad():
        features: Floats = network(torch.tensor(x)).numpy()
    return features


def train_autoencoder(x: Floats, seed: int) -> nn.Module:
    """Train an autoencoder by the mean squared error on x [n, k], and return its encoder [n, k] -> [n, FEATURES]."""
    k = x.shape[1]
    encoder, decoder = build_perceptrons(seed, [k, HIDDEN, FEATURES], [FEATURES, HIDDEN, k])
    inputs = torch.tensor(x)

    def loss(rows: Tensor) -> Tensor:
        return functional.mse_loss(decoder(encoder(inputs[rows])), inputs[rows])

    minimize(loss, (encoder, decoder), len(x), seed)
    return encoder
