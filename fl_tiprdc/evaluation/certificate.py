"""The certificate: upper bounds on what any attacker can tell from a published code, for finitely many people.

A release publishes one of K codes. Certifying people, one record each, who had no part in fitting the release, give a
table of counts [classes, K]. For two classes with code distributions p0 and p1, the best attacker's AUC is

    A* = 1/2 + 1/2 Σ_{c<c'} |p1c p0c' - p0c p1c'|  <=  1/2 + sqrt((1 - 1/K²) / 12 · Σ_c (p1c - p0c)² / r_c),

where r is any mixture of p0 and p1. docs/certificate.md has the proofs of what is computed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from fl_tiprdc.evaluation.code_bounds import (
    Counts,
    asymptotic_bound,
    best_attacker_auc,
    bounded_differences,
    gini_bound,
    mcdiarmid_slack,
    predicted_hindsight,
)
from fl_tiprdc.evaluation.sharp_bound import bound_without_leak, make_plan, predicted_distance, sharp_bound
from fl_tiprdc.moved import names_moved_from
from fl_tiprdc.seeding import numpy_generator

Kind = Literal["sharp", "bounded-differences", "none"]

FEWEST_PEOPLE = 20  # of a class: with fewer, nothing useful can be said of it
USEFUL_BOUND = 0.75  # a release that leaks nothing must be able to get this, or nothing is certified
SHARP_SHARE = 0.8  # of the error probability; bounded differences get the rest, as they need it less
COVERED = (
    "It covers one release of one record, attackers who see the code and anything public, and the population that the "
    "certifying people are a sample of. It does not cover attackers who know the record already, several records of a "
    "person, or two releases of a record by different extractors."
)


@dataclass(frozen=True)
class PairBound:
    """Bound what an attacker can tell of one pair of classes.

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
    """Bound what any attacker can tell from one release of a record.

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


if not TYPE_CHECKING:  # type checkers know the current names only
    __getattr__ = names_moved_from(__name__)
