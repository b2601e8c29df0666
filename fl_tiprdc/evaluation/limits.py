"""The limit of what can be kept of a task if a release tells nothing of u, or no more than is allowed.

Take one task alone, and its best score P(t | x, u). Within each private class, a person's rank by that score is spread
evenly from 0 to 1: the rank says nothing of u, and orders people of one class as the score does. A release that serves
more than one task keeps less. The limit is that of a release that looks at u; it is estimated, as the score is.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.evaluation.audit import NARROW, Truth, narrow
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, TAKE_WIDE
from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import Score, Values, Weights, area, countable_classes, interval
from fl_tiprdc.seeding import derive, numpy_generator

KIND = "limit"  # in metrics.csv; the target is the task
SETTING, MODEL = "limit", "rank-within-class"
MEAN = "mean of the tasks"  # the last row of `limit_table`
RECORDS = 15_000  # as many as the audit's probes learn from
FOLDS = 5
BINS = 50  # of a score, with as many of everybody in each; fewer where a class is small
RECORDS_PER_BIN = 50  # of the smallest class


def task_limits(
    raw_contributors: Floats,
    raw_held_out: Floats,
    known: Truth,
    unknown: Truth,
    weights: Weights,
    raw_auc: Mapping[str, float],
    shares: Sequence[float] = (1.0,),
    seed: int = 0,
    classifier: str = "boosting",
    records: int = RECORDS,
) -> pd.DataFrame:
    """Measure the most that each task can keep, at no leak and at an allowed distance between private classes.

    At a share w a score goes from its class's distribution F_u to (1 - w) F_u + w F̄, where F̄ is everybody's, by its
    rank. Whatever two classes' distributions over `BINS` were apart in total variation, they are (1 - w) times as far
    apart then: w = 1 is the limit at no leak, w = 0 the score as it is, but for what distinguishes classes in a bin.

    Args:
        raw_contributors: [n, k] raw records as numbers, see `raw_features`.
        raw_held_out: [m, k].
        known: ground truth of the contributors. All private attributes together make the classes.
        unknown: ground truth of the held-out people.
        weights: [1 + resamples, m], as `scores.resample` gives them for the held-out people.
        raw_auc: task -> AUC of the best probe of raw records, which retention is a share of.
        shares: the w to measure at.
        seed: of the folds, the classifier and the lots between equal scores.
        classifier: which of `CLASSIFIERS` learns the scores.
        records: contributors' records to learn from; 0: all.

    Returns:
        Rows of metrics.csv: setting and kind "limit", target the task, method and model "rank-within-class", lam = w.
        Metrics: "auc"; "retention" = (AUC - ½) / (raw AUC - ½), for a task that has a raw AUC above ½, whose interval
        takes the raw AUC as given; and "distance", the largest total variation between what two classes are sent to,
        which is exact. For a task with more than two classes each class's score is ranked alone, as if
        nothing else was released, so that the limit is generous.
    """
    rows = np.sort(numpy_generator(seed, "limits-records").permutation(len(raw_contributors))[: records or None])
    known, tasks = known.take(rows), list(known.tasks)
    group, held_out_group = joint_classes(known, unknown)
    out_of_fold, held_out = cross_fit(
        raw_contributors[rows], raw_held_out, known, group, held_out_group, seed, classifier
    )
    table: list[MetricRow] = []
    for task, scores, new_scores in zip(tasks, out_of_fold, held_out, strict=True):
        lots = numpy_generator(seed, "limits-lots", task)
        rankings = [RankWithinClass(of_class, group) for of_class in scores.T]
        ranks = [
            ranking.ranks(of_class, held_out_group, lots)
            for ranking, of_class in zip(rankings, new_scores.T, strict=True)
        ]
        for share in shares:
            sent = np.stack(
                [
                    ranking.send(of_class, held_out_group, share)
                    for ranking, of_class in zip(rankings, ranks, strict=True)
                ],
                axis=1,
            )
            counted = countable_classes(known.tasks[task], unknown.tasks[task])
            areas = area(unknown.tasks[task], sent.astype(np.float32), weights, counted)
            results = {"auc": interval(areas)}
            if (raw := raw_auc.get(task, 0.5)) > 0.5:
                results["retention"] = interval((areas - 0.5) / (raw - 0.5))
            distance = max(ranking.distance(share) for ranking in rankings)
            results["distance"] = Score(distance, distance, distance)
            table += metric_rows((SETTING, MODEL, share, seed), KIND, task, MODEL, results)
    return metrics_table(table)


def limit_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the most that each task can keep at no leak: a row a task, means over seeds; the last is their mean.

    Args:
        metrics: with rows of `task_limits`, or without: then the table has no rows.

    Returns:
        Columns task, retention, low and high (95 % interval; from the lowest to the highest end over seeds, and of the
        mean the means of the tasks' ends, which is wide enough however tasks go together).
    """
    ends = ["retention", "low", "high"]
    rows = metrics[(metrics["kind"] == KIND) & (metrics["metric"] == "retention") & (metrics["lam"] == 1.0)]
    table = (
        rows.groupby("target", sort=False)
        .agg(retention=("value", "mean"), low=("low", "min"), high=("high", "max"))
        .reset_index()
        .rename(columns={"target": "task"})
    )
    if table.empty:
        return pd.DataFrame(columns=["task", *ends])
    mean = pd.DataFrame([{"task": MEAN, **table[ends].mean()}])
    return pd.concat([table, mean], ignore_index=True)


