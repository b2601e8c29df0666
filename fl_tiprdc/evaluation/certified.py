"""The certificates of a run: bounds for each private attribute, from counts of certifying people's codes."""

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
    """Hold the certificates of one release.

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
        """Return what no attacker exceeds, whichever attribute it is after; None: some attribute isn't certified."""
        bounds = [certificate_bound(certificate) for certificate in self.certificates.values()]
        return None if None in bounds else max(bound for bound in bounds if bound is not None)

    def rows(self) -> pd.DataFrame:
        """Return rows of metrics.csv: the bound of each attribute, and of each pair of classes where there are more."""
        point = (self.setting, self.method, self.lam, self.seed)
        table: list[MetricRow] = []
        for name, certificate in self.certificates.items():
            where = (point, KIND, name, MODEL)
            table += metric_rows(
                *where, {BOUND: _bound(certificate_bound(certificate)), ASYMPTOTIC: _bound(certificate.asymptotic)}
            )
            for pair in certificate.pairs if len(certificate.pairs) > 1 else ():
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
                    "certified": None if (bound := certificate_bound(certificate)) is None else round(bound, 4),
                    "bound": certificate.kind,
                    "proved_for_finite_samples": certificate.exact,
                    "asymptotic": round(certificate.asymptotic, 4),
                    "delta": certificate.delta,
                    "people": certificate.people,
                    "says": sentence(name, certificate),
                }
                for name, certificate in self.certificates.items()
            },
        }


def _bound(value: float | None) -> Score:
    """Return a bound as a score: it has no interval, being one's end; None is not measured."""
    return Score(math.nan if value is None else value, math.nan, math.nan)


def certificate_bound(certificate: Certificate) -> float | None:
    """Return the worst bound over pairs of classes that have enough people; None where no pair has."""
    bounds = [pair.bound for pair in certificate.pairs if pair.bound is not None]
    return max(bounds) if bounds else None


def sentence(attribute: str, certificate: Certificate) -> str:
    """Return what a certificate says in words, with what it covers and what not."""
    missing = [f"{pair.first} and {pair.second}" for pair in certificate.pairs if pair.bound is None]
    told = certificate.sentence()
    if missing and len(missing) < len(certificate.pairs):
        worst = max((pair for pair in certificate.pairs if pair.bound is not None), key=lambda pair: pair.bound or 0)
        told = (
            f"no attacker tells {worst.first} from {worst.second} by the published code with an AUC above "
            f"{worst.bound:.3f}, nor any other pair with enough people, with probability {1 - certificate.delta:.4g}; "
            f"not certified, for want of people: {', '.join(missing)}"
        )
    return f"{attribute}: {told}"


def closing_lines(certified: Sequence[CertifiedRelease]) -> list[str]:
    """Return what a run certified, in words: for each setting and method its largest λ, and what that covers.

    Of several seeds the one that is certified worst, for each attribute.
    """
    lines: list[str] = []
    strictest: dict[tuple[str, str], list[CertifiedRelease]] = {}
    for release in sorted(certified, key=lambda release: -release.lam):
        same = strictest.setdefault((release.setting, release.method), [])
        if not same or same[0].lam == release.lam:
            same.append(release)
    for same in strictest.values():
        first, worst_of = same[0], f", the worst of {len(same)} seeds" if len(same) > 1 else ""
        for name in first.certificates:
            what = sentence(name, max((one.certificates[name] for one in same), key=_weakness))
            lines.append(f"{first.setting} {first.method}, λ = {first.lam:g}{worst_of}, hiding {what}")
        lines += dict.fromkeys(one.note for one in same if one.note)
    if lines:
        lines.append(next(iter(certified[0].certificates.values())).note)
    return lines


def _weakness(certificate: Certificate) -> float:
    bound = certificate_bound(certificate)
    return math.inf if bound is None else bound


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
    return certify_tables(where, tables_of(counts, attributes), attributes, delta, note)


def tables_of(counts: Ints, attributes: Sequence[Attribute]) -> list[Ints]:
    """Return the counts [classes, K] of each private attribute by itself, from those of joint classes."""
    sizes = [len(attribute.classes) for attribute in attributes]
    table = counts.reshape(*sizes, counts.shape[1])
    return [table.sum(axis=tuple(i for i in range(len(sizes)) if i != a)) for a in range(len(sizes))]


def certify_tables(
    where: PointKey, tables: Sequence[Ints], attributes: Sequence[Attribute], delta: float, note: str = ""
) -> CertifiedRelease:
    """Certify a release for each private attribute, by counts [classes, K] of each; otherwise as `certify_release`."""
    certificates = {}
    for attribute, table in zip(attributes, tables, strict=True):
        seed = derive(where[3], "certificate", *map(str, where), attribute.name)
        certificates[attribute.name] = certify(table, delta / len(attributes), seed, attribute.classes)
    return CertifiedRelease(*where, certificates, tables[0].shape[1], note)
