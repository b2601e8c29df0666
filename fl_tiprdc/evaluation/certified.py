"""What a run certifies: bounds for each private attribute, from counts of certifying people's codes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Attribute, Ints
from fl_tiprdc.evaluation.audit import COLUMNS
from fl_tiprdc.evaluation.certificate import Certificate, certify
from fl_tiprdc.seeding import derive

KIND = "certificate"  # in metrics.csv


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
        """Return what no attacker exceeds, whichever attribute it is after; None: some attribute isn't certified."""
        bounds = [certificate_bound(certificate) for certificate in self.certificates.values()]
        return None if None in bounds else max(bound for bound in bounds if bound is not None)

    def rows(self) -> pd.DataFrame:
        """Return rows of metrics.csv: the bound of each attribute, and of each pair of classes where there are more."""
        table: list[tuple[object, ...]] = []
        for name, certificate in self.certificates.items():
            where = (self.setting, self.method, self.lam, self.seed, KIND, name)
            bound = certificate_bound(certificate)
            table.append((*where, "anybody", "auc-bound", np.nan if bound is None else bound, np.nan, np.nan))
            table.append((*where, "anybody", "auc-bound-asymptotic", certificate.asymptotic, np.nan, np.nan))
            for pair in certificate.pairs if len(certificate.pairs) > 1 else ():
                value = np.nan if pair.bound is None else pair.bound
                table.append((*where, "anybody", f"auc-bound|{pair.first} vs {pair.second}", value, np.nan, np.nan))
        return pd.DataFrame(table, columns=COLUMNS)

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
    """Return what a run certified, in words: for each setting and method its largest λ, and what that covers."""
    lines: list[str] = []
    by_dial = sorted(certified, key=lambda release: release.lam)
    strictest = {(release.setting, release.method, release.seed): release for release in by_dial}
    for release in strictest.values():
        for name, certificate in release.certificates.items():
            what = sentence(name, certificate)
            lines.append(f"{release.setting} {release.method}, λ = {release.lam:g}, hiding {what}")
        if release.note:
            lines.append(release.note)
    if lines:
        lines.append(next(iter(certified[0].certificates.values())).note)
    return lines


def certify_release(
    where: tuple[str, str, float, int],
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
    sizes = [len(attribute.classes) for attribute in attributes]
    table = counts.reshape(*sizes, counts.shape[1])
    certificates = {}
    for a, attribute in enumerate(attributes):
        others = tuple(i for i in range(len(sizes)) if i != a)
        seed = derive(where[3], "certificate", *map(str, where), attribute.name)
        certificates[attribute.name] = certify(table.sum(axis=others), delta / len(attributes), seed, attribute.classes)
    return CertifiedRelease(*where, certificates, counts.shape[1], note)
