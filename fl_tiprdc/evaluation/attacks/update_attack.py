"""The attack on a client's update: a server that knows other people learns to read the private value from it.

The attacker is the honest but curious server. It has people of its own with known private values, makes shadow clients
of them, has those compute updates at the parameters that it sends to the real clients anyway, learns from shadow
updates to tell the value, and then reads the real ones (Shokri et al. 2017 for shadows; Melis et al. 2019 for property
inference from updates). Which classifier it uses it decides on shadows alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.evaluation.attacks.seen_updates import Defence, Updates, Values, see, sketch
from fl_tiprdc.evaluation.scores import UNMEASURED, Score, Weights, interval, resample, weighted_auc
from fl_tiprdc.seeding import derive

Flags = npt.NDArray[np.bool_]

COMPONENTS = 64  # principal components of the shadows' updates that classifiers see
VALIDATED = 3  # every third shadow decides which classifier is used


@dataclass(frozen=True)
class Reading:
    """Result of one attack.

    Attributes:
        attacker: the classifier that did best on shadows; none: all shadows were alike, and nothing is measured.
        auc: of telling clients with more of the value than the crowd from the others; chance is ½.
        rank: Spearman's correlation of the attacker's score with the true share; chance is 0.
        clients: number of real clients attacked.
    """

    attacker: str
    auc: Score
    rank: Score
    clients: int


def _axes(clean: Values) -> Values:
    """Return principal components [r, up to COMPONENTS] of shadows without any defence."""
    axes: Values = np.linalg.svd(clean - clean.mean(0), full_matrices=False)[2][:COMPONENTS].T
    return axes


def _features(seen: Values, axes: Values) -> Values:
    """Return principal components and logarithm of the norm: [n, components + 1]."""
    norm = np.log(np.linalg.norm(seen, axis=1) + 1e-12)
    return np.concatenate([seen[:, : len(axes)] @ axes, norm[:, None]], axis=1)


def _logistic(x: Values, label: Flags, share: Values, test: Values, seed: int) -> Values:
    scores: Values = LogisticRegression(C=0.1, max_iter=300).fit(x, label).decision_function(test)
    return scores


def _ridge(x: Values, label: Flags, share: Values, test: Values, seed: int) -> Values:
    scores: Values = Ridge(alpha=0.1 * len(x)).fit(x, share).predict(test)
    return scores


def _boosting(x: Values, label: Flags, share: Values, test: Values, seed: int) -> Values:
    model = GradientBoostingClassifier(
        n_estimators=60, max_depth=2, subsample=0.5, max_features="sqrt", random_state=seed % 2**32
    )
    scores: Values = model.fit(x, label).decision_function(test)
    return scores


# (features [n, f], label [n], share [n], test features [m, f], seed) -> scores [m], higher for more of the value
ATTACKERS: Mapping[str, Callable[[Values, Flags, Values, Values, int], Values]] = {
    "logistic": _logistic,
    "ridge": _ridge,
    "boosting": _boosting,
}


def rank_correlation(score: Values, share: Values, weights: Weights) -> Values:
    """Return Spearman's correlation [b] for each row of weights (whole numbers, [b, n]); 0 if a side is constant."""
    correlations = np.zeros(len(weights))
    for b, row in enumerate(weights.astype(np.int64)):
        ranks = [rankdata(np.repeat(side, row)) for side in (score, share)]
        if all(r.std() > 0 for r in ranks):
            correlations[b] = np.corrcoef(ranks[0], ranks[1])[0, 1]
    return correlations


def judge(score: Values, share: Values, client: Ints, crowd: float, bootstrap: int) -> tuple[Score, Score]:
    """Return AUC and rank correlation of scores [n] for targets `client` [n] with `share` [n]; intervals over clients.

    `crowd` is the crowd's share of the value: the AUC is of telling clients above it from the others, and NaN where
    none or all are above.
    """
    weights = resample(client, bootstrap, 0)
    spread = score.std()
    # equal but for rounding is equal: whose sums are over the same clients must not be told apart
    flat = spread <= 1e-9 * max(1.0, abs(score.mean()))
    rounded = np.zeros(len(score)) if flat else np.round((score - score.mean()) / spread, 6)
    values = (
        weighted_auc(share > crowd, rounded.astype(np.float32), weights),
        rank_correlation(rounded, share, weights),
    )
    return interval(values[0]), interval(values[1])


