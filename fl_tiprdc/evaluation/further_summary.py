"""What the further attacks found, in short: the best attacker of each, beside chance."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fl_tiprdc.evaluation import averaging, leaks, linkage, membership, reidentification
from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.frontier import CURVE, POINT
from fl_tiprdc.evaluation.levels import split_levels

# kind in metrics.csv -> heading of its table, whose columns are levels or, without any, targets
HEADINGS: Mapping[str, str] = {
    leaks.KIND: "AUC of the best attacker by number of labelled records that leaked",
    linkage.KIND: "AUC of the best attacker by number of records of one person that it sees",
    membership.KIND: "Membership: AUC of telling contributors from others",
    reidentification.KIND: "Re-identification: share of people whose raw record x is the first match",
    averaging.KIND: "AUC of the best attacker by number of independent releases that it averages",
}
_CHANCE = (MAJORITY, reidentification.CHANCE)
_METRICS = ("auc", reidentification.METRIC)
_LINE = [*CURVE, "lam"]
_CASE = [*POINT, "kind", "target", "level", "unit"]


def summarize_further(metrics: pd.DataFrame) -> pd.DataFrame:
    """The best attacker of every further attack, target and level of each point.

    Returns:
        Columns of a point, kind, target, level (number of leaks, records or draws; NaN where the attack has none),
        unit (of the level), model (the best), metric ("auc" or "top-1"), value, low, high (95 % interval), chance.
    """
    rows = metrics[metrics["kind"].isin(list(HEADINGS)) & metrics["metric"].isin(_METRICS)]
    rows = rows.drop(columns="model").join(split_levels(rows["model"]))
    by_chance = rows["model"].isin(_CHANCE)
    models = rows[~by_chance]
    best = models.loc[models.groupby(_CASE, sort=False, dropna=False)["value"].idxmax()]
    chance = rows.loc[by_chance, [*_CASE, "value"]].rename(columns={"value": "chance"})
    table = best.merge(chance, on=_CASE, how="left")
    return table[[*_CASE, "model", "metric", "value", "low", "high", "chance"]]


def mean_further(summary: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of each setting, method and λ; intervals from the lowest to the highest end."""
    names = [name for name in _CASE if name != "seed"]
    return summary.groupby(names, sort=False, dropna=False, as_index=False).agg(
        value=("value", "mean"), value_low=("low", "min"), value_high=("high", "max"), chance=("chance", "mean")
    )


def further_tables(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """For each kind that there is: heading -> a row a point, a column a target or level, means over seeds, chance."""
    mean = mean_further(summary)
    tables: dict[str, pd.DataFrame] = {}
    for kind, heading in HEADINGS.items():
        mine = mean[mean["kind"] == kind].sort_values(["target", "level"], kind="stable")
        if mine.empty:
            continue
        cells = mine[_LINE].assign(
            column=[level_text(row.target, row.level, row.unit) for row in mine.itertuples()],
            cell=[f"{row.value:.3f} ({row.value_low:.3f} to {row.value_high:.3f})" for row in mine.itertuples()],
        )
        wide = cells.pivot(index=_LINE, columns="column", values="cell")[cells["column"].unique()]
        wide["chance"] = mine.groupby(_LINE)["chance"].mean()
        points = mean.loc[mean["kind"] == kind, _LINE].drop_duplicates()  # in the order of the run
        tables[heading] = points.merge(wide.reset_index(), on=_LINE)
    return tables


def level_text(target: Any, level: Any, unit: Any) -> str:
    """What was attacked and at what level, for people: "sex, 1,000 leaks"; without a level, the target alone."""
    return str(target) if pd.isna(level) else f"{target}, {level:,.0f} {unit}"
