"""How much any attacker can tell from a published code: upper bounds that hold for finitely many people.

A release publishes one of K codes. Certifying people, one record each, who had no part in fitting the release, give a
table of counts [classes, K]. For two classes with code distributions p0 and p1, the best attacker's AUC is

    A* = 1/2 + 1/2 Σ_{c<c'} |p1c p0c' - p0c p1c'|  <=  1/2 + sqrt((1 - 1/K²) / 12 · Σ_c (p1c - p0c)² / r_c),

where r is any mixture of p0 and p1. docs/certificate.md has the proofs of what is computed here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp
from scipy.stats import binom, norm

from fl_tiprdc.seeding import numpy_generator

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Kind = Literal["sharp", "bounded-differences", "none"]

FEWEST_PEOPLE = 20  # of a class: with fewer, nothing useful can be said of it
USEFUL_BOUND = 0.75  # a release that leaks nothing must be able to get this, or nothing is certified
EVERYBODY = 1024  # people of a code up to which all are used; beyond, all but 1 in 256
COVERED = (
    "It covers one release of one record, attackers who see the code and anything public, and the population that the "
    "certifying people are a sample of. It does not cover attackers who know the record already, several records of a "
    "person, or two releases of a record by different extractors."
)
REACH = 3.5  # terms of a sum left and right of the largest, in √N: what is left out is below e^-24 of it each
SHARP_SHARE = 0.8  # of the error probability; bounded differences get the rest, as they need it less
THINNINGS = 64  # random subsets whose evidence is averaged
EXPECTED_FITTED = 4  # people who fitted a coupling for each one who certifies, for which the sharp bound is tuned
LEVELS = 9  # quantiles of a code's people by which a mean over codes is computed
SPREADS = 2.2  # standard deviations of the class sizes of a subset that are left for chance
EASE = 0.99  # of the rate: what makes offsets small for codes of very many people
TOLERANCE = 2e-5  # of an offset, in nats, up to 1,000 people of a code
ROUNDING = 1e-6  # of an offset, in nats: far more than floats lose
CELLS_AT_ONCE = 2_000_000  # numbers in memory while an offset is computed
STRENGTHS = np.exp(np.linspace(math.log(1e-4), math.log(3.0), 120))  # candidates for `Plan.strength`


@dataclass(frozen=True)
class PairBound:
    """What is certified for one pair of classes.

    Attributes:
        first: name of class 0 of the pair.
        second: name of class 1 of the pair.
        people: certifying people of both classes.
        bound: upper bound of the best attacker's AUC; None where the people are too few.
        kind: "sharp" or "bounded-differences", the smaller of the two; "none" without a bound.
        sharp: the sharp bound by itself.
        bounded_differences: the bound by bounded differences itself.
        asymptotic: the bound by a normal quantile; no proof for finitely many people.
        hindsight: AUC of the best attacker who knows these very counts. It lies above A* on average.
        at_best: what a release that leaks nothing gets on average with so many people.
    """

    first: str
    second: str
    people: tuple[int, int]
    bound: float | None
    kind: Kind
    sharp: float
    bounded_differences: float
    asymptotic: float
    hindsight: float
    at_best: float


@dataclass(frozen=True)
class Certificate:
    """What is certified of a release.

    Attributes:
        bound: upper bound of any attacker's AUC for every pair of classes; None where the people are too few.
        kind: "sharp" or "bounded-differences", as of the worst pair; "none" without a bound.
        exact: whether the bound is proved for finitely many people.
        asymptotic: the worst pair's bound by a normal quantile, for comparison; no proof.
        delta: probability, over the draw of certifying people, with which the bound may fail; all pairs together.
        codes: K, size of the alphabet.
        people: certifying people of each class, by name.
        worst: the pair whose bound is the highest, or for which there is none.
        at_best: the highest of what a release that leaks nothing would get for a pair.
        pairs: a row for each pair.
    """

    bound: float | None
    kind: Kind
    exact: bool
    asymptotic: float
    delta: float
    codes: int
    people: dict[str, int]
    worst: tuple[str, str]
    at_best: float
    pairs: tuple[PairBound, ...]

    def sentence(self) -> str:
        """Return the claim, or why there is none, as one sentence."""
        total = sum(self.people.values())
        if self.bound is None:
            few = [f"{name} has {count}" for name, count in self.people.items() if count < FEWEST_PEOPLE]
            reason = f" ({', '.join(few)})" if few else ""
            return (
                f"Not certifiable with {total:,} people{reason}: at best, an AUC of {self.at_best:.3f} could be "
                f"certified for a release of {self.codes:,} codes that leaks nothing."
            )
        others = ", or any other pair of classes," if len(self.people) > 2 else ""
        method = "concentration of the codes' counts" if self.kind == "sharp" else "bounded differences"
        return (
            f"With probability {1 - self.delta:.4g} over the draw of {total:,} certifying people, no attacker who sees "
            f"a published code tells {self.worst[0]} from {self.worst[1]}{others} with an AUC "
            f"above {self.bound:.3f} (proved for finitely many people, by {method})."
        )

    @property
    def note(self) -> str:
        """Say what the claim covers and what it does not."""
        return COVERED


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


@dataclass(frozen=True)
class Plan:
    """How the sharp bound weighs a code's people; fixed before any code is counted.

    Attributes:
        people: m, people of a random subset; all but about 2 %.
        share: π, probability with which one of them is of class 1.
        strength: s, how much weight the squared difference of a code gets: more detects a leak better and costs more
            for each code.
        codes: K, size of the alphabet.
        delta: probability with which the bound may fail.
    """

    people: int
    share: float
    strength: float
    codes: int
    delta: float

    @property
    def variance(self) -> float:
        """Return the variance π (1 - π) of one label."""
        return self.share * (1 - self.share)

    @property
    def tilt(self) -> float:
        """Return the weight of a squared difference, t = s / (π (1 - π))."""
        return self.strength / self.variance

    @property
    def center(self) -> float:
        """Return the weight ℓ of a difference itself, as a binomial's variance grows towards ½."""
        return (1 - 2 * self.share) / (1 + 2 * self.strength)

    @property
    def rate(self) -> float:
        """Return how much of the distance the evidence sees, ν = `EASE` t / (1 + 2 s)."""
        return EASE * self.tilt / (1 + 2 * self.strength)

    @property
    def slope(self) -> float:
        """Return the place of the mixture γ p1 + (1 - γ) p0 for distances, κ = (γ - π) / (π (1 - π))."""
        weight = self.strength / (1 + 2 * self.strength)
        return (1 - 2 * self.share) * 2 * weight * (1 - 2 / 3 * weight) / self.variance

    def excess(self, difference: Values) -> Values:
        """Compute ω(d) = d² / (1 + κ d) of codes whose share of class 1 is π + d."""
        values: Values = difference**2 / (1 + self.slope * difference)
        return values

    def steepness(self, difference: Values) -> Values:
        """Compute |ω'(d)|."""
        values: Values = np.abs(difference * (2 + self.slope * difference)) / (1 + self.slope * difference) ** 2
        return values

    def squared_distance(self, evidence: float) -> float:
        """Turn -ln of the averaged evidence into an upper bound of Σ_c (p1c - p0c)² / r_c."""
        nats = max(0.0, evidence - math.log(self.delta))
        return -math.expm1(-nats / self.people) / self.rate / self.variance**2


