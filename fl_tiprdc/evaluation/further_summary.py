"""The summary of the further attacks: the best attacker of each, beside chance."""

from typing import Any

import pandas as pd

from fl_tiprdc.evaluation.attacks import known_record, reidentification
from fl_tiprdc.evaluation.attacks.registry import FURTHER
from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.frontier import CURVE, POINT

CHANCES = (MAJORITY, reidentification.CHANCE)  # models that stand for chance
SCORES = ("auc", reidentification.METRIC)
KNOWN_HEADING = "AUC of attackers who know some of a record or all of it, without and with its release"
# metric in metrics.csv -> column
_KNOWN = {known_record.ALONE: "alone", known_record.WITH_RELEASE: "with_release", known_record.GAIN: "gain"}
_ENDS = {"": "mean", "_low": "min", "_high": "max"}  # of an interval, over seeds
_LINE = [*CURVE, "lam"]
_CASE = [*POINT, "kind", "target", "level", "unit"]


def headings() -> dict[str, str]:
    """Return kind in metrics.csv -> heading of its table, whose columns are levels or, without any, targets."""
    return {kind: attack.heading for kind, attack in FURTHER.items() if attack.heading}


def summarize_further(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the best attacker of every further attack, target and level of each point, where measured.

    Returns:
        Columns of a point, kind, target, level (number of leaks, records or draws; NaN where the attack has none),
        unit (of the level), model (the best), metric ("auc" or "top-1"), value, low, high (95 % interval), chance.
    """
    rows = metrics[metrics["kind"].isin(list(headings())) & metrics["metric"].isin(SCORES) & metrics["value"].notna()]
    rows = rows.astype({"level": float})
    by_chance = rows["model"].isin(CHANCES)
    models = rows[~by_chance]
    best = models.loc[models.groupby(_CASE, sort=False, dropna=False)["value"].idxmax()]
    chance = rows.loc[by_chance, [*_CASE, "value"]].rename(columns={"value": "chance"})
    table = best.merge(chance, on=_CASE, how="left")
    return table[[*_CASE, "model", "metric", "value", "low", "high", "chance"]]


def mean_further(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over seeds of each setting, method and λ; intervals from the lowest to the highest end."""
    names = [name for name in _CASE if name != "seed"]
    return summary.groupby(names, sort=False, dropna=False, as_index=False).agg(
        value=("value", "mean"), value_low=("low", "min"), value_high=("high", "max"), chance=("chance", "mean")
    )


def further_tables(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return for each kind: heading -> a row a point, a column a target or level, means over seeds, chance."""
    mean = mean_further(summary)
    tables: dict[str, pd.DataFrame] = {}
    for kind, heading in headings().items():
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
    """Say what was attacked and at what level: "sex, 1,000 leaks"; without a level, the target alone."""
    return str(target) if pd.isna(level) else f"{target}, {level:,.0f} {unit}"


def summarize_known(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return what attackers who know some of a record tell of private attributes, without and with the release.

    Returns:
        Columns of a point, target, knows (a column, "best 4 columns", "nothing", "everything"), columns (the names of
        all that these are) and count (their number; 0 for nothing, missing for everything), and alone, with_release
        and gain, the AUC and how much the release adds to it, each with _low and _high, its 95 % interval.
    """
    rows = metrics[(metrics["kind"] == known_record.KIND) & metrics["value"].notna()]
    count = rows["level"].astype(float).where(rows["model"] != known_record.NOTHING, 0.0)
    knows = [known_record.known_text(*what) for what in zip(rows["model"], count, rows["known"], strict=True)]
    rows = rows.assign(knows=pd.Series(knows, rows.index, dtype=str), count=count).rename(columns={"known": "columns"})
    key = [*POINT, "target", "knows", "columns", "count"]
    table = rows[key].drop_duplicates()
    for metric, name in _KNOWN.items():
        ends = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
        measured = rows.loc[rows["metric"] == metric, [*key, *ends]].rename(columns=ends)
        table = table.merge(measured, on=key, how="left")
    return table


def mean_known(summary: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds of each setting, method, λ, attribute and what is known; least first, all last.

    Seeds may find other columns the most telling: a column's mean is over the seeds that tried it alone.
    """
    ends = {f"{name}{end}": how for name in _KNOWN.values() for end, how in _ENDS.items()}
    names = [*_LINE, "target", "knows", "count"]
    mean = summary.groupby(names, sort=False, dropna=False, as_index=False).agg(ends)
    order = pd.DataFrame({"count": mean["count"], "alone": -mean["alone"]})
    order["point"] = mean.groupby([*_LINE, "target"], sort=False).ngroup()
    return mean.loc[order.sort_values(["point", "count", "alone"], kind="stable").index].reset_index(drop=True)
