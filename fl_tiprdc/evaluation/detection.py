"""Detection at few accusations, and the pair of classes that an attacker tells apart best; a mean AUC hides both."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.evaluation.metric_rows import Answered, MetricRow, metric_rows
from fl_tiprdc.evaluation.scores import UNMEASURED, Score, Values, Weights, countable_classes, interval, weighted_auc

PAIR_AUC = "pair-auc"  # between a class, `group`, and another one, `against`
FALSE_POSITIVE_RATES: Mapping[str, float] = {"tpr-at-1%-fpr": 0.01, "tpr-at-5%-fpr": 0.05}  # by name of the metric


def detection_rows(
    where: Answered,
    labels: Ints,
    probabilities: Floats,
    prior: Values,
    weights: Weights,
    names: Sequence[str],
    counted: Ints,
) -> list[MetricRow]:
    """Return rows of `found_at`, and for more than two classes of the AUC of each pair of them, see `pair_area`.

    Args:
        where: what was answered, by whom.
        labels: [m].
        probabilities: [m, classes].
        prior: [classes] shares of those from whom the attacker learned.
        weights: [1 + resamples, m].
        names: of the classes.
        counted: classes that can be told from the rest, see `scores.countable_classes`; other pairs are `UNMEASURED`.
    """
    rows = metric_rows(*where, found_at(labels, probabilities, weights, counted))
    for first, second in combinations(range(len(names)), 2) if len(names) > 2 else ():
        measured = first in counted and second in counted
        area = pair_area(labels, probabilities, prior, weights, (first, second)) if measured else None
        scores = {PAIR_AUC: UNMEASURED if area is None else interval(area)}
        rows += metric_rows(*where, scores, attribute=where[2], group=names[first], against=names[second])
    return rows


def pair_area(labels: Ints, probabilities: Floats, prior: Values, weights: Weights, pair: tuple[int, int]) -> Values:
    """Return the AUC between two classes, [1 + resamples], by P(first | code) / P(second | code).

    A code for which the table knows neither class has the ratio of their priors: its likelihood ratio is 1.
    """
    first, second = pair
    members = np.flatnonzero((labels == first) | (labels == second))
    either = probabilities[members][:, [first, second]].astype(np.float64)
    neither = either.sum(1) == 0
    either[neither] = np.maximum(prior[[first, second]], 1e-12)
    odds = (either[:, 0] / either.sum(1)).astype(np.float32)
    return weighted_auc(labels[members] == first, odds, weights[:, members])


def found_at(labels: Ints, probabilities: Floats, weights: Weights, counted: Ints | None = None) -> dict[str, Score]:
    """Return how many people of a class are found at each of `FALSE_POSITIVE_RATES` among the others.

    Every class is looked for against the rest, and the value is that of the class of which most are found: whoever is
    sure of some women only is as dangerous to them as if he were sure of some men too. Resamples take their largest as
    well. `counted` are the classes that are looked for; None: all that are there.
    """
    counted = countable_classes(labels, labels) if counted is None else counted
    curves = [roc_points(labels == k, probabilities[:, k], weights) for k in counted]
    if not curves:
        return dict.fromkeys(FALSE_POSITIVE_RATES, UNMEASURED)
    return {
        metric: interval(np.max([read_roc(*curve, rate) for curve in curves], axis=0))
        for metric, rate in FALSE_POSITIVE_RATES.items()
    }


def roc_points(positive: npt.NDArray[np.bool_], scores: Floats, weights: Weights) -> tuple[Values, Values]:
    """Return false and true positive rates at every threshold, each [b, 1 + distinct scores] from 0 to 1.

    Args:
        positive: [n].
        scores: [n].
        weights: [b, n], how often each record counts. Where a class has no weight, its rates are NaN.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    counted, is_positive = weights.T[order], positive[order, None]
    rates = []
    for members in (~is_positive, is_positive):
        by_score = np.add.reduceat(np.where(members, counted, np.float32(0)), starts, axis=0)
        above = np.cumsum(by_score, axis=0, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            rates.append(np.concatenate([np.zeros((1, len(weights))), above / above[-1:]]).T)
    return rates[0], rates[1]


def read_roc(false_positive: Values, true_positive: Values, rate: float) -> Values:
    """Return the true positive rate at a false positive rate, [b].

    Between two thresholds lies a straight line: people with the same score are accused by lot. Where a class has no
    weight the answer is `rate`, as chance gives.
    """
    row = np.arange(len(false_positive))
    last = np.maximum((false_positive <= rate).sum(1) - 1, 0)  # the highest point of those that are not beyond `rate`
    following = np.minimum(last + 1, false_positive.shape[1] - 1)
    run = false_positive[row, following] - false_positive[row, last]
    rise = true_positive[row, following] - true_positive[row, last]
    share = np.where(run > 0, (rate - false_positive[row, last]) / np.where(run > 0, run, 1.0), 0.0)
    value: Values = true_positive[row, last] + share * rise
    return np.where(np.isnan(value) | np.isnan(false_positive[:, -1]), rate, value)
