"""What a run certifies: bounds for each private attribute, from counts of certifying people's codes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from fl_tiprdc.data.crowd import Attribute, Ints
from fl_tiprdc.evaluation.certificate import Certificate, certify
from fl_tiprdc.evaluation.metric_rows import MetricRow, PointKey, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import Score
from fl_tiprdc.seeding import derive

KIND, MODEL = "certificate", "anybody"  # in metrics.csv
BOUND, ASYMPTOTIC, PAIR_BOUND = "auc-bound", "auc-bound-asymptotic", "pair-auc-bound"  # metrics


@dataclass(frozen=True)
class CertifiedRelease:
    """The certificates of one release.

    Attributes:
        setting, method, lam, seed: which release.
        certificates: private attribute -> its certificate.
        codes: size of the codebook.
        note: on classes that are hidden only together with others, empty if there are none.
    """

    setting: str
    method: str
    lam: float
    seed: int
    certificates: dict[str, Certificate]
    codes: int
    note: str = ""

    @property
    def bound(self) -> float | None:
        """What no attacker exceeds, whichever attribute it is after; None: some attribute isn't certified."""
        bounds = [certificate_bound(one) for one in self.certificates.values()]
        return None if None in bounds else max(bound for bound in bounds if bound is not None)

    def rows(self) -> pd.DataFrame:
        """Return rows of metrics.csv: the bound of each attribute, and of each pair of classes where there are more."""
        point = (self.setting, self.method, self.lam, self.seed)
        table: list[MetricRow] = []
        for name, one in self.certificates.items():
            where = (point, KIND, name, MODEL)
            table += metric_rows(*where, {BOUND: _bound(certificate_bound(one)), ASYMPTOTIC: _bound(one.asymptotic)})
            for pair in one.pairs if len(one.pairs) > 1 else ():
                scores = {PAIR_BOUND: _bound(pair.bound)}
                table += metric_rows(*where, scores, attribute=name, group=pair.first, against=pair.second)
        return metrics_table(table)

    def as_record(self) -> dict[str, object]:
        """Return what summary.json says of it."""
        return {
            "setting": self.setting,
            "method": self.method,
            "lam": self.lam,
            "seed": self.seed,
            "codes": self.codes,
            **({"note": self.note} if self.note else {}),
            "attributes": {
                name: {
                    "certified": None if (bound := certificate_bound(one)) is None else round(bound, 4),
                    "bound": one.kind,
                    "proved_for_finite_samples": one.exact,
                    "asymptotic": round(one.asymptotic, 4),
                    "delta": one.delta,
                    "people": one.people,
                    "says": sentence(name, one),
                }
                for name, one in self.certificates.items()
            },
        }


def _bound(value: float | None) -> Score:
    """Return a bound as a score: it has no interval, being one's end; None is not measured."""
    return Score(math.nan if value is None else value, math.nan, math.nan)


def certificate_bound(one: Certificate) -> float | None:
    """Return the worst bound over pairs of classes that have enough people; None where no pair has."""
    bounds = [pair.bound for pair in one.pairs if pair.bound is not None]
    return max(bounds) if bounds else None


def sentence(attribute: str, one: Certificate) -> str:
    """Return what a certificate says in words, with what it covers and what not."""
    missing = [f"{pair.first} and {pair.second}" for pair in one.pairs if pair.bound is None]
    told = one.sentence()
    if missing and len(missing) < len(one.pairs):
        worst = max((pair for pair in one.pairs if pair.bound is not None), key=lambda pair: pair.bound or 0)
        told = (
            f"no attacker tells {worst.first} from {worst.second} by the published code with an AUC above "
            f"{worst.bound:.3f}, nor any other pair with enough people, with probability {1 - one.delta:.4g}; not "
            f"certified, for want of people: {', '.join(missing)}"
        )
    return f"{attribute}: {told}"


def closing_lines(certified: Sequence[CertifiedRelease]) -> list[str]:
    """Return what a run certified, in words: for each setting and method its largest λ, and what that covers."""
    lines: list[str] = []
    strictest = {(one.setting, one.method, one.seed): one for one in sorted(certified, key=lambda one: one.lam)}
    for one in strictest.values():
        for name, certificate in one.certificates.items():
            lines.append(f"{one.setting} {one.method}, λ = {one.lam:g}, hiding {sentence(name, certificate)}")
        if one.note:
            lines.append(one.note)
    if lines:
        lines.append(next(iter(certified[0].certificates.values())).note)
    return lines


def certify_release(
    where: PointKey,
    counts: Ints,
    attributes: Sequence[Attribute],
    delta: float,
    note: str = "",
) -> CertifiedRelease:
    """Certify a release for each private attribute.

    Args:
        where: its setting, method, λ and seed.
        counts: [joint classes, K] certifying people by joint private class and published code.
        attributes: the private attributes.
        delta: probability with which any of its bounds may fail; attributes share it.
        note: on classes that are hidden only together with others.
    """
    sizes = [len(one.classes) for one in attributes]
    table = counts.reshape(*sizes, counts.shape[1])
    certificates = {}
    for a, one in enumerate(attributes):
        others = tuple(i for i in range(len(sizes)) if i != a)
        seed = derive(where[3], "certificate", *map(str, where), one.name)
        certificates[one.name] = certify(table.sum(axis=others), delta / len(attributes), seed, one.classes)
    return CertifiedRelease(*where, certificates, counts.shape[1], note)
