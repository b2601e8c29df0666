"""The certificate that travels with a publication: certificate.json, from whose counts anybody computes it again."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from fl_tiprdc.data.crowd import Attribute, Ints
from fl_tiprdc.data.publication_store import CODEBOOK
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.certified import CertifiedRelease, certify_release
from fl_tiprdc.whole_file import write_whole

CERTIFICATE = "certificate.json"  # beside a publication's parts


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Attribute(_Strict):
    name: str
    classes: tuple[str, ...] = Field(min_length=2)


class _CertificateFile(_Strict):
    """What the file holds: which release, whom it hides, how often certifying people published which code."""

    setting: str
    method: str
    lam: float
    seed: int
    delta: float = Field(gt=0, lt=1)
    attributes: tuple[_Attribute, ...] = Field(min_length=1)
    counts: tuple[tuple[NonNegativeInt, ...], ...]  # [joint classes][codes], the last attribute varying fastest
    note: str
    certificate: dict[str, object]


def write_certificate(
    folder: Path, certified: CertifiedRelease, counts: Ints, attributes: tuple[Attribute, ...], delta: float
) -> None:
    """Write certificate.json.

    Args:
        folder: of the publication.
        certified: the certificate.
        counts: [joint classes, K] that it was computed from.
        attributes: the private attributes.
        delta: error probability that it was computed with.
    """
    held = _CertificateFile(
        setting=certified.setting,
        method=certified.method,
        lam=certified.lam,
        seed=certified.seed,
        delta=delta,
        attributes=tuple(_Attribute(name=each.name, classes=each.classes) for each in attributes),
        counts=tuple(tuple(row) for row in counts.tolist()),
        note=certified.note,
        certificate=certified.as_record(),
    )
    write_whole(folder / CERTIFICATE, held.model_dump_json(indent=1).encode())


def read_certificate(folder: Path) -> CertifiedRelease | None:
    """Compute a publication's certificate again, from the counts in its certificate.json; None: it has no such file.

    Raises:
        InputError: the file is not as `write_certificate` writes it, its counts give another certificate, or the
            codebook beside it is another one.
    """
    path = folder / CERTIFICATE
    if not path.is_file():
        return None
    try:
        held = _CertificateFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"'{path}' is no certificate: {where}: {first['msg']}") from None
    attributes = [Attribute(each.name, each.classes) for each in held.attributes]
    joint = math.prod(len(each.classes) for each in attributes)
    if len(held.counts) != joint or len({len(row) for row in held.counts}) != 1 or not held.counts[0]:
        raise InputError(f"'{path}' is no certificate: its counts are no table of {joint} joint classes")
    where_of = (held.setting, held.method, held.lam, held.seed)
    again = certify_release(where_of, np.array(held.counts, dtype=np.int64), attributes, held.delta, held.note)
    if (folder / CODEBOOK).is_file() and (codes := pq.read_metadata(folder / CODEBOOK).num_rows) != again.codes:
        raise InputError(f"'{path}' is about {again.codes} codes, and the codebook beside it has {codes}")
    if again.as_record() != held.certificate:
        raise InputError(f"'{path}' says what its counts don't: they were changed, or another version wrote it")
    return again