def subset_size(first: int, second: int) -> tuple[int, float]:
    """Choose m and π such that m people, each of class 1 with probability π, are mostly to be had.

    Args:
        first: certifying people of class 0.
        second: certifying people of class 1.
    """
    margin = 0.0
    for _ in range(50):
        share = (second - margin) / (first + second - 2 * margin)
        margin = min(SPREADS * math.sqrt((first + second) * share * (1 - share)), 0.45 * min(first, second))
    people = math.floor(first + second - 2 * margin)
    return people, (second - margin) / (first + second - 2 * margin)


def people_used(number: Counts) -> tuple[Counts, Counts]:
    """Round large numbers of people of a code, so that few offsets have to be computed.

    Args:
        number: people of each code.

    Returns:
        As many as are used, the same up to `EVERYBODY`, and the largest number for which that many are used.
    """
    step = np.where(number > EVERYBODY, 2 ** np.maximum(0, np.log2(np.maximum(number, 1)).astype(np.int64) - 8), 1)
    used: Counts = number // step * step
    most: Counts = used + step - 1
    return used, most


@lru_cache(maxsize=1 << 16)
def offset(plan: Plan, number: int, most: int) -> float:
    """Compute the least a with E exp(-t (X² - ℓ X) / (N - 1) - a) <= (1 - ν ω(d))^M for every d.

    X = N1 - π N, N1 ~ Binomial(N, π + d). The logarithm of the left-hand side is, in η = logit(π + d), a convex
    function less N ln(1 + e^η). So on a cell of η the quotient lies below the larger of its ends plus a term in the
    square of the cell's width; cells are split until that term is below `TOLERANCE` wherever it counts.

    Args:
        plan: the weights.
        number: N >= 2, people of a code that are used.
        most: M >= N, the largest number for which so many are used.

    Returns:
        a, never too small.
    """
    k = np.arange(number + 1)
    x = k - plan.share * number
    terms = gammaln(number + 1) - gammaln(k + 1) - gammaln(number - k + 1)
    terms -= plan.tilt * (x**2 - plan.center * x) / (number - 1)
    falls = -np.diff(terms)  # grows with k, as the terms are concave: the largest of terms + η k is where it passes η
    reach = min(number, math.ceil(REACH * math.sqrt(number + 2)) + 1)
    tolerance = TOLERANCE * max(1.0, number / 1000)  # few codes can have very many people
    window = np.arange(-reach, reach + 1)

    def log_ratio(logits: Values) -> Values:
        """Compute ln of the left-hand side over the right-hand side, without a."""
        logs = np.empty(len(logits))
        for start in range(0, len(logits), max(1, CELLS_AT_ONCE // len(window))):
            part = logits[start : start + max(1, CELLS_AT_ONCE // len(window))]
            index = np.searchsorted(falls, part)[:, None] + window
            inside = (index >= 0) & (index <= number)
            index = np.clip(index, 0, number)
            logs[start : start + len(part)] = logsumexp(
                np.where(inside, terms[index] + part[:, None] * index, -np.inf), axis=1
            )
        shares = 1 / (1 + np.exp(-logits))
        seen = np.log1p(-plan.rate * plan.excess(shares - plan.share))
        ratios: Values = logs - number * np.logaddexp(0, logits) - most * seen
        return ratios

    def cell_bounds(logits: Values, ratios: Values) -> Values:
        """Bound the ratio on the cells between neighboring logits [cells, 2]."""
        shares = 1 / (1 + np.exp(-logits))
        spread = np.where((shares[:, 0] < 0.5) & (shares[:, 1] > 0.5), 0.25, (shares * (1 - shares)).max(1))
        differences = shares - plan.share
        seen = 1 - plan.rate * plan.excess(differences).max(1)
        bend = 1 + np.abs(1 - 2 * shares).max(1) * plan.rate * plan.steepness(differences).max(1) / seen
        bounds: Values = ratios.max(1) + (logits[:, 1] - logits[:, 0]) ** 2 / 8 * most * spread * bend
        return bounds

    edge = math.log(1e-5 / most)  # below this share, and above 1 - it, the cell without end
    middle = math.log(plan.share / (1 - plan.share))
    angles = np.linspace(0, math.pi, 8 + math.ceil(2 * math.sqrt(number)))[1:-1]  # equal steps of standard deviations
    grid = np.concatenate([[edge, -edge, middle], 2 * np.log(np.tan(angles / 2)), np.linspace(edge, -edge, 16)])
    grid = np.unique(grid[(grid >= edge) & (grid <= -edge)])
    ratios = log_ratio(grid)
    ends = np.array([-plan.share, 1 - plan.share])
    near = 1 / (1 + np.exp(-grid[[0, -1]])) - plan.share
    seen_near = np.log1p(-plan.rate * plan.excess(near))
    seen_least = np.minimum(seen_near, np.log1p(-plan.rate * plan.excess(ends)))
    tails = ratios[[0, -1]] + number * np.logaddexp(0, edge) + most * (seen_near - seen_least)
    largest = float(ratios.max())
    cells, values = np.stack([grid[:-1], grid[1:]], 1), np.stack([ratios[:-1], ratios[1:]], 1)
    bounds = cell_bounds(cells, values)
    while (open_cells := bounds > largest + tolerance).any():
        left, right = cells[open_cells].T
        points = left[:, None] + (right - left)[:, None] * np.array([0, 0.25, 0.5, 0.75, 1])
        inner = log_ratio(points[:, 1:-1].reshape(-1)).reshape(-1, 3)
        all_values = np.concatenate([values[open_cells, :1], inner, values[open_cells, 1:]], 1)
        cells = np.stack([points[:, :-1], points[:, 1:]], 2).reshape(-1, 2)
        values = np.stack([all_values[:, :-1], all_values[:, 1:]], 2).reshape(-1, 2)
        largest = max(largest, float(inner.max()))
        bounds = cell_bounds(cells, values)
    return max(largest + tolerance, float(tails.max())) + ROUNDING


def evidence(plan: Plan, first: Counts, second: Counts) -> Values:
    """Sum, over codes, what each says against a distance: E exp(-evidence) <= (1 - ν θ)^m.

    Args:
        plan: the weights.
        first: [..., K] people of class 0 with each code, of a subset of m people.
        second: [..., K] of class 1.

    Returns:
        [...].
    """
    number = first + second
    sizes, index = np.unique(number, return_inverse=True)
    sizes, most = people_used(sizes)
    offsets = np.array([offset(plan, int(n), int(top)) if n > 1 else 0.0 for n, top in zip(sizes, most, strict=True)])
    index = index.reshape(number.shape)
    used = sizes[index]
    # means over a random choice of the people that are used, where not all are
    part = used / np.maximum(number, 1)
    x = part * (second - plan.share * number)
    square = x**2 + part * first * second * (number - used) / np.maximum(number * (number - 1), 1)
    score = plan.tilt * (square - plan.center * x) / np.maximum(used - 1, 1) + offsets[index]
    alone = -np.log1p(-plan.rate * plan.excess(np.array([-plan.share, 1 - plan.share])))
    score = np.where(number == 1, np.where(second == 1, alone[1], alone[0]), score)
    total: Values = np.where(number == 0, 0.0, score).sum(-1)
    return total


def predicted_distance(
    strength: float | Values, codes: float, people: float, variance: float, leak: float, delta: float
) -> Values:
    """Predict the sharp bound of Σ_c (p1c - p0c)² / r_c, as if differences of codes were normal.

    Args:
        strength: s of the plan, one or several.
        codes: K, well below the number of people.
        people: m, people of a subset.
        variance: π (1 - π).
        leak: the true value.
        delta: probability with which the bound may fail.
    """
    s = np.asarray(strength, dtype=np.float64)
    nats = codes * (s - np.log1p(2 * s) / 2) - math.log(delta)
    bounds: Values = (nats / (people * variance) / s + leak) * (1 + 2 * s) / EASE
    return bounds


def make_plan(first: int, second: int, codes: int, delta: float) -> Plan:
    """Choose the sharp bound's weights from what is known before any code is counted.

    The strength is the best for a release whose coupling was fitted on `EXPECTED_FITTED` times as many people as
    certify it, and whose classes differ by that sampling noise alone.

    Args:
        first: certifying people of class 0.
        second: certifying people of class 1.
        codes: K.
        delta: probability with which the bound may fail.
    """
    people, share = subset_size(first, second)
    variance = share * (1 - share)
    leak = codes / EXPECTED_FITTED / (people * variance)
    predicted = predicted_distance(STRENGTHS, codes, people, variance, leak, delta)
    return Plan(people, share, float(STRENGTHS[predicted.argmin()]), codes, delta)


def sharp_bound(first: Counts, second: Counts, plan: Plan, generator: np.random.Generator) -> float:
    """Bound A* by what the differences of the codes say against a distance of the classes.

    Args:
        first: [K] people of class 0 with each code.
        second: [K] of class 1.
        plan: the weights.
        generator: draws the subsets.
    """
    sizes = generator.binomial(plan.people, plan.share, size=THINNINGS)
    sizes = sizes[(sizes <= second.sum()) & (plan.people - sizes <= first.sum())]
    if not len(sizes):
        return 1.0
    subsets = [
        (
            generator.multivariate_hypergeometric(first, plan.people - size, method="marginals"),
            generator.multivariate_hypergeometric(second, size, method="marginals"),
        )
        for size in sizes
    ]
    evidences = evidence(plan, np.stack([subset[0] for subset in subsets]), np.stack([subset[1] for subset in subsets]))
    averaged = math.log(THINNINGS) - float(logsumexp(-evidences))  # subsets that are not to be had count as no evidence
    return gini_bound(plan.squared_distance(averaged), plan.codes)


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
    quantile = float(norm.ppf(1 - delta))
    middle = distance + growth * quantile**2 / 2
    root = math.sqrt(max(0.0, middle**2 - distance**2 + quantile**2 * spread))
    return gini_bound(middle + root, len(first))


@lru_cache(maxsize=1 << 12)
def bound_without_leak(first: int, second: int, plan: Plan, rest: float) -> float:
    """Predict what a release gets that leaks nothing and uses all codes equally often.

    Args:
        first: certifying people of class 0.
        second: certifying people of class 1.
        plan: of the sharp bound.
        rest: error probability of bounded differences.
    """
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    ends = -np.log1p(-plan.rate * plan.excess(np.array([1 - plan.share, -plan.share])))
    alone = float(ends @ [plan.share, 1 - plan.share])
    numbers = binom.ppf(levels, plan.people, 1 / plan.codes).astype(np.int64)
    costs = [
        plan.strength * n / (n - 1) + offset(plan, int(n), int(top)) if n > 1 else n * alone
        for n, top in zip(*people_used(numbers), strict=True)
    ]
    possible = binom.cdf(second, plan.people, plan.share) - binom.cdf(plan.people - first - 1, plan.people, plan.share)
    nats = plan.codes * float(np.mean(costs)) - math.log(max(float(possible), 1e-12))
    by_differences = predicted_hindsight(first, second, plan.codes, 0.0) + mcdiarmid_slack(first, second, rest)
    return min(1.0, gini_bound(plan.squared_distance(nats), plan.codes), by_differences)


def predicted_hindsight(first: float, second: float, codes: float, leak: float) -> float:
    """Predict the AUC of the best attacker with hindsight: normal differences have a mean difference of 2/√π."""
    return 0.5 + math.sqrt((leak + (codes - 1) * (1 / first + 1 / second)) / math.pi) / 2


def certify_pair(
    first: Counts, second: Counts, delta: float, names: tuple[str, str], generator: np.random.Generator
) -> PairBound:
    """Certify one pair of classes.

    Args:
        first: [K] people of class 0 with each code.
        second: [K] of class 1.
        delta: probability with which the bound may fail.
        names: of the classes.
        generator: draws the subsets.
    """
    people = (int(first.sum()), int(second.sum()))
    hindsight = best_attacker_auc(first, second)
    if min(people) < FEWEST_PEOPLE:
        return PairBound(*names, people, None, "none", 1.0, 1.0, 1.0, hindsight, 1.0)
    plan = make_plan(*people, len(first), SHARP_SHARE * delta)
    by_distance = sharp_bound(first, second, plan, generator)
    by_differences = bounded_differences(first, second, (1 - SHARP_SHARE) * delta)
    at_best = bound_without_leak(*people, plan, (1 - SHARP_SHARE) * delta)
    normal = asymptotic_bound(first, second, delta)
    bound: float | None = min(by_distance, by_differences)
    kind: Kind = "sharp" if by_distance <= by_differences else "bounded-differences"
    if at_best > USEFUL_BOUND:
        bound, kind = None, "none"
    return PairBound(*names, people, bound, kind, by_distance, by_differences, normal, hindsight, at_best)


def certify(
    counts: npt.ArrayLike,
    delta: float = 0.05,
    seed: int | np.random.Generator = 0,
    class_names: Sequence[str] | None = None,
) -> Certificate:
    """Certify a release by the codes of people who had no part in fitting it.

    Args:
        counts: [classes, K] people of each class with each code, one record each.
        delta: probability with which any bound may fail; classes with too few people take no part of it.
        seed: of the random subsets, or their generator. Choose it before the counts are known: whoever tries many
            seeds and keeps the best has no certificate.
        class_names: of the private attribute; numbers where left out.

    Returns:
        The worst pair's bound, or none if any pair has too few people, with a row for each pair.

    Raises:
        ValueError: counts are no table of whole numbers of at least two classes, or delta is no probability.
    """
    table = np.asarray(counts)
    if table.ndim != 2 or len(table) < 2 or table.shape[1] < 1:
        raise ValueError(f"counts must be [classes, codes] with two classes or more, not of shape {table.shape}")
    if (table != np.floor(table)).any() or (table < 0).any():
        raise ValueError("counts must be whole numbers of people")
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie between 0 and 1, not be {delta}")
    table = table.astype(np.int64)
    names = [str(name) for name in class_names] if class_names is not None else [str(u) for u in range(len(table))]
    if len(names) != len(table):
        raise ValueError(f"{len(names)} class names for {len(table)} classes")
    people = table.sum(1)
    pairs = list(combinations(range(len(table)), 2))
    enough = sum(bool(min(people[a], people[b]) >= FEWEST_PEOPLE) for a, b in pairs)
    rows = tuple(
        certify_pair(
            table[a],
            table[b],
            delta / max(1, enough),
            (names[a], names[b]),
            seed if isinstance(seed, np.random.Generator) else numpy_generator(seed, "certificate", a, b),
        )
        for a, b in pairs
    )
    worst = max(rows, key=lambda row: (row.bound is None, row.at_best if row.bound is None else row.bound))
    return Certificate(
        bound=worst.bound,
        kind=worst.kind,
        exact=worst.bound is not None,
        asymptotic=max(row.asymptotic for row in rows),
        delta=delta,
        codes=table.shape[1],
        people=dict(zip(names, people.tolist(), strict=True)),
        worst=(worst.first, worst.second),
        at_best=max(row.at_best for row in rows),
        pairs=rows,
    )


def codes_for(people: Sequence[int], fitted: Sequence[int], target: float = 0.575, delta: float = 0.05) -> int:
    """Say how many codes a release may have for its certificate to stay below a target.

    Fitting the coupling on f0 and f1 people leaves Σ_c (p1c - p0c)² / r_c of about K (1/f0 + 1/f1) by sampling noise;
    the certificate adds what its own people leave open. Both are predicted on average, as if many people had each code.

    Args:
        people: of each class, who will certify.
        fitted: of each class, on whom the coupling is fitted.
        target: the certified AUC that every pair of classes should keep on average.
        delta: probability with which the bounds may fail, all pairs together.

    Returns:
        The largest K with a predicted bound of at most the target, and 4 certifying people per code of each pair;
        1, a release that says nothing, where there is none.
    """
    pairs = list(combinations(range(len(people)), 2))
    if min(people) < FEWEST_PEOPLE or min(fitted) < 1:
        return 1

    def fits(codes: int) -> bool:
        for a, b in pairs:
            plan = make_plan(people[a], people[b], codes, SHARP_SHARE * delta / len(pairs))
            leak = codes * (1 / fitted[a] + 1 / fitted[b])
            distance = predicted_distance(plan.strength, codes, plan.people, plan.variance, leak, plan.delta)
            by_differences = predicted_hindsight(people[a], people[b], codes, leak) + mcdiarmid_slack(
                people[a], people[b], (1 - SHARP_SHARE) * delta / len(pairs)
            )
            if min(gini_bound(float(distance), codes), by_differences) > target:
                return False
        return True

    low, high = 1, max(2, min(people[a] + people[b] for a, b in pairs) // 4 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
