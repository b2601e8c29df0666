"""Tables as metrics.csv and what a run found, of invented numbers."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fl_tiprdc.config import Point
from fl_tiprdc.data.crowd import Attribute, Column, Description
from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import Score
from fl_tiprdc.experiment.outcome import Outcome


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


def some_outcome() -> Outcome:
    """Two λ of one federated method, with a round and an extractor."""
    rows = [
        (setting, method, lam, 0, kind, target, "mlp", "auc", 0.8 - 0.1 * lam, 0.6, 0.9)
        for setting, method, lam in (("raw", "raw", 0.0), ("federated", "tiprdc+", 0.1), ("federated", "tiprdc+", 0.9))
        for kind, target in (("attack", "sex"), ("task", "income"))
    ]
    rounds = [
        {"setting": "federated", "method": "tiprdc+", "lam": 0.1, "seed": 0, "round": 1, "phase": "hybrid-gradient"}
    ]
    losses = pd.DataFrame(rounds).assign(privacy=0.1, information=0.2, adversary=0.3)
    extractors = {("federated", Point("tiprdc+", 0.1, 0)): {"extractor": {"w": np.zeros(3, np.float32)}}}
    hidden, column = Attribute("sex", ("Female", "Male")), Column("age", "numeric", 0)
    description = Description.of_table((column,), (hidden,), ((0.5, 0.5),))
    metrics = metrics_of(rows)
    return Outcome(metrics, losses, extractors=extractors, representation=8, description=description)
