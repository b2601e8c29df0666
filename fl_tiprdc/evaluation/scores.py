"""Accuracy, balanced accuracy, AUC and cross-entropy with bootstrap intervals over people.

What can't be measured is NaN, and never the level of chance: that would look safe.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.seeding import numpy_generator

Weights = npt.NDArray[np.float32]  # small whole numbers: sums of them are exact
Values = npt.NDArray[np.float64]

LEAST_PROBABILITY = 1e-6  # one answer that is sure and wrong must not make a cross-entropy infinite


@dataclass(frozen=True)
class Score:
    """Hold a measured value and its 95 % interval."""

    value: float
    low: float
    high: float


NO_CLASS: Ints = np.empty(0, dtype=np.int64)  # is counted: there is nothing to measure
UNMEASURED = Score(math.nan, math.nan, math.nan)
METRICS = ("accuracy", "balanced-accuracy", "even-odds-accuracy", "auc", "cross-entropy")


def countable_classes(learned: Ints, tested: Ints) -> Ints:
    """Return the classes that can be told from the rest, sorted: those of both sides' labels.

    None where one side's labels are all the same: then nothing can be learned, or nothing be told apart.

    Args:
        learned: [n] labels of those from whom attackers or probes may learn.
        tested: [m] labels of those on whom they are tested.
    """
    both: Ints = np.intersect1d(learned, tested)
    return both if min(len(np.unique(learned)), len(np.unique(tested))) > 1 else both[:0]


def interval(values: Values) -> Score:
    """Return a measure's value and interval, of [1 + resamples] as `resample` orders them: 95 % lie in it."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Score(float(values[0]), float(low), float(high))


def weighted_auc(positive: npt.NDArray[np.bool_], score: Floats, weights: Weights) -> Values:
    """Return the area under the ROC curve for each row of record weights.

    Args:
        positive: [n] bool.
        score: [n].
        weights: [b, n], how often each record counts.

    Returns:
        [b]; ties count half; ½ where a class has no weight, but NaN everywhere if all or none are positive, or a score
        is no number.
    """
    if positive.all() or not positive.any() or np.isnan(score).any():
        return np.full(len(weights), np.nan)
    negatives = np.flatnonzero(~positive)
    ascending = negatives[np.argsort(score[negatives], kind="stable")]
    up = weights.T[positive]
    below = np.zeros((len(ascending) + 1, len(weights)), dtype=np.float32)  # of the first so many negatives
    np.cumsum(weights.T[ascending], axis=0, out=below[1:])
    first, last = (np.searchsorted(score[ascending], score[positive], side) for side in ("left", "right"))
    passed = below[first]
    if (first != last).any():
        passed = (passed + below[last]) / np.float32(2)  # a tie counts half
    pairs = up.sum(0, dtype=np.float64) * below[-1].astype(np.float64)
    above = np.einsum("nb,nb->b", up, passed, dtype=np.float64)
    return np.where(pairs > 0, above / np.maximum(pairs, 1e-12), 0.5)


def resample(participant: Ints, resamples: int, seed: int) -> Weights:
    """Return how often each record counts in each resample of people: [1 + resamples, n], row 0 all ones.

    A record's counts lie side by side in memory: scores pick records.
    """
    people, member = np.unique(participant, return_inverse=True)
    generator = numpy_generator(seed, "bootstrap")
    counts = generator.multinomial(len(people), np.full(len(people), 1 / len(people)), size=resamples)
    of_people = np.concatenate([np.ones((1, len(people))), counts]).astype(np.float32)
    return np.ascontiguousarray(of_people.T)[member.reshape(-1)].T


def area(labels: Ints, probabilities: Floats, weights: Weights, counted: Ints | None = None) -> Values:
    """Return the AUC for each row of weights [b, n]: the mean of one class against the rest.

    It is over the classes that are counted, see `countable_classes`; None: over those that the labels have. NaN where
    there are none, or all labels are the same.
    """
    counted = countable_classes(labels, labels) if counted is None else counted
    if not len(counted):
        return np.full(len(weights), np.nan)
    one_against_rest = counted[:1] if probabilities.shape[1] == 2 else counted  # the areas of two classes are the same
    areas: Values = np.mean([weighted_auc(labels == k, probabilities[:, k], weights) for k in one_against_rest], axis=0)
    return areas


def score(labels: Ints, probabilities: Floats, weights: Weights, counted: Ints | None = None) -> dict[str, Score]:
    """Score probabilities, with 95 % intervals.

    Args:
        labels: [n].
        probabilities: [n, classes].
        weights: as `resample` gives them.
        counted: classes over which AUC and balanced accuracies are means, see `area`; None: those that the labels have.

    Returns:
        `METRICS`, all of them `UNMEASURED` where no class is counted. "accuracy" and "balanced-accuracy" are those of
        the likeliest class; "even-odds-accuracy" is the balanced accuracy of the class whose probability is highest
        against its mean over all records, as one answers who believes all classes to be equally frequent (with 0.5 as
        threshold, a rare class is hardly ever the answer, and a balanced accuracy says little of what the probabilities
        tell); "auc" is the mean of one against the rest where there are more than two classes; "cross-entropy" the mean
        -ln p of the true class in nats, p at least `LEAST_PROBABILITY`.
    """
    if counted is not None and not len(counted):
        return dict.fromkeys(METRICS, UNMEASURED)
    counted = countable_classes(labels, labels) if counted is None else counted
    right = probabilities.argmax(1) == labels
    even = (probabilities / np.maximum(probabilities.mean(0), 1e-12)).argmax(1) == labels
    nats = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels].astype(np.float64), LEAST_PROBABILITY))
    present = np.unique(labels)
    masks = np.stack([labels == k for k in present], axis=1).astype(np.float32)
    # one product of matrices, as reading the weights is what takes time
    summed = np.concatenate([masks, masks * right[:, None], masks * even[:, None], nats[:, None]], axis=1)
    sums = (weights @ summed.astype(np.float32)).astype(np.float64)
    total, hits, even_hits = np.split(sums[:, :-1], 3, axis=1)
    loss = sums[:, -1] / total.sum(1)
    loss[0] = weights[0] @ nats / weights[0].sum()  # the value itself: no rounding
    balanced = np.isin(present, counted)

    def mean_recall(hits: Values) -> Values:
        """Return [1 + resamples]; NaN where all labels are the same: the recall of one class says nothing."""
        recalls = (hits / np.maximum(total, 1e-12))[:, balanced]
        return np.asarray(recalls.mean(1) if balanced.any() else np.full(len(hits), np.nan))

    values = {
        "accuracy": hits.sum(1) / total.sum(1),
        "balanced-accuracy": mean_recall(hits),
        "even-odds-accuracy": mean_recall(even_hits),
        "auc": area(labels, probabilities, weights, counted),
        "cross-entropy": loss,
    }
    return {name: interval(v) for name, v in values.items()}
