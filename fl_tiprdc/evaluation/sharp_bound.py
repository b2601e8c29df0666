"""The sharp bound: how much any attacker can tell from a code, by the concentration of the codes' counts.

Proved in docs/certificate.md, section 3.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, gammaln, logsumexp

from fl_tiprdc.evaluation.code_bounds import Counts, gini_bound, mcdiarmid_slack, predicted_hindsight

Values = npt.NDArray[np.float64]

EVERYBODY = 1024  # people of a code up to which all are used; beyond, all but 1 in 256
REACH = 3.5  # terms of a sum left and right of the largest, in √N: what is left out is below e^-24 of it each
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
class Plan:
    """Fix how the sharp bound weighs a code's people, before any code is counted.

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
    """Choose m and π such that the counts usually suffice for m people, each of class 1 with probability π.

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
    # subsets for which the counts don't suffice are no evidence
    averaged = math.log(THINNINGS) - float(logsumexp(-evidences))
    return gini_bound(plan.squared_distance(averaged), plan.codes)


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
    shares = bdtr(np.arange(plan.people + 1), plan.people, 1 / plan.codes)
    numbers = np.searchsorted(shares, levels)  # quantiles of how many people have a code
    costs = [
        plan.strength * n / (n - 1) + offset(plan, int(n), int(top)) if n > 1 else n * alone
        for n, top in zip(*people_used(numbers), strict=True)
    ]
    most, fewest = min(second, plan.people), plan.people - first  # of class 1 in a subset that there are people for
    too_few = float(bdtr(fewest - 1, plan.people, plan.share)) if fewest > 0 else 0.0
    possible = float(bdtr(most, plan.people, plan.share)) - too_few
    nats = plan.codes * float(np.mean(costs)) - math.log(max(possible, 1e-12))
    by_differences = predicted_hindsight(first, second, plan.codes, 0.0) + mcdiarmid_slack(first, second, rest)
    return min(1.0, gini_bound(plan.squared_distance(nats), plan.codes), by_differences)
