"""A network for several labels at once, stopped early on a validation split: a multilayer perceptron, or another."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.models.perceptron import perceptron
from fl_tiprdc.models.trainer import Validation, train_network
from fl_tiprdc.seeding import derive, layer_draws, numpy_generator

BATCH_SIZE = 1024  # without noise at most a sixteenth of the records: few of them get enough updates too
SMALLEST_BATCH = 32
LEARNING_RATE = 3e-3


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits [b, classes] or [b, networks, classes] for labels [b]."""
    if logits.dim() == 2:
        return functional.cross_entropy(logits, labels)
    return functional.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]))


class Perceptron:
    """Fit one network with a softmax for each label. Inputs are standardized; 15 % of the records validate.

    Args:
        seed: for weights, split, batches and noise.
        hidden: layer widths.
        epochs: at most.
        patience: epochs without a better validation loss before it stops; not with noise.
        sigma: standard deviation of noise that each record gets anew whenever it is looked at. Nothing is learned by
            heart then: all epochs are made, with a step size that falls to 0.
        build: from the number of outputs to a network of another kind, [b, d] -> [b, outputs], or to several that learn
            each on its own and answer together, [b, networks, outputs]; `hidden` has no effect.
    """

    def __init__(
        self,
        seed: int,
        hidden: Sequence[int] = (256, 128),
        epochs: int = 30,
        patience: int = 4,
        sigma: float = 0.0,
        build: Callable[[int], nn.Module] | None = None,
    ) -> None:
        self._seed, self._hidden, self._epochs, self._patience = seed, hidden, epochs, patience
        self._sigma, self._build = sigma, build
        self.loss = float("inf")  # on the records that validate

    def fit_predict(self, x: Floats, labels: Ints, classes: Sequence[int], test: Floats) -> list[Floats]:
        """Fit on x [n, d] and labels [n, targets]; class probabilities for `test`, one [m, classes] a target."""
        mean, std = x.mean(0), np.sqrt(x.var(0) + self._sigma**2)
        std = np.where(std < 1e-6, 1, std)  # constant here, perhaps not in the test records
        inputs = torch.from_numpy(((x - mean) / std).astype(np.float32))
        spread = torch.from_numpy((self._sigma / std).astype(np.float32))
        outputs = torch.from_numpy(np.array(labels))
        shuffled = numpy_generator(self._seed, "probe-split").permutation(len(x))
        cut = max(1, int(0.15 * len(x)))
        validation, training = torch.from_numpy(shuffled[:cut]), torch.from_numpy(shuffled[cut:])
        with layer_draws(derive(self._seed, "probe-weights")):
            if self._build is not None:
                network = self._build(sum(classes))
            else:
                network = perceptron([x.shape[1], *self._hidden, sum(classes)])
        optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-3, fused=True)
        generator = torch.Generator().manual_seed(derive(self._seed, "probe-batches"))
        size = BATCH_SIZE if self._sigma else min(BATCH_SIZE, max(SMALLEST_BATCH, len(training) // 16))
        in_epoch = -(-len(training) // size)
        steps = self._epochs * in_epoch
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, max(2, steps)) if self._sigma else None

        def seen(rows: Tensor) -> Tensor:
            if not self._sigma:
                return inputs[rows]
            return inputs[rows] + spread * torch.randn(len(rows), len(spread), generator=generator)

        def loss(looked: Tensor, rows: Tensor) -> Tensor:
            parts = network(looked).split(list(classes), dim=-1)
            losses = [_cross_entropy(part, outputs[rows, i]) for i, part in enumerate(parts)]
            return torch.stack(losses).mean()

        def batches() -> Iterator[Tensor]:
            for _ in range(self._epochs):
                yield from training[torch.randperm(len(training), generator=generator)].split(size)

        validated = seen(validation)

        def validation_loss() -> float:
            pieces = zip(validated.split(BATCH_SIZE), validation.split(BATCH_SIZE), strict=True)
            return sum(float(loss(piece, rows)) * len(rows) for piece, rows in pieces) / len(validation)

        after = range(in_epoch, steps + 1, in_epoch)
        stopping = Validation(validation_loss, after, 1e-4, None if self._sigma else self._patience)
        self.loss = train_network(
            network, optimizer, batches(), lambda rows: loss(seen(rows), rows), schedule, stopping
        )
        with torch.no_grad():
            new = torch.from_numpy(((test - mean) / std).astype(np.float32))
            together = torch.cat([network(piece) for piece in new.split(BATCH_SIZE)])
            logits = (together.mean(1) if together.dim() == 3 else together).numpy()
        parts = np.split(logits, np.cumsum(classes)[:-1], axis=1)
        return [np.exp(part - np.logaddexp.reduce(part, axis=1, keepdims=True)) for part in parts]
