"""Linkage: an attacker that sees several records of one person, and pools what each of them tells.

An attacker that was trained on single records answers each record of a person on its own; with records that are
independent given the private value, the product of the likelihood ratios is all that they tell together (naive Bayes).
Whoever hides a coin toss well in each record may still give it away in a dozen of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.evaluation.attack_answers import AttackAnswer
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth
from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import LEAST_PROBABILITY, NO_CLASS, Values, countable_classes, resample, score
from fl_tiprdc.seeding import numpy_generator

KIND = "linkage"  # in metrics.csv; the target is the private attribute
OWN, POOLED = "records", "pooled records"  # units of a level: of one person, or of several with the same value
OWN_SIZES, POOLED_SIZES = (1, 2, 4, 8), (1, 4, 16)
COARSE = ("forest", "nearest")  # attackers: votes of few trees or neighbors are too coarse to be multiplied
LEAST = 20  # people of a size, or it is left out


@dataclass(frozen=True)
class Bundles:
    """Records that are pooled.

    Attributes:
        rows: [g, k] positions of records; the k of a row have the same private value.
        person: [g] whose they are; pooled records of several people are a person of their own.
        unit: `OWN` or `POOLED`.
    """

    rows: Ints
    person: Ints
    unit: str


def bundle(participant: Ints, labels: Ints, seed: int) -> list[Bundles]:
    """Draw the records to pool, one size after the other.

    Where people have several records: k = 1, 2, 4, 8 of every person who has so many with one private value. Where
    they don't: k = 1, 4, 16 records of different people with the same private value, drawn at random, each record
    once. That stands for a person who contributes k records, as far as what these have in common is the private
    value alone; whatever else a person's records share makes them tell less together than k people's do.

    Args:
        participant: [n] the person a record belongs to.
        labels: [n] private values.
        seed: of who is drawn.

    Returns:
        For each k; sizes that fewer than `LEAST` people have, or people of one private value alone, are left out.
    """
    own = [Bundles(rows, participant[rows[:, 0]], OWN) for rows in _grouped(participant, labels, OWN_SIZES, 1, seed)]
    if any(bundles.rows.shape[1] > 1 for bundles in own):
        return own
    nobody = np.zeros_like(participant)
    return [
        Bundles(rows, np.arange(len(rows)), POOLED)
        for rows in _grouped(nobody, labels, POOLED_SIZES, len(labels), seed)
    ]


def _grouped(owner: Ints, labels: Ints, sizes: Sequence[int], times: int, seed: int) -> list[Ints]:
    """Return for each size k [g, k] rows with one owner and label, at most `times` from each of these."""
    order = numpy_generator(seed, "linkage-records").permutation(len(labels))
    order = order[np.lexsort((labels[order], owner[order]))]
    starts = np.flatnonzero(np.r_[True, np.any(np.diff([owner[order], labels[order]]) != 0, axis=0)])
    groups = np.split(order, starts[1:])
    grouped = []
    for k in sizes:
        parts = [group[: k * min(times, len(group) // k)].reshape(-1, k) for group in groups]
        rows = np.concatenate(parts)
        if len(rows) >= LEAST and len(np.unique(labels[rows[:, 0]])) > 1:
            grouped.append(rows)
    return grouped


def pool(probabilities: Floats, shares: Values) -> Floats:
    """Return the classes' probabilities given several records, which are independent given the class.

    log p(c) + Σ (log p(c | z) - log p(c)), normalized. For two classes and the same k everywhere its order is that of
    the mean of the records' log-odds.

    Args:
        probabilities: [g, k, classes] of each record on its own.
        shares: [classes] p(c) among those that the probabilities were learned from.
    """
    prior = np.log(np.maximum(shares, LEAST_PROBABILITY))
    log_probabilities = np.log(np.maximum(probabilities.astype(np.float64), LEAST_PROBABILITY))
    total = prior + (log_probabilities - prior).sum(1)
    together: Floats = np.exp(total - np.logaddexp.reduce(total, axis=1, keepdims=True))
    return together


def linkage(
    release: AuditedRelease, known: Truth, unknown: Truth, config: AuditConfig, answers: Iterable[AttackAnswer]
) -> pd.DataFrame:
    """Test attackers who know single records on several records of each held-out person together.

    Args:
        release: names the rows, and draws; its representations are not looked at.
        known: ground truth of the contributors' rows.
        unknown: ground truth of the held-out rows.
        config: resamples.
        answers: what attackers say of each held-out record, the exact one of a release of codes and the majority among
            them; those that are `COARSE` count where there is no other.

    Returns:
        Rows of metrics.csv: kind "linkage", target the private attribute, at a level of k records, or of k pooled
        records where nobody has several, see `bundle`; intervals over (pooled) people. None where nobody answered.
    """
    by_target: dict[str, dict[str, AttackAnswer]] = {target: {} for target in known.attacks}
    for answer in answers:
        by_target[answer.target][answer.model] = answer
    table: list[MetricRow] = []
    for target, by_model in by_target.items():
        if not by_model:
            continue
        labels = unknown.attacks[target]
        bundles = [
            (some, resample(some.person, config.bootstrap, 0))
            for some in bundle(unknown.participant, labels, release.seed)
        ]
        attackers = [name for name in by_model if name != MAJORITY]
        fine = [name for name in attackers if name not in COARSE]
        for answer in (by_model[name] for name in (MAJORITY, *(fine or attackers))):
            learned = known.attacks[target] if np.count_nonzero(answer.prior) > 1 else NO_CLASS
            for some, weights in bundles:
                truth, together = labels[some.rows[:, 0]], pool(answer.probabilities[some.rows], answer.prior)
                scores = score(truth, together, weights, countable_classes(learned, truth))
                level = some.rows.shape[1]
                table += metric_rows(release.point, KIND, target, answer.model, scores, level=level, unit=some.unit)
    return metrics_table(table)
