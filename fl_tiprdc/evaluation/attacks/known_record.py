"""The attack of somebody who knows some of a person's record, or all of it: what a release adds to that.

Who has x and a code c of it can compute P(u | x, c) ∝ P(u | x) P(c | x, u). A release that looks at u tells such an
attacker more than x alone does, although it tells nothing to one who has no record.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import Column, Floats, Ints
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.evaluation.audit import NARROW, AuditedRelease, Truth, narrow
from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.posterior_risk import posterior_risk
from fl_tiprdc.evaluation.scores import NO_CLASS, Values, Weights, area, countable_classes, interval, resample
from fl_tiprdc.seeding import derive, numpy_generator

KIND = "known-record"  # in metrics.csv; the target is the private attribute
NOTHING, EVERYTHING = "nothing", "everything"  # models, as the next two, which have columns known and their number
NAMED, BEST = "columns", "best columns"  # several that are the most telling of all are the best
UNIT = "columns"  # of the level
ALONE, WITH_RELEASE, GAIN = "auc-alone", "auc-with-release", "auc-gain"
LEARNED_FROM = 10_000  # contributors' records
SINGLE_COLUMNS = 4  # that are tried alone, the most telling ones
TOGETHER = (2, 4, 8)  # numbers of most telling columns that are tried together
CATEGORIES = 255  # that the classifier takes as such; a column of more stays one-hot, and a code a codeword
QUANTILE_BINS = 32  # of a number, by which columns are put in order

Ladder = tuple[str, ...]  # names of the columns that an attacker knows


@dataclass(frozen=True)
class Knowledge:
    """Numbers that an attacker has of every record.

    Attributes:
        contributors: [n, d]; NaN is a missing value.
        held_out: [m, d].
        categorical: [d] true for a column whose numbers are categories, 0 to `CATEGORIES` - 1, and have no order.
    """

    contributors: Floats
    held_out: Floats
    categorical: npt.NDArray[np.bool_]

    def beside(self, other: "Knowledge") -> "Knowledge":
        """Return this and what the other has, of the same records."""
        return Knowledge(
            np.column_stack([self.contributors, other.contributors]),
            np.column_stack([self.held_out, other.held_out]),
            np.concatenate([self.categorical, other.categorical]),
        )


def known_record(
    release: AuditedRelease,
    raw: tuple[Floats, Floats],
    known: Truth,
    unknown: Truth,
    config: AuditConfig,
    columns: Sequence[Column] = (),
    codes: tuple[Ints, Ints] | None = None,
    ladders: Sequence[Ladder] | None = None,
    learn_from: Ints | None = None,
) -> pd.DataFrame:
    """Measure what attackers tell of u who know nothing, some columns or all of x, each without and with the release.

    All of them are gradient boosting, learned on contributors' records and tested on held-out people's.

    Args:
        release: [n, d] and [m, d]. A finite one has codewords.
        raw: [n, k] and [m, k] the same records as numbers, see `raw_features`.
        known: ground truth of the contributors' rows.
        unknown: ground truth of the held-out rows.
        config: resamples.
        columns: of a table, `Description.columns`; none: images or texts, of which one knows nothing or everything.
        codes: [n] and [m] codes of a finite release, from 0: the attacker has them beside the codewords, as categories
            where there are at most `CATEGORIES`. One that no contributor has is a missing value.
        ladders: which columns attackers know, beside those who know nothing or everything; None: those of
            `default_ladders` for each private attribute.
        learn_from: positions of the contributors to learn from, see `exact_attack`; None: all. Of more than
            `LEARNED_FROM` so many are drawn.

    Returns:
        Rows of metrics.csv: kind "known-record", target the private attribute, model "nothing", "everything", "columns"
        or, of several that were found to tell most, "best columns"; then `known` names the columns and the level is
        their number. Metrics: "auc-alone", "auc-with-release", and "auc-gain", their difference, whose interval is over
        the same resamples of people for both.

    Raises:
        InputError: a ladder has an unknown column or one twice, or the records are no table.
    """
    check_ladders(ladders or (), columns)
    pool = np.arange(len(release.contributors)) if learn_from is None else learn_from
    rows = np.sort(numpy_generator(release.seed, "known-record").permutation(pool)[:LEARNED_FROM])
    sides = raw[0][rows], raw[1]
    seed = derive(release.seed, "known-record", release.setting, release.method, str(release.lam))
    released = released_knowledge(release, rows, codes, seed)
    empty = Knowledge(np.empty((len(rows), 0), np.float32), np.empty((len(raw[1]), 0), np.float32), np.empty(0, bool))
    by_column = {column.name: column_knowledge(*sides, column) for column in columns}
    everything = empty
    for knowledge in by_column.values():
        everything = everything.beside(knowledge)
    if not by_column:
        everything = numbers_knowledge(*sides, seed)
    weights = resample(unknown.participant, config.bootstrap, 0)
    table: list[MetricRow] = []
    for target, labels in known.attacks.items():
        chosen = ladders
        if chosen is None:  # the same for all releases of these records
            chosen = default_ladders(by_column, labels[rows], known.classes[target], release.seed)
        attackers: list[tuple[str, Ladder, Knowledge]] = [(NOTHING, (), empty)]
        for ladder in chosen:
            of_ladder = empty
            for name in ladder:
                of_ladder = of_ladder.beside(by_column[name])
            attackers.append((BEST if ladders is None and len(ladder) > 1 else NAMED, ladder, of_ladder))
        attackers.append((EVERYTHING, (), everything))
        answers = unknown.attacks[target]
        counted = countable_classes(labels, answers) if len(np.unique(labels[rows])) > 1 else NO_CLASS
        for model, ladder, knowledge in attackers:
            learned = labels[rows], known.classes[target]
            alone = _area(knowledge, *learned, answers, weights, counted, seed)
            with_release = _area(knowledge.beside(released), *learned, answers, weights, counted, seed)
            areas = {ALONE: alone, WITH_RELEASE: with_release, GAIN: with_release - alone}
            scores = {metric: interval(values) for metric, values in areas.items()}
            level, unit = (len(ladder), UNIT) if ladder else (None, "")
            names = "+".join(ladder)
            table += metric_rows(release.point, KIND, target, model, scores, level=level, unit=unit, known=names)
    return metrics_table(table)


def named_ladders(names: Sequence[str]) -> list[Ladder]:
    """Return each of the columns alone, and all of them together where there are several."""
    return [(name,) for name in names] + ([tuple(names)] if len(names) > 1 else [])


def known_text(model: str, level: float, known: str) -> str:
    """Return in words what an attacker knows: "nothing", "age", "2 columns", "best 2 columns", "everything".

    Args:
        model: of a row of metrics.csv.
        level: number of columns.
        known: their names.
    """
    if model in (NOTHING, EVERYTHING):
        return model
    return known if level == 1 else f"{'best ' if model == BEST else ''}{level:.0f} columns"


def check_used(audit: AuditConfig) -> None:
    """Check that no columns are named for an attack that isn't asked for.

    Raises:
        InputError: saying how to ask for it.
    """
    if audit.known and KIND not in audit.further:
        raise InputError(
            f"columns that attackers know ({', '.join(audit.known)}) are for the attack {KIND}, which "
            f"isn't asked for: name it in --attacks"
        )


def check_ladders(ladders: Sequence[Ladder], columns: Sequence[Column]) -> None:
    """Check that the columns which attackers know are columns of the table, none of them twice.

    Raises:
        InputError: naming the column, and those that there are.
    """
    if any(ladders) and not columns:
        raise InputError("the records are no table: an attacker knows nothing or everything of them, and no column")
    for ladder in ladders:
        require_known("column", ladder, [column.name for column in columns])
        require_once("column", ladder)


def column_knowledge(contributors: Floats, held_out: Floats, column: Column) -> Knowledge:
    """Return what one knows who knows a column of a table.

    Args:
        contributors: [n, k] raw records.
        held_out: [m, k].
        column: its place in them. A category that no contributor has is a missing value.
    """
    values, new = contributors[:, column.span], held_out[:, column.span]
    if column.kind == "numeric" or column.width > CATEGORIES:
        return Knowledge(values, new, np.zeros(column.width, dtype=bool))
    return Knowledge(_category(values), _category(new), np.ones(1, dtype=bool))


def _category(one_hot: Floats) -> Floats:
    """Return the number of each record's category, [n, 1]; NaN where it has none."""
    category = np.where(one_hot.any(1), one_hot.argmax(1), np.nan)
    return category.astype(np.float32)[:, None]


