"""Rows of metrics.csv, a column for each thing: whatever is measured becomes a row here, and nowhere else."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from fl_tiprdc.evaluation.frontier import POINT
from fl_tiprdc.evaluation.scores import Score

# where a thing has no level, group and so on, `level` is missing and the others are empty
COLUMNS = [
    *POINT,
    *("kind", "target", "model", "level", "unit", "known", "metric", "attribute", "group", "against"),
    *("value", "low", "high"),
]
MAY_BE_EMPTY = ("unit", "known", "attribute", "group", "against")

MetricRow = Mapping[str, object]
PointKey = tuple[str, str, float, int]  # setting, method, λ and seed
Answered = tuple[PointKey, str, str, str]  # point, kind, target and model, the first arguments of `metric_rows`


def metric_rows(
    point: PointKey,
    kind: str,
    target: str,
    model: str,
    scores: Mapping[str, Score],
    *,
    level: int | None = None,
    unit: str = "",
    known: str = "",
    attribute: str = "",
    group: str = "",
    against: str = "",
) -> list[MetricRow]:
    """Return a row for each score of one model.

    Args:
        point: setting, method, λ and seed of the release.
        kind: of attack, or "task".
        target: what the model answers: a private attribute or a task.
        model: its name.
        scores: metric -> score.
        level: of an attack that is tried at several: number of leaks, records, draws or known columns.
        unit: what the level counts.
        known: columns that the attacker knows, "age+race".
        attribute: private attribute of the group among whom it was measured; empty: among everybody.
        group: class of that attribute.
        against: the other class, of what is measured between two.
    """
    details = {"unit": unit, "known": known, "attribute": attribute, "group": group, "against": against}
    where = {**dict(zip(POINT, point, strict=True)), "kind": kind, "target": target, "model": model, "level": level}
    return [{**where, **details, "metric": metric, **asdict(score)} for metric, score in scores.items()]


def metrics_table(rows: Sequence[MetricRow]) -> pd.DataFrame:
    """Return rows as a table with all `COLUMNS`, of the same types however few they are."""
    return pd.DataFrame(rows, columns=COLUMNS).astype(
        {"lam": "float64", "seed": "int64", "level": "Int64", "value": "float64", "low": "float64", "high": "float64"}
    )
