"""Accuracy in each private group: an average can hide a group that a release serves badly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.evaluation.frontier import POINT, best_models
from fl_tiprdc.evaluation.metric_rows import Answered, MetricRow, metric_rows
from fl_tiprdc.evaluation.scores import Score, Values, Weights, interval

# A metric of its own: who asks for "accuracy" gets that of everybody.
GROUP_ACCURACY = "group-accuracy"


@dataclass(frozen=True)
class Subgroups:
    """Hold the people of each private group.

    Attributes:
        names: (attribute, class) of groups that have a record.
        members: [n, groups] 1 for a record of the group, else 0.
        totals: [1 + resamples, groups] how much each group weighs in each resample.
    """

    names: tuple[tuple[str, str], ...]
    members: Weights
    totals: Values


def group_people(private: Mapping[str, Ints], class_names: Mapping[str, Sequence[str]], weights: Weights) -> Subgroups:
    """Return the groups of each private attribute.

    Args:
        private: attribute -> labels [n].
        class_names: attribute -> names of its classes; where it has none, their numbers are the names.
        weights: [1 + resamples, n], as `scores.resample` gives them.
    """
    names: list[tuple[str, str]] = []
    members: list[Weights] = []
    for attribute, labels in private.items():
        for k in np.unique(labels).tolist():
            names.append((attribute, class_names[attribute][k] if attribute in class_names else str(k)))
            members.append((labels == k).astype(np.float32))
    together = np.stack(members, axis=1)
    return Subgroups(tuple(names), together, (weights @ together).astype(np.float64))


def accuracy_by_group(
    labels: Ints, probabilities: Floats, weights: Weights, groups: Subgroups
) -> dict[tuple[str, str], Score]:
    """Return the likeliest class's accuracy in every group; for an attacker on that attribute: the recall of the class.

    Args:
        labels: [n].
        probabilities: [n, classes].
        weights: [1 + resamples, n].
        groups: of the same records.

    Returns:
        (attribute, class) -> score. Resamples without anybody of a group don't count for its interval; where there is
        no other, the interval is 0 to 1.
    """
    right = (probabilities.argmax(1) == labels).astype(np.float32)
    hits = (weights @ (groups.members * right[:, None])).astype(np.float64)
    accuracies: dict[tuple[str, str], Score] = {}
    for g, name in enumerate(groups.names):
        there = groups.totals[:, g] > 0
        shares = hits[there, g] / groups.totals[there, g]
        accuracies[name] = interval(shares) if len(shares) > 1 else Score(float(shares[0]), 0.0, 1.0)
    return accuracies


def group_rows(
    where: Answered, labels: Ints, probabilities: Floats, weights: Weights, groups: Subgroups
) -> list[MetricRow]:
    """Return rows of metrics.csv of `accuracy_by_group`, for what was answered, by whom."""
    rows: list[MetricRow] = []
    for (attribute, group), accuracy in accuracy_by_group(labels, probabilities, weights, groups).items():
        scores = {GROUP_ACCURACY: accuracy}
        rows += metric_rows(*where, scores, attribute=attribute, group=group)
    return rows


def worst_groups(metrics: pd.DataFrame) -> pd.DataFrame:
    """Find for each point and task the private group that the best probe (by AUC) serves worst.

    Returns:
        Columns of a point, task, probe, accuracy (of everybody), attribute and group, group_accuracy with group_low and
        group_high, and shortfall = accuracy - group_accuracy. Empty for tables that have no groups.
    """
    best = best_models(metrics)
    best = best.loc[best["kind"] == "task", [*POINT, "kind", "target", "model"]]
    key = list(best.columns)
    everybody = metrics.loc[metrics["metric"] == "accuracy", [*key, "value"]].rename(columns={"value": "accuracy"})
    each = metrics[metrics["metric"] == GROUP_ACCURACY].rename(
        columns={"value": "group_accuracy", "low": "group_low", "high": "group_high"}
    )
    each = best.merge(everybody, on=key).merge(
        each[[*key, "attribute", "group", "group_accuracy", "group_low", "group_high"]], on=key
    )
    worst = each.loc[each.groupby(key, sort=False)["group_accuracy"].idxmin()].reset_index(drop=True)
    worst["shortfall"] = worst["accuracy"] - worst["group_accuracy"]
    return worst.drop(columns="kind").rename(columns={"target": "task", "model": "probe"})
