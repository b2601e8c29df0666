"""Tables as metrics.csv, of invented numbers."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import Score


def metrics_of(rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Return rows (setting, method, λ, seed, kind, target, model, metric, value, low, high) as a table.

    A twelfth item, a dictionary, is of the columns that most rows leave empty: level, unit, known and so on.
    """
    table: list[MetricRow] = []
    for row in rows:
        setting, method, lam, seed, kind, target, model, metric, value, low, high, *rest = row
        details: Mapping[str, Any] = rest[0] if rest else {}
        table += metric_rows(
            (setting, method, lam, seed), kind, target, model, {metric: Score(value, low, high)}, **details
        )
    return metrics_table(table)