def read_features(
    x: Values,
    test: Values,
    shadow: Ints,
    client: Ints,
    shadow_share: Values,
    share: Values,
    crowd: float,
    seed: int,
    bootstrap: int,
) -> Reading:
    """Learn from features of shadows, attack with the best classifier of those tried on a third of the shadows.

    Args:
        x: [n, f] features of what the server saw of shadows.
        test: [m, f] the same of real clients.
        shadow: [n] whose row of x it is.
        client: [m] whose row of `test`.
        shadow_share: share of the value by shadow.
        share: by client.
        crowd: the crowd's share.
        seed: of the classifiers.
        bootstrap: resamples of the clients.
    """
    scaler = StandardScaler().fit(x)
    x, test = np.clip(scaler.transform(x), -10, 10), np.clip(scaler.transform(test), -10, 10)
    wanted = shadow_share[shadow]
    label = wanted > crowd
    held = shadow % VALIDATED == 0
    if len(set(label[~held])) < 2:  # nothing to learn from
        return Reading("none", UNMEASURED, UNMEASURED, len(share))
    equal_weights = np.ones((1, int(held.sum())), dtype=np.float32)

    def trial(name: str) -> float:
        tried = ATTACKERS[name](x[~held], label[~held], wanted[~held], x[held], seed)
        return float(weighted_auc(label[held], tried.astype(np.float32), equal_weights)[0])

    best = max(ATTACKERS, key=trial)
    score = ATTACKERS[best](x, label, wanted, test, seed)
    auc, rank = judge(score, share[client], client, crowd, bootstrap)
    return Reading(best, auc, rank, len(share))


def attack(
    shadow: Updates,
    real: Updates,
    crowd: float,
    defences: Sequence[Defence],
    seed: int,
    bootstrap: int = 200,
    weighted: bool = False,
    on_reading: Callable[[], None] | None = None,
) -> dict[tuple[str, Defence], Reading]:
    """Read the private value from real clients' updates, group by group and from all groups together.

    Args:
        shadow: updates of the attacker's own clients, at the same parameters.
        real: those of the clients under attack.
        crowd: the crowd's share of the value, public.
        defences: what is tried, each on its own.
        seed: of noise, sets and classifiers.
        bootstrap: resamples of the clients for an interval.
        weighted: clients in a sum count by their records.
        on_reading: told when one attack is done.

    Returns:
        (group, defence) -> result; with several groups "all" is one more. For sums "exact" is what an attacker could
        do who knew nothing but the exact share of the value in each sum: close to what any can.
    """
    sketches = {name: sketch(shadow.groups[name], real.groups[name]) for name in real.groups}
    axes = {name: _axes(s.shadow) for name, s in sketches.items()}
    readings: dict[tuple[str, Defence], Reading] = {}
    for defence in defences:
        ours, theirs = see(sketches, shadow, real, defence, weighted, seed)
        for group in (*sketches, *(["all"] if len(sketches) > 1 else [])):
            names = list(sketches) if group == "all" else [group]
            few = COMPONENTS // len(names)
            x, test = (
                np.concatenate([_features(side.groups[name], axes[name][:, :few]) for name in names], axis=1)
                for side in (ours, theirs)
            )
            readings[group, defence] = read_features(
                x,
                test,
                ours.client,
                theirs.client,
                shadow.share,
                real.share,
                crowd,
                derive(seed, "update-attack"),
                bootstrap,
            )
            if on_reading is not None:
                on_reading()
        if theirs.exact is not None:
            auc, rank = judge(theirs.exact, real.share[theirs.client], theirs.client, crowd, bootstrap)
            readings["exact", defence] = Reading("exact", auc, rank, len(real.share))
    return readings


def head_place(shapes: Mapping[str, Sequence[int]], classes: Sequence[int], attribute: int, value: int) -> int | None:
    """Return the place of the adversary's last bias for a private value in its flattened numbers; None: no bias.

    `shapes` by name in the order in which they are flattened.
    """
    own, offset = f"each.{attribute}.", 0
    separate = any(name.startswith(own) for name in shapes)
    place = None
    for name, shape in shapes.items():
        if name.endswith("bias") and (name.startswith(own) or not separate):
            if tuple(shape) == (classes[attribute],) and (separate or len(classes) == 1):
                place = offset + value
            elif not separate and tuple(shape) == (sum(classes),):
                place = offset + sum(classes[:attribute]) + value
        offset += int(np.prod(shape))
    return place


def read_head(real: Updates, place: int, crowd: float, sign: int, bootstrap: int) -> Reading:
    """Attack without shadows: the last bias of the adversary is pushed towards the values that a client has.

    A cross-entropy's gradient in the bias of value k is the mean of p_k - [u = k], so its sign alone tells which
    value is more frequent than the adversary believes (as in iDLG, Zhao et al. 2020).

    Args:
        real: updates with a group "adversary".
        place: of the bias; see `head_place`.
        crowd: the crowd's share.
        sign: -1 for gradients, 1 for changes of weights.
        bootstrap: resamples of the clients.
    """
    score = sign * real.groups["adversary"][:, place].astype(np.float64)
    clients = np.arange(len(score))
    auc, rank = judge(score, real.share, clients, crowd, bootstrap)
    return Reading("bias", auc, rank, len(score))
