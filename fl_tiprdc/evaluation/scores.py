"""Accuracy, balanced accuracy and AUC with bootstrap intervals over people."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.seeding import numpy_generator

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float


def weighted_auc(positive: npt.NDArray[np.bool_], score: Floats, weights: Weights) -> Weights:
    """Area under the ROC curve for each row of record weights.

    Args:
        positive: [n] bool.
        score: [n].
        weights: [b, n], how often each record counts.

    Returns:
        [b]; ties count half; ½ where a class has no weight.
    """
    order = np.argsort(score, kind="stable")
    ranked, value = positive[order], score[order]
    weights = weights[:, order]
    up, down = weights * ranked, weights * ~ranked
    # ties: a group's positives stand above the negatives before it and beside half of its own
    starts = np.flatnonzero(np.r_[True, value[1:] != value[:-1]])
    up, down = np.add.reduceat(up, starts, axis=1), np.add.reduceat(down, starts, axis=1)
    below = np.cumsum(down, axis=1) - down / 2
    pairs = up.sum(1) * down.sum(1)
    return np.where(pairs > 0, (up * below).sum(1) / np.maximum(pairs, 1e-12), 0.5)


def resample(participant: Ints, resamples: int, seed: int) -> Weights:
    """How often each record counts in each bootstrap resample of people: [1 + resamples, n], row 0 all ones."""
    people, member = np.unique(participant, return_inverse=True)
    generator = numpy_generator(seed, "bootstrap")
    counts = generator.multinomial(len(people), np.full(len(people), 1 / len(people)), size=resamples)
    return np.concatenate([np.ones((1, len(participant))), counts[:, member.reshape(-1)]]).astype(np.float64)


def score(labels: Ints, probabilities: Floats, weights: Weights) -> dict[str, Score]:
    """Accuracy, balanced accuracy and AUC.

    Args:
        labels: [n].
        probabilities: [n, classes].
        weights: as `resample` gives them.

    Returns:
        "accuracy", "balanced-accuracy", "auc" (the mean of one against the rest where there are more than two
        classes, over classes that the labels have).
    """
    right = (probabilities.argmax(1) == labels).astype(np.float64)
    present = [k for k in range(probabilities.shape[1]) if (labels == k).any()]
    recalls, areas = [], []
    for k in present:
        mine = weights * (labels == k)
        recalls.append((mine * right).sum(1) / np.maximum(mine.sum(1), 1e-12))
        areas.append(weighted_auc(labels == k, probabilities[:, k], weights))
        if probabilities.shape[1] == 2:
            areas = [areas[0]]  # the two classes' areas are the same
    values = {
        "accuracy": (weights * right).sum(1) / weights.sum(1),
        "balanced-accuracy": np.mean(recalls, axis=0),
        "auc": np.mean(areas, axis=0),
    }
    return {
        name: Score(float(v[0]), *(float(q) for q in np.quantile(v[1:], [0.025, 0.975]))) for name, v in values.items()
    }