def joint_classes(known: Truth, unknown: Truth) -> tuple[Ints, Ints]:
    """Return the class of all private attributes together, of contributors [n] and held-out people [m], from 0.

    A combination that no contributor has is none to hide among: those people are of the most frequent class.
    """
    sides = [np.stack(list(truth.attacks.values()), axis=1) for truth in (known, unknown)]
    _, joint = np.unique(np.concatenate(sides), axis=0, return_inverse=True)
    group, held_out_group = np.split(joint.reshape(-1), [len(sides[0])])
    present, counts = np.unique(group, return_counts=True)
    held_out_group = np.where(np.isin(held_out_group, present), held_out_group, present[counts.argmax()])
    return np.searchsorted(present, group), np.searchsorted(present, held_out_group)


def cross_fit(
    raw_contributors: Floats,
    raw_held_out: Floats,
    known: Truth,
    group: Ints,
    held_out_group: Ints,
    seed: int,
    classifier: str,
) -> tuple[list[Floats], list[Floats]]:
    """Return P(t | x, u) of contributors [n, classes] and held-out people [m, classes], for each task.

    `FOLDS` models learn from four fifths of the contributors each. A contributor is scored by the one model that has
    not learned from the person, a held-out person by one drawn at random: so both have scores of one distribution,
    which those of a single model in and out of sample have not.
    """
    x, tested = raw_contributors, raw_held_out
    if x.shape[1] > NARROW and classifier not in TAKE_WIDE:
        x, tested = narrow(x, tested, seed)
    hot = np.eye(int(group.max()) + 1, dtype=np.float32)
    x, tested = np.column_stack([x, hot[group]]), np.column_stack([tested, hot[held_out_group]])
    tasks = list(known.tasks)
    labels = np.stack([known.tasks[task] for task in tasks], axis=1)
    classes = [known.classes[task] for task in tasks]
    people, person = np.unique(known.participant, return_inverse=True)
    generator = numpy_generator(seed, "limits-folds")
    fold = (generator.permutation(len(people)) % FOLDS)[person.reshape(-1)]
    held_out_fold = generator.permutation(len(tested)) % FOLDS
    out_of_fold = [np.zeros((len(x), k), dtype=np.float32) for k in classes]
    held_out = [np.zeros((len(tested), k), dtype=np.float32) for k in classes]
    for number in range(FOLDS):
        rest, left_out, assigned = fold != number, fold == number, held_out_fold == number
        new = np.concatenate([x[left_out], tested[assigned]])
        answers = CLASSIFIERS[classifier](x[rest], labels[rest], classes, new, derive(seed, "limits", number))
        for scores, new_scores, probabilities in zip(out_of_fold, held_out, answers, strict=True):
            scores[left_out], new_scores[assigned] = np.split(probabilities, [int(left_out.sum())])
    return out_of_fold, held_out


class RankWithinClass:
    """Hold the distributions of one score in every private class, by which new scores are ranked and sent on.

    Args:
        scores: [n] of people who stand for everybody.
        group: [n] their private classes, from 0; each has somebody.
    """

    def __init__(self, scores: Floats, group: Ints) -> None:
        self._members = [np.sort(scores[group == g]) for g in range(int(group.max()) + 1)]
        smallest = min(len(members) for members in self._members)
        bins = int(np.clip(smallest // RECORDS_PER_BIN, 2, BINS))
        inner = np.unique(np.quantile(scores, np.arange(1, bins) / bins))
        counts = [
            np.bincount(np.searchsorted(inner, members, "right"), minlength=len(inner) + 1) for members in self._members
        ]
        self._own = [count / count.sum() for count in counts]  # share of each bin in each class
        self._common = np.sum(counts, axis=0) / len(scores)

    def ranks(self, scores: Floats, group: Ints, lots: np.random.Generator) -> Values:
        """Return the rank of each score in its own class, evenly spread over 0 to 1.

        A new score has as many places as there are equal ones, and one more; it gets one of these by lot. The rank in
        the middle would be the same for all of them, and would tell the class wherever classes have ties of different
        sizes. Drawn by lot it is even and independent of the class exactly, for a new person and any number n (a
        randomized conformal p-value: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005).

        Args:
            scores: [m].
            group: [m].
            lots: draws the places.
        """
        ranks = np.zeros(len(scores))
        drawn = lots.random(len(scores))
        for g, members in enumerate(self._members):
            rows = np.flatnonzero(group == g)
            below = np.searchsorted(members, scores[rows], "left")
            equal = np.searchsorted(members, scores[rows], "right") - below
            ranks[rows] = (below + drawn[rows] * (equal + 1)) / (len(members) + 1)
        return ranks

    def send(self, ranks: Values, group: Ints, share: float) -> Values:
        """Return a score of each rank in the mixture (1 - share) F_u + share F̄, [m].

        It is the number of a bin, and as decimals the rank among those of the class who are sent to that bin: these
        are spread evenly whatever the class, so that nothing but the bin tells it, and everybody's order in the class
        stays.
        """
        sent = np.zeros(len(ranks))
        for g in range(len(self._own)):
            rows = np.flatnonzero(group == g)
            cumulative = np.r_[0.0, np.cumsum(self._mixture(g, share))]
            sent[rows] = np.interp(ranks[rows], cumulative, np.arange(len(cumulative)))
        return sent

    def distance(self, share: float) -> float:
        """Return the largest total variation between what two classes are sent to.

        It is exact, since ranks are even in every class and bins have the shares that they are given.
        """
        mixtures = [self._mixture(g, share) for g in range(len(self._own))]
        return max(float(np.abs(first - second).sum() / 2) for first in mixtures for second in mixtures)

    def _mixture(self, group: int, share: float) -> Values:
        mixture: Values = (1 - share) * self._own[group] + share * self._common
        return mixture
