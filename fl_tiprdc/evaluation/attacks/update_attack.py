"""The attack on a client's update: a server that knows other people learns to read the private value from it.

The attacker is the honest but curious server. It has people of its own with known private values, makes shadow clients
of them, has those compute updates at the parameters that it sends to the real clients anyway, learns from shadow
updates to tell the value, and then reads the real ones (Shokri et al. 2017 for shadows; Melis et al. 2019 for property
inference from updates). Which classifier it uses it decides on shadows alone.

Everything a server may see of an update here (scaled, with Gaussian noise, summed with others) is the same in any
orthonormal basis, so updates of 100,000 numbers are first written in a basis of their own span, once and without loss.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.evaluation.scores import UNMEASURED, Score, Weights, interval, resample, weighted_auc
from fl_tiprdc.seeding import derive, numpy_generator
from fl_tiprdc.wire.update_rows import clip_factors

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

COMPONENTS = 64  # principal components of the shadows' updates that classifiers see
VALIDATED = 3  # every third shadow decides which classifier is used
SETS = 4  # sums in which each real client is attacked
SHADOW_SUMS = 600  # the least number of sums to learn from


@dataclass(frozen=True)
class Updates:
    """Updates of some clients in one exchange, and what the attacker wants to know.

    Attributes:
        groups: what the clients sent: group -> [n, numbers], the same groups and numbers for everybody.
        share: [n] share of the private value in a client's records: 0 or 1 for a client with one value.
        records: [n] number of records; servers are told.
    """

    groups: Mapping[str, Floats]
    share: Values
    records: Ints


@dataclass(frozen=True)
class Defence:
    """Say what happens to updates before the server sees them.

    Attributes:
        name: "none"; "noise": every client's update is clipped to the median norm of the shadows' and gets Gaussian
            noise; "sum": secure aggregation, the server sees sums of several clients' updates alone.
        level: "noise": the multiplier, standard deviation of each number in units of the clipping norm (0: clipping
            alone); "sum": number of clients in a sum.
    """

    name: Literal["none", "noise", "sum"]
    level: float = 0.0


NONE = Defence("none")


@dataclass(frozen=True)
class Sketch:
    """Updates in an orthonormal basis of their own span.

    Attributes:
        shadow: [shadows, r].
        real: [clients, r].
        numbers: in an update; Gaussian noise fills all of them, not r alone.
    """

    shadow: Values
    real: Values
    numbers: int


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


def sketch(shadow: Floats, real: Floats) -> Sketch:
    """Write updates [n, numbers] in a basis of their span; inner products, norms and sums stay what they are."""
    mean = shadow.mean(0, dtype=np.float64).astype(np.float32)
    # deviations apart from the mean they share, which would drown them in single precision
    rows = np.concatenate([mean[None], shadow - mean, real - mean])
    values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    kept = values > values.max(initial=0.0) * 1e-10
    coordinates = vectors[:, kept] * np.sqrt(values[kept])
    coordinates = coordinates[1:] + coordinates[0]
    return Sketch(coordinates[: len(shadow)], coordinates[len(shadow) :], shadow.shape[1])


# ---- what the server sees


def _noisy(x: Values, deviation: float, numbers: int, generator: np.random.Generator) -> Values:
    """Return rows [n, r] with noise in all `numbers` dimensions; one more column has its length outside the span."""
    inside, outside, rest = x, np.zeros(len(x)), numbers - x.shape[1]
    if deviation:
        inside = x + deviation * generator.standard_normal(x.shape)
    if deviation and rest > 0:
        outside = deviation * np.sqrt(generator.chisquare(rest, len(x)))
    return np.concatenate([inside, outside[:, None]], axis=1)


def _sets(clients: int, size: int, each: int, generator: np.random.Generator) -> Values:
    """Draw `each` sets of `size` clients around each client: [clients · each, clients], 1 for a member."""
    keys = generator.random((clients * each, clients))
    keys[np.arange(len(keys)), np.repeat(np.arange(clients), each)] = -1  # the target is in all of its sets
    member = np.zeros_like(keys)
    np.put_along_axis(member, np.argsort(keys, axis=1)[:, :size], 1, axis=1)
    return member


@dataclass(frozen=True)
class Seen:
    """Represent clients as the server sees them under a defence.

    Attributes:
        groups: by group, rows [n, r + 1] in the basis of a sketch, with the length outside it.
        client: [n] whose row it is.
        exact: [n] true share of the value in a row's sum; None: rows are single clients'.
    """

    groups: Mapping[str, Values]
    client: Ints
    exact: Values | None = None


def _in_sums(
    updates: Mapping[str, Values], clients: Updates, size: int, each: int, unit: float, generator: np.random.Generator
) -> Seen:
    """Return sums of `size` clients, `each` around every client.

    `unit` is what clients divide their records by to weight themselves, which leaves sums of the same order; 0: all
    count alike.
    """
    member = _sets(len(clients.share), size, each, generator)
    if unit:
        member = member * clients.records / unit
    groups = {name: _noisy(member @ rows, 0, rows.shape[1], generator) for name, rows in updates.items()}
    return Seen(groups, np.repeat(np.arange(len(clients.share)), each), member @ clients.share)


def _norms(updates: Mapping[str, Values]) -> Values:
    """Return the norms [n] of clients' whole messages, all groups together."""
    norms: Values = np.sqrt(sum((rows**2).sum(1) for rows in updates.values()))
    return norms


def _seen(
    sketches: Mapping[str, Sketch], shadow: Updates, real: Updates, defence: Defence, weighted: bool, seed: int
) -> tuple[Seen, Seen]:
    """Return the server's view of shadows and of real clients under a defence."""
    generator = numpy_generator(seed, "update-defence", defence.name, str(defence.level))
    sides = {name: s.shadow for name, s in sketches.items()}, {name: s.real for name, s in sketches.items()}
    if defence.name == "sum":
        size, unit = int(defence.level), real.records.mean() if weighted else 0.0
        each = max(SETS, -(-SHADOW_SUMS // len(shadow.share)))
        return (
            _in_sums(sides[0], shadow, size, each, unit, generator),
            _in_sums(sides[1], real, size, SETS, unit, generator),
        )
    bound = float(np.median(_norms(sides[0]))) if defence.name == "noise" else None

    def alone(updates: Mapping[str, Values]) -> Seen:
        scale = 1.0 if bound is None else clip_factors(_norms(updates), bound)[:, None]
        groups = {
            name: _noisy(rows * scale, defence.level * (bound or 0.0), sketches[name].numbers, generator)
            for name, rows in updates.items()
        }
        return Seen(groups, np.arange(len(next(iter(updates.values())))))

    return alone(sides[0]), alone(sides[1])


# ---- what the server makes of it


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
        ours, theirs = _seen(sketches, shadow, real, defence, weighted, seed)
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
