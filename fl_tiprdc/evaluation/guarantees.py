"""The bounds that follow from the audit, and from the channel, for attackers and probes that nobody has trained.

u: private attribute with K classes, t: task, z: representation; entropies in bits.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.frontier import POINT
from fl_tiprdc.evaluation.subgroups import GROUP_ACCURACY

BALANCED = ("balanced-accuracy", "even-odds-accuracy")  # of an attacker: either bounds a distance from below
STEPS = 60  # of a bisection: more than a float's digits

# columns of the tables, after those of a point
GUARANTEES = (
    "attribute",
    "entropy",
    "conditional",
    "information",
    "success",
    "most_success",
    "fano_success",
    "most_information",
    "capacity_success",
)
TRADE_OFF = ("attribute", "task", "attack", "group_mean", "chance", "base_gap", "bound")


def entropy_bits(*shares: float) -> float:
    """Return the entropy of a distribution over classes, in bits."""
    return -sum(p * math.log2(p) for p in shares if p > 0)


def most_success(conditional_bits: float) -> float:
    """Bound any attacker's accuracy for a binary u from above: 1 - H / (2 log2(6 / H)), H = H(u|z).

    Zhao, Chi, Tian and Gordon, "Trade-offs and Guarantees of Adversarial Representation Learning for Information
    Obfuscation", NeurIPS 2020; TAPPFL (AAAI 2024) uses it. It is never below 0.80: see `fano_success` for the sharp
    bound.

    Args:
        conditional_bits: H(u|z), 0 to 1 bits. An estimate of it makes the result an estimate too.
    """
    h = min(1.0, max(0.0, conditional_bits))
    return 1 - h / (2 * math.log2(6 / h)) if h > 0 else 1.0


def fano_success(conditional_bits: float, classes: int) -> float:
    """Bound any attacker's accuracy for K classes from above: 1 - e, e the least error of Fano's inequality.

    H(u|z) <= h(e) + e log2(K - 1), with h the entropy of a coin (Cover and Thomas, "Elements of Information Theory",
    2nd edition, theorem 2.10.1). For K = 2 no better bound can be had from H(u|z) alone: a binary symmetric channel
    attains it.

    Args:
        conditional_bits: H(u|z), 0 to log2(K) bits.
        classes: K.
    """
    if classes < 2:
        return 1.0
    low, high = 0.0, 1 - 1 / classes  # the right-hand side grows up to here, where it is log2(K)
    for _ in range(STEPS):
        middle = (low + high) / 2
        bits = entropy_bits(middle, 1 - middle) + middle * math.log2(classes - 1)
        low, high = (middle, high) if bits < conditional_bits else (low, middle)
    return 1 - low


def most_information_bits(entropy: float, capacity: float) -> float:
    """Return min(H(u), capacity) >= I(u; z): u -> x -> z is a Markov chain, so I(u; z) <= I(x; z) <= capacity.

    Args:
        entropy: H(u) in bits.
        capacity: of the release channel in bits, `release.channel.capacity_bits`.
    """
    return min(entropy, capacity)


def least_error_sum(base_gap: float, distance: float) -> float:
    """Bound P(t̂ != t | u = 0) + P(t̂ != t | u = 1) from below, for every t̂ computed from z: max(0, Δ - d).

    After Zhao and Gordon, "Inherent Tradeoffs in Learning Fair Representations", JMLR 23(57), 2022. In short: within
    group a, P(t = k) and P(t̂ = k) differ by at most P(t̂ != t | u = a), and P(t̂ = k) differs between the groups by at
    most d; so Δ <= d + both errors. Nothing is assumed of the number of classes of t.

    Args:
        base_gap: Δ = |P(t = k | u = 0) - P(t = k | u = 1)| for any one class k.
        distance: d, total variation between z|u = 0 and z|u = 1; 0 where z is independent of u. It is 2 b - 1 for the
            balanced accuracy b of the best possible attacker, hence at least 2 b - 1 for every attacker.
    """
    return max(0.0, base_gap - distance)


def most_group_mean(base_gap: float, balanced_attack: float) -> float:
    """Bound the mean of both groups' accuracies from above: 1 - max(0, Δ - max(0, 2 b - 1)) / 2.

    Args:
        base_gap: Δ, as in `least_error_sum`.
        balanced_attack: b, balanced accuracy of the best possible attacker. With that of the best attacker known, the
            bound is an estimate, and a probe beyond it proves that there is a better attacker: its answers, taken for
            u or the other one, have a balanced accuracy of at least (1 + Δ - errors) / 2.
    """
    return 1 - least_error_sum(base_gap, max(0.0, 2 * balanced_attack - 1)) / 2


def guarantees(
    metrics: pd.DataFrame, capacity: Callable[[str, str, float], float] = lambda setting, method, lam: math.inf
) -> pd.DataFrame:
    """Bound attackers that are not in the panel, for each point and private attribute.

    Args:
        metrics: rows of metrics.csv.
        capacity: of (setting, method, lam): the release's capacity in bits; infinite where there is no channel.

    Returns:
        Columns of a point, and
        attribute: u;
        entropy: H(u), by the cross-entropy of contributors' shares on held-out people, bits;
        conditional: estimate of H(u|z): the panel's least cross-entropy, bits. That of any attacker is, but for
            sampling, an upper bound of H(u|z); so what follows from it is an estimate, no guarantee;
        information: estimate of I(u; z) = entropy - conditional;
        success: the best accuracy in the panel;
        most_success: `most_success` of `conditional`; NaN unless u is binary;
        fano_success: `fano_success` of `conditional`;
        most_information: by the channel's capacity, `most_information_bits`: true of every attacker;
        capacity_success: `fano_success` of H(u) less that; 1 where the capacity is beyond H(u).
        Empty for tables without cross-entropies; attributes that couldn't be measured have no row.
    """
    attacks = metrics[(metrics["kind"] == "attack") & metrics["value"].notna()]
    losses = attacks[attacks["metric"] == "cross-entropy"]
    groups = attacks[attacks["metric"] == GROUP_ACCURACY]
    rows: list[dict[str, object]] = []
    for (*point, attribute), panel in losses.groupby([*POINT, "target"], sort=False):
        setting, method, lam = str(point[0]), str(point[1]), float(str(point[2]))
        same = (attacks[[*POINT, "target"]] == [*point, attribute]).all(axis=1)
        accuracies = attacks[same & (attacks["metric"] == "accuracy") & (attacks["model"] != MAJORITY)]
        own = (groups["target"] == attribute) & (groups["attribute"] == attribute)
        classes = groups.loc[own, "group"].nunique()
        bits = panel.set_index("model")["value"] / math.log(2)
        entropy, conditional = float(bits[MAJORITY]), float(bits.min())
        limit = most_information_bits(entropy, capacity(setting, method, lam))
        rows.append(
            {
                **dict(zip(POINT, point, strict=True)),
                "attribute": attribute,
                "entropy": entropy,
                "conditional": conditional,
                "information": entropy - conditional,
                "success": float(accuracies["value"].max()),
                "most_success": most_success(conditional) if classes == 2 else float("nan"),
                "fano_success": fano_success(conditional, classes),
                "most_information": limit,
                "capacity_success": fano_success(entropy - limit, classes),
            }
        )
    return pd.DataFrame(rows, columns=[*POINT, *GUARANTEES])


def trade_offs(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return a probe's best group-mean accuracy beside what the best balanced attack leaves possible.

    For each point, binary private attribute and task. Δ is read from the majority's answers: always the same class, so
    that its accuracy in a group is the share of that class there. All values are of held-out people.

    Returns:
        Columns of a point, attribute, task, attack (best balanced accuracy of the panel), group_mean (the best probe's
        mean of both groups' accuracies), chance (the majority's), base_gap (Δ) and bound (`most_group_mean`, an
        estimate as the attack is). Empty for tables without groups.
    """
    measured = metrics["value"].notna()
    attacks = metrics[(metrics["kind"] == "attack") & metrics["metric"].isin(BALANCED) & measured]
    best = attacks[attacks["model"] != MAJORITY].groupby([*POINT, "target"], sort=False)["value"].max()
    groups = metrics[(metrics["kind"] == "task") & (metrics["metric"] == GROUP_ACCURACY)]
    rows: list[dict[str, object]] = []
    for attribute in attacks["target"].unique():
        own = groups[groups["attribute"] == attribute]
        if own["group"].nunique() != 2:
            continue
        accuracies = own.groupby([*POINT, "target", "model"], sort=False)["value"].agg(["mean", "min", "max"])
        for (*point, task), models in accuracies.groupby([*POINT, "target"], sort=False):
            if (*point, attribute) not in best.index:
                continue  # the attack was not measured
            models = models.reset_index().set_index("model")
            low, high, chance = models.loc[[MAJORITY], ["min", "max", "mean"]].to_numpy(dtype=float)[0].tolist()
            attack, gap = float(best.loc[[(*point, attribute)]].iloc[0]), high - low
            rows.append(
                {
                    **dict(zip(POINT, point, strict=True)),
                    "attribute": attribute,
                    "task": task,
                    "attack": attack,
                    "group_mean": float(models["mean"].drop(MAJORITY).max()),
                    "chance": chance,
                    "base_gap": gap,
                    "bound": most_group_mean(gap, attack),
                }
            )
    return pd.DataFrame(rows, columns=[*POINT, *TRADE_OFF])


def channel_capacity(capacities: Sequence[Mapping[str, Any]]) -> Callable[[str, str, float], float]:
    """Return a release's capacity from rows of a run's summary with method, λ and bits, None for no noise."""
    bits = {(row["method"], row["lam"]): row["bits"] for row in capacities}

    def capacity(setting: str, method: str, lam: float) -> float:
        known = bits.get((method, lam)) if setting in ("centralized", "federated") else None
        return math.inf if known is None else known

    return capacity