def numbers_knowledge(contributors: Floats, held_out: Floats, seed: int) -> Knowledge:
    """Return what one knows who has all numbers; principal components of more than the audit takes as they are."""
    if contributors.shape[1] > NARROW:
        contributors, held_out = narrow(contributors, held_out, seed)
    return Knowledge(contributors, held_out, np.zeros(contributors.shape[1], dtype=bool))


def released_knowledge(release: AuditedRelease, rows: Ints, codes: tuple[Ints, Ints] | None, seed: int) -> Knowledge:
    """Return what one knows who has the release: its numbers and, where it is finite and small, its codes."""
    numbers = numbers_knowledge(release.contributors[rows], release.held_out, seed)
    if codes is None:
        return numbers
    known_codes, new_codes = codes[0][rows], codes[1]
    present, category = np.unique(known_codes, return_inverse=True)
    if len(present) > CATEGORIES:
        return numbers
    place = np.minimum(np.searchsorted(present, new_codes), len(present) - 1)
    new_category = np.where(present[place] == new_codes, place, np.nan)
    sides = category.reshape(-1, 1).astype(np.float32), new_category.astype(np.float32)[:, None]
    return numbers.beside(Knowledge(*sides, np.ones(1, dtype=bool)))


def default_ladders(by_column: dict[str, Knowledge], labels: Ints, classes: int, seed: int) -> list[Ladder]:
    """Return the `SINGLE_COLUMNS` most telling columns alone, and as many together as `TOGETHER` says.

    Columns are put in order by the AUC of each on its own, see `telling`; nothing is looked at but what attackers
    learn from, so that the order is not chosen on the people whom they are tested on.

    Args:
        by_column: name -> what one knows who knows the column.
        labels: [n] private classes of the contributors.
        classes: number of classes.
        seed: which half of the contributors a column is tried on.
    """
    tried = numpy_generator(seed, "known-record-order").random(len(labels)) < 0.5
    strength = {name: telling(column, labels, classes, tried) for name, column in by_column.items()}
    order = sorted(strength, key=lambda name: -strength[name])
    singles = [(name,) for name in order[:SINGLE_COLUMNS]]
    return singles + [tuple(order[:count]) for count in TOGETHER if count <= len(order)]


