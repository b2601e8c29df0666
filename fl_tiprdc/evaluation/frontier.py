"""From metrics to the answer: worst attack, retention, and the privacy-utility frontier."""

import numpy as np
import pandas as pd

from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.white_box import WHITE_BOX

POINT = ["setting", "method", "lam", "seed"]
CURVE = ["setting", "method"]
LEVELS = np.linspace(0.5, 1.0, 101)  # attack levels at which a frontier is read


VALIDATION = "validation-auc"  # metric by which the best model is chosen, of people who are no part of the result


def best_models(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC row of the best model for every point, kind and target.

    Attacks at several levels are left out: they have a best model at each, see `further_summary`.

    The best on validation people, so that its AUC on held-out people is no maximum of several noisy ones; tables
    without validation rows give the maximum. What couldn't be measured has no row.
    """
    metrics = metrics[metrics["level"].isna()].reset_index(drop=True)  # tables put together may repeat an index
    key = [*POINT, "kind", "target"]
    areas = metrics[(metrics["metric"] == "auc") & (metrics["model"] != MAJORITY) & metrics["value"].notna()]
    chosen_by = metrics.loc[metrics["metric"] == VALIDATION, [*key, "model", "value"]]
    areas = areas.merge(chosen_by.rename(columns={"value": "chosen_by"}), on=[*key, "model"], how="left")
    areas["chosen_by"] = areas["chosen_by"].fillna(areas["value"])
    best = areas.loc[areas.groupby(key, sort=False)["chosen_by"].idxmax()]
    return best.drop(columns="chosen_by").reset_index(drop=True)


def retention_of_tasks(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return each task's retention at a point: (AUC(z̃) - ½) / (AUC(raw) - ½), AUC(raw) being the best probe on raw x.

    Returns:
        Columns of a point, task (in order of their names), retention; NaN where it couldn't be measured, or where raw
        data can't tell a task.
    """
    best = best_models(metrics)
    tasks = best[best["kind"] == "task"]
    raw = tasks[tasks["setting"] == "raw"].groupby("target")["value"].mean()
    raw = raw.where(raw > 0.5)
    kept = tasks.assign(retention=(tasks["value"] - 0.5) / (tasks["target"].map(raw) - 0.5))
    key = [*POINT, "target"]
    tried = metrics.loc[metrics["kind"] == "task", key].drop_duplicates().sort_values(key, kind="stable")
    return tried.merge(kept[[*key, "retention"]], on=key, how="left").rename(columns={"target": "task"})


def summarize_points(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return a row a point: worst attack, its interval and attacker, mean retention.

    Worst attack is the panel's best attacker, over all private attributes, see `best_models`; `attack_most` is the
    largest AUC that any of them has on held-out people, an upper bound that grows with the panel by chance alone;
    `attack_outside` the AUC of the best attacker without the released extractor.
    What couldn't be measured isn't counted; where that is every attack or every task of a point, it has NaN.
    Retention is the mean of `retention_of_tasks`.
    """
    best = best_models(metrics)
    attacks = best[best["kind"] == "attack"]
    worst = attacks.loc[attacks.groupby(POINT, sort=False)["value"].idxmax()]
    points = worst.rename(columns={"value": "attack", "low": "attack_low", "high": "attack_high", "model": "attacker"})[
        [*POINT, "attack", "attack_low", "attack_high", "attacker", "target"]
    ]
    tried = metrics[(metrics["kind"] == "attack") & (metrics["metric"] == "auc") & (metrics["model"] != MAJORITY)]
    most = tried.groupby(POINT)["value"].max().rename("attack_most").reset_index()
    outside = best_models(metrics[(metrics["kind"] == "attack") & ~metrics["model"].isin(WHITE_BOX)])
    outside = outside.groupby(POINT)["value"].max().rename("attack_outside").reset_index()
    points = points.merge(most, on=POINT).merge(outside, on=POINT, how="left")
    attacked = metrics.loc[metrics["kind"] == "attack", POINT].drop_duplicates()
    points = attacked.merge(points, on=POINT, how="left").fillna({"attacker": "", "target": ""})
    kept = retention_of_tasks(metrics).pivot(index=POINT, columns="task", values="retention")
    points = points.merge(kept.mean(axis=1).rename("retention").reset_index(), on=POINT)
    points = points.rename(columns={"target": "attribute"})
    return _with_exact(points, metrics, best)


def _with_exact(points: pd.DataFrame, metrics: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """Add what is known of finite releases: the exact attack takes the place of the panel's, unless that found more.

    Columns `panel` (the panel's attack), `exact`, `certified`, and `limit`: the most retention, mean of the tasks, of
    scores sent with 1 - λ of their distance between private classes, see `limits.task_limits`. NaN where a release
    isn't finite, has no certificate, or limits weren't measured. No column is added where no release is finite.
    """
    exact = best[best["kind"] == "exact"]
    if not len(exact):
        return points
    worst = exact.loc[exact.groupby(POINT, sort=False)["value"].idxmax()]
    worst = worst.rename(columns={"value": "exact", "low": "exact_low", "high": "exact_high", "target": "exact_of"})
    points = points.merge(worst[[*POINT, "exact", "exact_low", "exact_high", "exact_of"]], on=POINT, how="left")
    bounds = metrics[(metrics["kind"] == "certificate") & (metrics["metric"] == "auc-bound")]
    certified = bounds.groupby(POINT)["value"].agg(lambda bound: bound.max(skipna=False)).rename("certified")
    points = points.merge(certified.reset_index(), on=POINT, how="left")
    limits = metrics[(metrics["kind"] == "limit") & (metrics["metric"] == "retention")]
    limits = limits.groupby(["lam", "seed"])["value"].mean().rename("limit").reset_index()
    points = points.merge(limits, on=["lam", "seed"], how="left")
    points["limit"] = points["limit"].where(points["exact"].notna())
    points["panel"] = points["attack"]
    # a panel that learns from more people than the table may find more where much leaks: the larger is what is known
    known = (points["exact"] >= points["panel"]) | (points["panel"].isna() & points["exact"].notna())
    for column, source in (("attack", "exact"), ("attack_low", "exact_low"), ("attack_high", "exact_high")):
        points.loc[known, column] = points.loc[known, source]
    points.loc[known, "attribute"] = points.loc[known, "exact_of"]
    points.loc[known, "attacker"] = "table"
    return points.drop(columns=["exact_of", "exact_low", "exact_high"])


def frontier(points: pd.DataFrame) -> np.ndarray:
    """Return the best mean retention at worst attack AUC <= a, for a in `LEVELS`; 0 where no point is that safe."""
    attack, retention = points["attack"].to_numpy(), points["retention"].to_numpy()
    return np.array([max([0.0, *retention[attack <= level]]) for level in LEVELS])


def frontier_area(points: pd.DataFrame) -> float:
    """Return the area under a frontier over attack AUC from ½ to 1, scaled so that 1 is perfect.

    Each seed's frontier has an area; the mean over seeds.
    """
    areas = [np.trapezoid(frontier(group), LEVELS) / (LEVELS[-1] - LEVELS[0]) for _, group in points.groupby("seed")]
    return float(np.mean(areas))


def retention_at(points: pd.DataFrame, level: float) -> float:
    """Return retention where a curve's worst attack is `level`: means over seeds of each λ, interpolated.

    NaN where the curve doesn't reach down to `level`.
    """
    curve = points.groupby("lam")[["attack", "retention"]].mean().dropna().sort_values(["attack", "retention"])
    best = np.maximum.accumulate(curve["retention"].to_numpy())  # nobody takes a point that a safer one beats
    inside = len(curve) and curve["attack"].min() <= level
    return float(np.interp(level, curve["attack"], best)) if inside else float("nan")


def dial(points: pd.DataFrame) -> float:
    """Return the rank correlation of λ and the worst attack, mean over seeds: -1 for a dial that always works."""
    correlations = [curve["lam"].corr(curve["attack"], method="spearman") for _, curve in points.groupby("seed")]
    return float(np.mean(correlations))


def over_seeds(points: pd.DataFrame) -> pd.DataFrame:
    """Return mean and range over seeds for each setting, method and λ."""
    return points.groupby([*CURVE, "lam"], sort=False, as_index=False).agg(
        attack=("attack", "mean"),
        attack_low=("attack_low", "min"),
        attack_high=("attack_high", "max"),
        retention=("retention", "mean"),
        retention_low=("retention", "min"),
        retention_high=("retention", "max"),
        seeds=("seed", "nunique"),
        **({"certified": ("certified", "mean"), "exact": ("exact", "mean")} if "certified" in points else {}),
    )


def compare(points: pd.DataFrame) -> pd.DataFrame:
    """Return federated beside centralized at each λ of each method: attack, retention and their differences.

    NaN for a setting that the run doesn't have.
    """
    mean = over_seeds(points)
    columns = ["attack", "retention", *(["certified"] if "certified" in mean else [])]
    sides = {
        side: mean[mean["setting"] == side].set_index(["method", "lam"])[columns]
        for side in ("centralized", "federated")
    }
    both = sides["centralized"].join(
        sides["federated"], lsuffix="_centralized", rsuffix="_federated", how="outer", sort=False
    )
    both["attack_difference"] = both["attack_federated"] - both["attack_centralized"]
    both["retention_difference"] = both["retention_federated"] - both["retention_centralized"]
    return both.reset_index()
