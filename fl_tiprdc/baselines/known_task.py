"""Adversarial training for a task that is known: what is possible if the collector says what it wants."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fl_tiprdc.baselines.baseline_release import BaselineRelease
from fl_tiprdc.baselines.extractor import FEATURES, HIDDEN, build_perceptrons, extract, minimize
from fl_tiprdc.data.crowd import Crowd
from fl_tiprdc.data.principal_components import narrow_features
from fl_tiprdc.errors import InputError
from fl_tiprdc.hybrid.privacy import balanced_cross_entropy
from fl_tiprdc.hybrid.step import scale_gradient
from fl_tiprdc.methods import METHODS
from fl_tiprdc.release import channel
from fl_tiprdc.seeding import torch_generator


def known_task(contributors: Crowd, held_out: Crowd, seed: int) -> Callable[[float], BaselineRelease]:
    """Release an extractor's features for the crowd's first task through the channel: [n, 32] and [m, 32].

    Liu et al., "Privacy Adversarial Network: Representation Learning for Mobile Data Privacy" (IMWUT 2019): the
    task's loss takes the place of mutual information,

        extractor: min (1-λ) · CE(task) - λ · CE(adversary);  both classifiers: min their own CE.

    Theirs has no noise, and like the TIPRDC paper's objective it then hides nothing from a retrained attacker (on
    Adult, sex: AUC .87 to .92 at every λ). So features leave through the release channel of `tiprdc+`, with its
    noise at λ, in training and after. `dial` is λ in (0, 1).

    The one baseline that trains on a task label: retention on the crowd's first task is no number for an unknown
    task; on the others it is.

    Raises:
        InputError: the crowd has no task.
    """
    if not contributors.tasks:
        raise InputError("baseline 'known-task' needs a task, and the data set has none")
    known, unknown = narrow_features(contributors, held_out, seed)
    description = contributors.description
    labels = next(iter(contributors.tasks.values()))
    x, t, u = (torch.from_numpy(np.array(values)) for values in (known, labels, contributors.private))

    def release(dial: float) -> BaselineRelease:
        network, task, adversary = build_perceptrons(
            seed,
            [known.shape[1], HIDDEN, FEATURES],
            [FEATURES, HIDDEN, int(labels.max()) + 1],
            [FEATURES, HIDDEN, sum(description.classes)],
        )
        sigma = METHODS["tiprdc+"].settings.sigma(dial)
        generator = torch_generator(seed, "known-task", str(dial))

        def released(features: Tensor) -> Tensor:
            return channel.release(features, channel.draw_noise((len(features), FEATURES), generator), sigma)

        def loss(rows: Tensor) -> Tensor:
            z = released(network(x[rows]))
            answer, guess = task(scale_gradient(z, 1 - dial)), adversary(scale_gradient(z, -dial))
            mask = torch.ones(len(rows))
            return functional.cross_entropy(answer, t[rows]) + balanced_cross_entropy(guess, u[rows], mask, description)

        minimize(loss, (network, task, adversary), len(x), seed)
        codes = [torch.from_numpy(extract(network, values)) for values in (known, unknown)]
        clean = channel.release(codes[0], torch.zeros(()), 0.0).numpy()
        return BaselineRelease(released(codes[0]).numpy(), released(codes[1]).numpy(), clean, sigma)

    return release
