"""The AUC of an attacker who sees a code and tells two classes: the exact one, and simple bounds from counts."""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Counts = npt.NDArray[np.int64]


def best_attacker_auc(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Compute the AUC of the best attacker who knows how each of two classes spreads over the codes.

    Args:
        first: [K] counts or probabilities of class 0.
        second: [K] of class 1.

    Returns:
        Area under the ROC curve with codes sorted by their likelihood ratio; ties count half; ½ for an empty class.
    """
    p0, p1 = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if p0.sum() <= 0 or p1.sum() <= 0:
        return 0.5
    p0, p1 = p0 / p0.sum(), p1 / p1.sum()
    order = np.argsort(p1 / np.maximum(p0 + p1, 1e-300), kind="stable")
    p0, p1 = p0[order], p1[order]
    # codes of equal ratios may be counted as if one stood above the other and still below: p1c p0c' = p0c p1c'
    return float(min(1.0, p1 @ (np.cumsum(p0) - p0 / 2)))


def gini_bound(squared_distance: float, codes: int) -> float:
    """Bound the best attacker's AUC by s² = Σ_c (p1c - p0c)² / r_c: 1/2 + s sqrt((1 - 1/K²) / 12), at most 1."""
    return min(1.0, 0.5 + math.sqrt(max(0.0, squared_distance) * (1 - 1 / codes**2) / 12))


def mcdiarmid_slack(first: int, second: int, delta: float) -> float:
    """Return what an AUC of so many people of either class exceeds its mean by, with probability delta at most.

    It is sqrt(ln(1/δ) / 2 · (1/n0 + 1/n1)): one person of class u moves the AUC by 1/n_u at most.
    """
    return math.sqrt(math.log(1 / delta) / 2 * (1 / first + 1 / second))


def bounded_differences(first: Counts, second: Counts, delta: float) -> float:
    """Bound A* by the best attacker's AUC with hindsight and McDiarmid's inequality.

    Args:
        first: [K] people of class 0 with each code.
        second: [K] of class 1.
        delta: probability with which the bound may fail.
    """
    slack = mcdiarmid_slack(int(first.sum()), int(second.sum()), delta)
    return min(1.0, best_attacker_auc(first, second) + slack)


def estimate_distance(first: Counts, second: Counts) -> tuple[float, float]:
    """Estimate Σ_c (p1c - p0c)² / r_c, r the classes together as they are among these people.

    Its mean is that sum over codes that two people or more have, but for terms of the order of one person in all.

    Args:
        first: [K] people of class 0 with each code.
        second: [K] of class 1.

    Returns:
        The estimate, which may be negative, and its variance where nothing leaks.
    """
    number, people = first + second, int(first.sum() + second.sum())
    share = float(second.sum() / people)
    variance = share * (1 - share)
    several = number > 1
    n, x = number[several], (second - share * number)[several]
    # the last term: given the codes' people, the variance is a hypergeometric's, a little less than a binomial's
    terms = (x**2 - (1 - 2 * share) * x - variance * n) / (n - 1) + variance * n / (people - 1)
    scale = people * variance**2
    return float(terms.sum()) / scale, 2 * variance**2 * float((n / (n - 1)).sum()) / scale**2


def asymptotic_bound(first: Counts, second: Counts, delta: float) -> float:
    """Bound A* by a normal quantile. No proof: it holds in the limit of many people and many codes.

    Args:
        first: [K] people of class 0 with each code.
        second: [K] of class 1.
        delta: probability with which the bound may fail.
    """
    distance, spread = estimate_distance(first, second)
    # the largest d with d - distance <= quantile sqrt(spread + 4 (1/n0 + 1/n1) d), squared
    growth = 4 * (1 / int(first.sum()) + 1 / int(second.sum()))
    quantile = float(ndtri(1 - delta))
    middle = distance + growth * quantile**2 / 2
    root = math.sqrt(max(0.0, middle**2 - distance**2 + quantile**2 * spread))
    return gini_bound(middle + root, len(first))


def predicted_hindsight(first: float, second: float, codes: float, leak: float) -> float:
    """Predict the AUC of the best attacker with hindsight: normal differences have a mean difference of 2/√π."""
    return 0.5 + math.sqrt((leak + (codes - 1) * (1 / first + 1 / second)) / math.pi) / 2
