"""Training curves from rounds.csv, for figures and the page."""

import pandas as pd

from fl_tiprdc.wire.phases import QUESTION

CURVES = {
    "adversary": "adversary's cross-entropy\n(nats)",
    "privacy": "extractor's privacy term\n(lower = hidden)",
    "information": "bound on information kept\n(higher = more)",
}
ADVERSARY_ALONE = "adversary-gradient"  # a phase that says nothing of the other losses
MOST_POINTS = 60  # points of a curve


def training_curves(rounds: pd.DataFrame) -> pd.DataFrame:
    """Return mean and range over seeds of each loss by round.

    Args:
        rounds: as rounds.csv.

    Returns:
        Columns setting, method, lam, loss, round, value, low, high. Of a curve with many rounds (centralized training
        counts updates) every so many are united to their mean. Sums over a trained extractor have no losses, and a
        loss that is 0 throughout is of a network that the method doesn't have: neither makes a curve.
    """
    where = ["setting", "method", "lam"]
    tables: list[pd.DataFrame] = []
    rounds = rounds[~rounds["phase"].str.startswith(QUESTION)]
    for (setting, method), mine in rounds.groupby(["setting", "method"], sort=False):
        apart = -(-mine["round"].nunique() // MOST_POINTS)
        place = mine["round"].rank(method="dense").sub(1).floordiv(apart)
        mine = mine.assign(round=mine.groupby(place)["round"].transform("max"))
        for loss in CURVES:
            counted = mine if loss == "adversary" else mine[mine["phase"] != ADVERSARY_ALONE]
            if (counted[loss].fillna(0) == 0).all():
                continue
            by_seed = counted.groupby(["lam", "round", "seed"])[loss].mean()
            curve = by_seed.groupby(["lam", "round"]).agg(value="mean", low="min", high="max").reset_index()
            tables.append(curve.assign(setting=str(setting), method=str(method), loss=loss))
    columns = [*where, "loss", "round", "value", "low", "high"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def serving_all(curves: pd.DataFrame, points: pd.DataFrame) -> set[tuple[str, str]]:
    """Return setting and method of trainings that serve more λ than they name: codes of all λ share one extractor.

    Args:
        curves: of `training_curves`.
        points: of the run's audit.
    """
    if points.empty:  # nothing was audited
        return set()
    audited = points.groupby(["setting", "method"])["lam"].nunique()
    return {
        (str(setting), str(method))
        for (setting, method), named in curves.groupby(["setting", "method"])["lam"]
        if audited.get((setting, method), 0) > named.nunique()
    }
