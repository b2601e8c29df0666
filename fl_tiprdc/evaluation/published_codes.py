"""Finite releases that anybody published: their codes, what each tells, and what they can certify."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth
from fl_tiprdc.evaluation.certificate import certify
from fl_tiprdc.evaluation.certified import CertifiedRelease
from fl_tiprdc.evaluation.finite_codes import finite_codes
from fl_tiprdc.evaluation.posterior_risk import risk_tables
from fl_tiprdc.evaluation.publication_files import Publication
from fl_tiprdc.seeding import derive, numpy_generator

DELTA = 0.05  # probability with which any certificate of an audit may fail


@dataclass(frozen=True)
class PublishedCodes:
    """Hold the codes of a publication that takes few values.

    Attributes:
        contributors: [n] from 0 to `size` - 1, of the people from whom attackers learn.
        held_out: [m] of those on whom they are tested; `size` is a value that no contributor has.
        size: number of values that contributors have.
        rare: number of values that a single contributor has.
        new: number of values that no contributor has.
        everybody: [n + m] contributors' and held-out people's codes, all values told apart.
        names: what each code of `everybody` is called, see `Publication.names`.
    """

    contributors: Ints
    held_out: Ints
    size: int
    rare: int
    new: int
    everybody: Ints
    names: tuple[str, ...]

    @property
    def held_out_codes(self) -> Ints:
        """Return codes [m] of held-out people: as `held_out`, with numbers from `size` for the values that are new."""
        is_new = self.held_out == self.size
        codes = self.held_out.copy()
        codes[is_new] = self.size + np.unique(self.everybody[len(self.contributors) :][is_new], return_inverse=True)[1]
        return codes

    @property
    def alphabet(self) -> int | None:
        """Return the number of codes that a certificate allows for; None: held-out people have more.

        It is settled by the contributors' codes alone, as a certificate demands. Held-out people can be expected to
        have fewer new values than a single contributor has each.
        """
        room = self.rare + 1
        return self.size + room if self.new <= room else None


def published_codes(publication: Publication, tested: npt.NDArray[np.bool_]) -> PublishedCodes | None:
    """Find the codes of a publication; None: it takes too many values, see `finite_codes`.

    Args:
        publication: what was published.
        tested: [n] true for records of held-out people.
    """
    codes = finite_codes(publication.z[~tested], publication.z[tested])
    if codes is None:
        return None
    contributors, held_out, size = codes
    values, everybody = np.unique(
        np.concatenate([publication.z[~tested], publication.z[tested]]), axis=0, return_inverse=True
    )
    rare = int((np.bincount(contributors, minlength=size) == 1).sum())
    return PublishedCodes(
        contributors, held_out, size, rare, len(values) - size, everybody.reshape(-1), tuple(publication.names(values))
    )


def published_risk(
    finite: PublishedCodes, known: Truth, unknown: Truth, class_names: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return what each code tells of the private attributes of those who published it, see `risk_tables`."""
    labels = {name: np.concatenate([of_known, unknown.attacks[name]]) for name, of_known in known.attacks.items()}
    risk = risk_tables(finite.everybody, labels, class_names, len(finite.names))
    return risk.assign(code=np.asarray(finite.names, dtype=object)[risk["code"].to_numpy(np.int64)])


def certify_published(
    release: AuditedRelease, finite: PublishedCodes, unknown: Truth, class_names: Mapping[str, Sequence[str]]
) -> CertifiedRelease:
    """Certify a publication by the codes of held-out people, one record of each drawn by lot.

    It says something only if none of these people had a part in fitting the release.

    Args:
        release: what is audited.
        finite: its codes.
        unknown: ground truth of the held-out rows.
        class_names: private attribute -> names of its classes.

    Raises:
        InputError: held-out people have more new codes than a certificate allows for.
    """
    alphabet = finite.alphabet
    if alphabet is None:
        raise InputError(
            f"nothing can be certified: {finite.new:,} codes of the people tested are no other person's; publish fewer "
            "codes, or have more people to learn from"
        )
    drawn = numpy_generator(0, "certified-records").permutation(len(unknown.participant))
    rows = drawn[np.unique(unknown.participant[drawn], return_index=True)[1]]
    codes = finite.held_out_codes[rows]
    certificates = {}
    for name, labels in unknown.attacks.items():
        classes = len(class_names[name])
        counts = np.bincount(labels[rows] * alphabet + codes, minlength=classes * alphabet).reshape(classes, alphabet)
        seed = derive(0, "certificate", release.setting, name)
        certificates[name] = certify(counts, DELTA / len(unknown.attacks), seed, class_names[name])
    return CertifiedRelease(release.setting, release.method, release.lam, release.seed, certificates, alphabet)
