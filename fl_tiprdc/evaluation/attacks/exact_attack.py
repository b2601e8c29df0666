"""The best attacker on a release with finitely many codes: the table P(u | code).

Nobody who sees a code alone can tell more of u than P(u | code) does. What the table finds on people whom it has not
seen is, but for how well it is known, what anybody can find. No panel of models says as much.
"""

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.evaluation.attack_answers import AttackAnswer, OnAnswer
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth
from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.detection import detection_rows
from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.posterior_risk import posterior_risk
from fl_tiprdc.evaluation.scores import (
    NO_CLASS,
    Values,
    Weights,
    area,
    countable_classes,
    score,
)

KIND, MODEL = "exact", "table"  # in metrics.csv; the target is the private attribute
SMOOTHING = 1.0  # records with the prior's shares: a code that one record has is not certain
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # records that a table's start counts as in each code


def learn_table(counts: Ints, start: Values) -> Values:
    """Estimate P(u | code) from counts of few people, drawn towards a table that is less to the point.

    Args:
        counts: [K, classes] records.
        start: [K, classes] probabilities. In each code they count as so many records, of `STRENGTHS`, that each record
            is told best by all others.

    Returns:
        Probabilities [K, classes].
    """
    records = counts.sum(1, keepdims=True)

    def told(strength: float) -> float:
        others = (np.maximum(counts - 1, 0) + strength * start) / (np.maximum(records - 1, 0) + strength)
        return float((counts * np.log(np.maximum(others, 1e-9))).sum())

    strength = max(STRENGTHS, key=told)
    table: Values = (counts + strength * start) / (records + strength)
    return table


def exact_attack(
    release: AuditedRelease,
    codes: Ints,
    held_out_codes: Ints,
    known: Truth,
    unknown: Truth,
    weights: Weights,
    learn_from: Ints | None = None,
    smoothing: float = SMOOTHING,
    on_answer: OnAnswer | None = None,
) -> pd.DataFrame:
    """Learn P(u | code) on contributors, and measure it on held-out people.

    A coupling gives every code the same shares of the classes among the contributors whom it was fitted on: at full
    privacy a table learned on these says nothing by construction, though codes of other people may tell u. So the table
    is learned on contributors who had no part in the fit, where there are any; `learn_from` names them. A second table
    starts from that of the others, who are many (`learn_table`). The one that finds more on held-out people is the
    attack, so that it errs on the side of finding too much.

    Args:
        release: names the rows; its numbers are not looked at.
        codes: [n] contributors' codes, from 0.
        held_out_codes: [m] held-out people's codes. One that nobody has whom the table is learned from answers the
            prior.
        known: ground truth of the contributors.
        unknown: ground truth of the held-out people.
        weights: [1 + resamples, m], as `scores.resample` gives them for the held-out people.
        learn_from: positions among the n contributors; None: all.
        smoothing: of the first table, see `PosteriorRisk.posterior`.
        on_answer: told what the table, and the majority, says of the held-out people.

    Returns:
        Rows of metrics.csv: kind "exact", target the private attribute, model "table", or "majority" for the level of
        chance. Beside the metrics of `score` there are "tpr-at-1%-fpr" and "tpr-at-5%-fpr", see `found_at`, and for
        more than two classes "pair-auc", the AUC among people of these two by the table's likelihood ratio.
    """
    everybody = np.arange(len(codes))
    rows = everybody if learn_from is None else learn_from
    others = np.setdiff1d(everybody, rows)
    size = int(max(codes.max(), held_out_codes.max())) + 1
    table: list[MetricRow] = []
    for target, labels in known.attacks.items():
        classes = known.classes[target]
        names = known.class_names.get(target) or [str(k) for k in range(classes)]
        risk = posterior_risk(codes[rows], labels[rows], classes, size)
        counted = countable_classes(labels, unknown.attacks[target])
        if len(np.unique(labels[rows])) < 2:
            counted = NO_CLASS  # there was nothing to learn
        tested = unknown.attacks[target]
        best = risk.posterior(smoothing)
        if len(others):
            start = posterior_risk(codes[others], labels[others], classes, size).posterior(SMOOTHING)
            second = learn_table(risk.counts, start)
            alone, started = (
                area(tested, one.astype(np.float32)[held_out_codes], weights[:1], counted) for one in (best, second)
            )
            best = second if started > alone else best
        answers = {MAJORITY: np.tile(risk.prior, (size, 1)), MODEL: best}
        for model, by_code in answers.items():
            probabilities = by_code.astype(np.float32)[held_out_codes]
            where = (release.point, KIND, target, model)
            table += metric_rows(*where, score(tested, probabilities, weights, counted))
            table += detection_rows(where, tested, probabilities, risk.prior, weights, names, counted)
            if on_answer is not None:
                on_answer(AttackAnswer(target, model, probabilities, risk.prior))
    return metrics_table(table)
