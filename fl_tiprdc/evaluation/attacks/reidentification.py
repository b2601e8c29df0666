"""Re-identification: which of N people's raw records does a published representation belong to?

The attacker has the raw records of N people who contributed nothing to its training, and their representations without
a name, and pairs of record and representation of others (the contributors). Three attackers:

- from-z: a ridge regression from z̃ to the principal components of x; a person's record is the likeliest one, the
  residuals taken as Gaussian (a Mahalanobis distance, so that components that z̃ doesn't tell don't count).
- from-x: the other way round, from components of x to z̃, with the likelihood of z̃.
- white-box, who also has the extractor, as a server has: nearest to what the extractor makes of each record before the
  noise. For noise with the same spread in every direction that is the likeliest record, so nobody does better.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.data.principal_components import fit_components
from fl_tiprdc.evaluation.audit import AuditedRelease
from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import Score, Values
from fl_tiprdc.seeding import numpy_generator

KIND, TARGET, METRIC = "reidentification", "x", "top-1"  # in metrics.csv
CHANCE = "chance"
PEOPLE = 1000  # among whom a person is looked for
COMPONENTS = 64  # of x
LEARNED_RECORDS = 20_000  # contributors' records that regressions are fitted to
PEOPLE_AT_ONCE = 256  # people whose distances are computed at a time


@dataclass(frozen=True)
class Matching:
    """Count how often the right person was found.

    Attributes:
        people: N, among whom each was looked for.
        rates: attacker -> share of people whose own record came first, with a 95 % interval (Clopper-Pearson).
        chance: 1/N.
    """

    people: int
    rates: dict[str, Score]
    chance: float

    @property
    def worst(self) -> Score:
        """Return the score of the best attacker."""
        return max(self.rates.values(), key=lambda rate: rate.value)

    def metrics(self, release: AuditedRelease) -> pd.DataFrame:
        """Return rows of metrics.csv for the attacked release: kind "reidentification", metric "top-1"."""
        chance = Score(self.chance, self.chance, self.chance)
        rows: list[MetricRow] = []
        for model, rate in {CHANCE: chance, **self.rates}.items():
            rows += metric_rows(release.point, KIND, TARGET, model, {METRIC: rate})
        return metrics_table(rows)


def share_with_interval(hits: float, n: int) -> Score:
    """Return hits/n with the exact (Clopper-Pearson, 1934) 95 % interval, which is none too narrow for few hits."""
    low = float(betaincinv(hits, n - hits + 1, 0.025)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, n - hits, 0.975)) if hits < n else 1.0
    return Score(hits / n, low, high)


def reidentify(
    x: Floats,
    z: Floats,
    tested_x: Floats,
    tested_z: Floats,
    participant: Ints,
    seed: int,
    clean: Floats | None = None,
    people: int = PEOPLE,
    rows: Ints | None = None,
) -> Matching:
    """Match held-out people's representations to their raw records.

    Args:
        x: [n, k] contributors' raw records as numbers, see `raw_features`; more of them where `rows` says which.
        z: [n, d] their representations.
        tested_x: [m, k] held-out people's raw records.
        tested_z: [m, d] their representations.
        participant: [m] the person a held-out record belongs to; one record of each is looked for.
        seed: who is drawn, of more than `people`.
        clean: [m, d] what the extractor gives for the held-out records before any noise; None: no white box.
        people: N, or as many as there are.
        rows: [n] which of the records in x are those of z; None: all in order.
    """
    generator = numpy_generator(seed, "reidentification")
    learned = np.sort(generator.permutation(len(z))[:LEARNED_RECORDS])
    known_x = x[learned if rows is None else rows[learned]]
    shuffled = generator.permutation(len(tested_x))
    firsts = shuffled[np.unique(participant[shuffled], return_index=True)[1]]  # one record of each person
    tested = np.sort(generator.permutation(firsts)[:people])
    components = fit_components(known_x, COMPONENTS, seed)
    known_x, looked_x = components.transform(known_x), components.transform(tested_x[tested])
    known_z, looked_z = z[learned].astype(np.float64), tested_z[tested].astype(np.float64)
    from_z, whiten_z = _regress(known_z, known_x)
    from_x, whiten_x = _regress(known_x, known_z)
    credits = {
        "from-z": _own_first(from_z(looked_z) @ whiten_z, looked_x @ whiten_z),
        "from-x": _own_first(looked_z @ whiten_x, from_x(looked_x) @ whiten_x),
    }
    if clean is not None:
        credits["white-box"] = _own_first(looked_z, clean[tested].astype(np.float64))
    n = len(tested)
    return Matching(n, {name: share_with_interval(float(credit.sum()), n) for name, credit in credits.items()}, 1 / n)


def _regress(inputs: Values, outputs: Values) -> tuple[Callable[[Values], Values], Values]:
    """Return a ridge regression, and a matrix that makes its residuals white.

    Residuals are those of a fifth of the records, kept from the fit, or else a wide input looks better than it is.
    """
    from sklearn.linear_model import Ridge

    mean, std = inputs.mean(0), np.maximum(inputs.std(0), 1e-6)
    cut = max(1, len(inputs) // 5)
    model = Ridge(1.0).fit((inputs[cut:] - mean) / std, outputs[cut:])

    def predict(new: Values) -> Values:
        answer: Values = np.asarray(model.predict((new - mean) / std)).reshape(len(new), -1)
        return answer

    residual = outputs[:cut] - predict(inputs[:cut])
    covariance = residual.T @ residual / cut
    values, vectors = np.linalg.eigh(covariance)
    # a floor: few records make some directions look all but certain
    return predict, vectors / np.sqrt(np.maximum(values, 1e-3 * values.max() + 1e-12))


def _own_first(queries: Values, candidates: Values) -> Values:
    """Return [n]: 1 where candidate i is the nearest to query i; of c that tie, 1/c, as a guess among them."""
    n = len(queries)
    credit = np.zeros(n)
    squares = (candidates**2).sum(1)
    for begin in range(0, n, PEOPLE_AT_ONCE):
        piece = queries[begin : begin + PEOPLE_AT_ONCE]
        distance = squares[None, :] - 2 * piece @ candidates.T  # less what is the same for all candidates
        own = distance[np.arange(len(piece)), begin + np.arange(len(piece))][:, None]
        close = 1e-9 * (np.abs(own) + (piece**2).sum(1, keepdims=True))  # people with the same record
        nearer, same = (distance < own - close).any(1), (np.abs(distance - own) <= close).sum(1)
        credit[begin : begin + PEOPLE_AT_ONCE] = np.where(nearer, 0.0, 1 / same)
    return credit
