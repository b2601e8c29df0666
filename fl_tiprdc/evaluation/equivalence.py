"""Two one-sided tests over seeds of whether federated training is as good as centralized training, within a margin."""

import math

import numpy as np
import pandas as pd

from fl_tiprdc.evaluation.scores import Values

MARGIN = 0.02  # of attack AUC, and of retention: smaller differences don't matter
LEVEL = 0.05  # of each one-sided test
VALUES = ("attack", "retention")
COLUMNS = ("method", "lam", "value", "seeds", "difference", "low", "high", "p", "margin", "equivalent")


def two_one_sided_tests(differences: Values, margin: float) -> tuple[float, float, float]:
    """Return Schuirmann's test that a mean difference lies within -margin and margin.

    Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence
    of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987. Student's t with n - 1
    degrees of freedom: exact for normal differences, however few.

    Args:
        differences: [n] paired differences that are independent of each other.
        margin: largest difference that doesn't matter, in the same unit.

    Returns:
        p, the larger of both tests' (small: equivalent), and the ends of the interval of level 1 - 2 `LEVEL`, which
        lies within the margin exactly where p < `LEVEL`. NaN for fewer than two differences: one shows no spread.
    """
    from scipy.stats import t as student  # takes a second, which runs of one seed needn't

    n = len(differences)
    if n < 2:
        return math.nan, math.nan, math.nan
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return float(abs(mean) >= margin), mean, mean
    p = max(student.sf((margin + mean) / error, n - 1), student.sf((margin - mean) / error, n - 1))
    reach = student.ppf(1 - LEVEL, n - 1) * error
    return float(p), float(mean - reach), float(mean + reach)


def equivalence(points: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Compare federated with centralized releases, paired by method, λ and seed.

    Seeds are what is independent: different λ of a seed share their random numbers. So each λ has a test over seeds,
    and the one over all λ takes a seed's mean. Of many tests at single λ some succeed by chance; the one over all λ is
    the method's answer.

    Args:
        points: `frontier.summarize_points`.
        margin: see `two_one_sided_tests`.

    Returns:
        For each method, value (attack, retention) and λ (NaN: the mean over all λ): seeds, difference, low and high
        (90 % interval), p, margin, equivalent ("yes", "not shown", or "one seed: no test"; then p, low and high are
        NaN). Empty where a run lacks a setting.
    """
    sides = {side: points[points["setting"] == side] for side in ("federated", "centralized")}
    key = ["method", "lam", "seed"]
    pairs = sides["federated"].merge(sides["centralized"], on=key, suffixes=("_federated", "_centralized"))
    rows: list[dict[str, object]] = []
    for method, paired in pairs.groupby("method", sort=False):
        for value in VALUES:
            difference = (paired[f"{value}_federated"] - paired[f"{value}_centralized"]).dropna()
            curves: list[tuple[float, Values]] = [
                (float(str(lam)), difference.reindex(of_lambda.index).dropna().to_numpy(dtype=np.float64))
                for lam, of_lambda in paired.groupby("lam")
            ]
            curves.append((math.nan, difference.groupby(paired["seed"]).mean().to_numpy(dtype=np.float64)))
            for lam, differences in curves:
                p, low, high = two_one_sided_tests(differences, margin)
                if not len(differences):
                    continue  # not measured on both sides
                verdict = "one seed: no test" if math.isnan(p) else "yes" if p < LEVEL else "not shown"
                row = (method, lam, value, len(differences), float(differences.mean()), low, high, p, margin, verdict)
                rows.append(dict(zip(COLUMNS, row, strict=True)))
    return pd.DataFrame(rows, columns=list(COLUMNS))
