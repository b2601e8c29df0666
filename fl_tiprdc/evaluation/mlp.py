"""A multilayer perceptron for several labels at once, stopped early on a validation split."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.models.perceptron import perceptron
from fl_tiprdc.seeding import derive, layer_draws, numpy_generator


class Perceptron:
    """One network with a softmax for each label. Inputs are standardised; 15 % of the records validate.

    Args:
        seed: for weights, split and batches.
        hidden: layer widths.
        epochs: at most.
        patience: epochs without a better validation loss before it stops.
    """

    def __init__(self, seed: int, hidden: Sequence[int] = (256, 128), epochs: int = 30, patience: int = 4) -> None:
        self._seed, self._hidden, self._epochs, self._patience = seed, hidden, epochs, patience

    def fit_predict(self, x: Floats, labels: Ints, classes: Sequence[int], test: Floats) -> list[Floats]:
        """Fit on x [n, d] and labels [n, targets]; class probabilities for `test`, one [m, classes] a target."""
        mean, std = x.mean(0), x.std(0)
        std = np.where(std < 1e-6, 1, std)  # constant here, perhaps not in the test records
        inputs = torch.from_numpy(((x - mean) / std).astype(np.float32))
        outputs = torch.from_numpy(np.array(labels))
        shuffled = numpy_generator(self._seed, "probe-split").permutation(len(x))
        cut = max(1, int(0.15 * len(x)))
        validation, training = torch.from_numpy(shuffled[:cut]), torch.from_numpy(shuffled[cut:])
        with layer_draws(derive(self._seed, "probe-weights")):
            network = perceptron([x.shape[1], *self._hidden, sum(classes)])
        optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3, fused=True)
        ends = np.cumsum(classes)

        def loss(rows: torch.Tensor) -> torch.Tensor:
            parts = network(inputs[rows]).split(list(classes), dim=1)
            each = [functional.cross_entropy(part, outputs[rows, i]) for i, part in enumerate(parts)]
            return torch.stack(each).mean()

        generator = torch.Generator().manual_seed(derive(self._seed, "probe-batches"))
        best, waited, kept = float("inf"), 0, network.state_dict()
        for _ in range(self._epochs):
            for rows in training[torch.randperm(len(training), generator=generator)].split(1024):
                optimiser.zero_grad()
                loss(rows).backward()
                optimiser.step()
            with torch.no_grad():
                now = float(loss(validation))
            if now < best - 1e-4:
                best, waited = now, 0
                kept = {name: value.clone() for name, value in network.state_dict().items()}
            else:
                waited += 1
                if waited == self._patience:
                    break
        network.load_state_dict(kept)
        with torch.no_grad():
            logits = network(torch.from_numpy(((test - mean) / std).astype(np.float32))).numpy()
        parts = np.split(logits, ends[:-1], axis=1)
        return [np.exp(part - np.logaddexp.reduce(part, axis=1, keepdims=True)) for part in parts]
