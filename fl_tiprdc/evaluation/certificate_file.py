"""The certificate that travels with a publication: certificate.json, from whose counts anybody computes it again."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet as pq
from pyarrow import ArrowInvalid
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fl_tiprdc.data.crowd import Attribute, Ints
from fl_tiprdc.data.publication_store import CERTIFICATE, CODEBOOK
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.certified import CertifiedRelease, certify_tables, tables_of
from fl_tiprdc.whole_file import write_whole


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Count = Annotated[int, Field(ge=0, le=10**9)]


class _Attribute(_Strict):
    name: str
    classes: tuple[str, ...] = Field(min_length=2)
    counts: tuple[tuple[Count, ...], ...]  # [classes][codes]: of no two attributes together


class _CertificateFile(_Strict):
    """Hold which release it is of, what it hides, and how often certifying people published which code."""

    setting: str
    method: str
    lam: float
    seed: int
    delta: float = Field(gt=0, lt=1)
    attributes: tuple[_Attribute, ...] = Field(min_length=1)
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
        attributes=tuple(
            _Attribute(name=each.name, classes=each.classes, counts=tuple(tuple(row) for row in table.tolist()))
            for each, table in zip(attributes, tables_of(counts, attributes), strict=True)
        ),
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
    widths = {len(row) for each in held.attributes for row in each.counts}
    if any(len(each.counts) != len(each.classes) for each in held.attributes) or len(widths) != 1 or 0 in widths:
        raise InputError(f"'{path}' is no certificate: its counts are no table of classes and codes")
    tables = [np.array(each.counts, dtype=np.int64) for each in held.attributes]
    where_of = (held.setting, held.method, held.lam, held.seed)
    again = certify_tables(where_of, tables, attributes, held.delta, held.note)
    if (folder / CODEBOOK).is_file() and (codes := _codes_in(folder / CODEBOOK)) != again.codes:
        raise InputError(f"'{path}' is about {again.codes} codes, and the codebook beside it has {codes}")
    if again.as_record() != held.certificate:
        raise InputError(f"'{path}' says what its counts don't: they were changed, or another version wrote it")
    return again


def _codes_in(path: Path) -> int:
    """Return the number of codes in a codebook; 0 if it can't be read."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (ArrowInvalid, OSError):
        return 0