def telling(column: Knowledge, labels: Ints, classes: int, tried: npt.NDArray[np.bool_]) -> float:
    """Return the AUC of a column's table P(u | value), learned on one half of the contributors, on the other half.

    Args:
        column: a number counts by its quantile, of `QUANTILE_BINS`.
        labels: [n].
        classes: number of classes.
        tried: [n] true for the half that it is tried on.
    """
    values = column.contributors
    if len(column.categorical) > 1:  # one-hot
        codes = values.argmax(1)
    elif column.categorical[0]:
        codes = np.nan_to_num(values[:, 0], nan=CATEGORIES).astype(np.int64)
    else:
        edges = np.unique(np.quantile(values, np.arange(1, QUANTILE_BINS) / QUANTILE_BINS))
        codes = np.searchsorted(edges, values[:, 0])
    risk = posterior_risk(codes[~tried], labels[~tried], classes, int(codes.max()) + 1)
    probabilities = risk.posterior(1.0).astype(np.float32)[codes[tried]]
    auc = float(area(labels[tried], probabilities, np.ones((1, int(tried.sum())), np.float32))[0])
    return 0.5 if np.isnan(auc) else auc  # one class alone puts no column before another


def _area(
    knowledge: Knowledge, labels: Ints, classes: int, answers: Ints, weights: Weights, counted: Ints, seed: int
) -> Values:
    """Return the AUC of an attacker on held-out people, [1 + resamples]; of one who knows nothing, that of chance.

    NaN where no class is counted, see `scores.area`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    if not len(counted):
        return np.full(len(weights), np.nan)
    if not len(knowledge.categorical):
        return np.full(len(weights), 0.5)
    model = HistGradientBoostingClassifier(
        max_iter=100 if classes == 2 else 50,
        max_bins=CATEGORIES,
        early_stopping=False,
        categorical_features=knowledge.categorical,
        random_state=seed % 2**32,
    )
    model.fit(knowledge.contributors, labels)
    probabilities = np.zeros((len(answers), classes), dtype=np.float32)
    probabilities[:, model.classes_] = model.predict_proba(knowledge.held_out)
    return area(answers, probabilities, weights, counted)
