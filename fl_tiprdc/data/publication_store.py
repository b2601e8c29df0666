"""The Parquet store of a publication: one part for each client, and a manifest with their checksums.

A part holds `client`, `record` (position within the client), of a release of codes `code`, and z000, z001, ...: no x,
no private label, no task. A store that isn't as it was published is not read.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.errors import InputError
from fl_tiprdc.whole_file import write_whole

MANIFEST = "release.json"
DATASET_CARD, CODEBOOK = "README.md", "codebook.parquet"  # see `publication_card`
CERTIFICATE = "certificate.json"  # see `evaluation.certificate_file`


def part_name(partition: int) -> str:
    """Return the file name of a client's part."""
    return f"part-{partition:06d}.parquet"


def write_part(
    folder: Path, partition: int, z: Floats, codes: npt.NDArray[np.uint16] | None = None
) -> dict[str, int | str]:
    """Write one client's part, whole or not at all; of a finite release with the codes [n] that z [n, d] stand for.

    Returns:
        What the manifest says of it: its number of rows, and the SHA-256 of its bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, object] = {
        "client": np.full(len(z), partition, dtype=np.int32),
        "record": np.arange(len(z), dtype=np.int32),
    }
    columns |= {} if codes is None else {"code": codes}
    columns |= {f"z{i:03d}": z[:, i] for i in range(z.shape[1])}
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), buffer, compression="zstd", use_dictionary=False)
    data = memoryview(buffer.getvalue())
    write_whole(folder / part_name(partition), data)
    return {"rows": len(z), "sha256": hashlib.sha256(data).hexdigest()}


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what release.json says of each part: its rows and the SHA-256 of its bytes, by file name.

    Raises:
        InputError: it is missing or unreadable; then the folder holds no whole release.
    """
    path = folder / MANIFEST
    try:
        parts = json.loads(path.read_text())["parts"]
        return {str(name): {"rows": int(p["rows"]), "sha256": str(p["sha256"])} for name, p in parts.items()}
    except OSError as error:
        raise InputError(f"'{folder}' is no whole release: cannot read {MANIFEST}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"'{path}' is no manifest of a release") from None


def whole_parts(folder: Path) -> Iterator[tuple[Path, bytes, int]]:
    """Yield the parts of a store, their bytes, each as it was published, and the rows that they should have.

    Raises:
        InputError: no part in the folder; or one that is missing, not of this release, or altered.
    """
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise InputError(f"'{folder}' holds no published part (part-*.parquet)")
    manifest = read_manifest(folder)
    for name in sorted(manifest.keys() ^ {part.name for part in parts}):
        raise InputError(f"'{folder / name}' {'is missing' if name in manifest else 'is no part of the release'}")
    for part in parts:
        data = part.read_bytes()
        if hashlib.sha256(data).hexdigest() != manifest[part.name]["sha256"]:
            raise InputError(f"'{part}' is not as it was published: its SHA-256 differs from the manifest's")
        yield part, data, manifest[part.name]["rows"]


def read_store(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """Return all parts of a store: client [n], record [n], z [n, d], in the order of clients and records.

    What is read is what was written: each part's bytes are compared with the manifest before they are parsed.

    Raises:
        InputError: no part in the folder; or one that is missing, not of this release, or altered.
    """
    tables = []
    for part, data, rows in whole_parts(folder):
        tables.append(pq.read_table(pa.BufferReader(data)))
        if tables[-1].num_rows != rows:
            raise InputError(f"'{part}' has {tables[-1].num_rows} rows, the manifest says {rows}")
    table = pa.concat_tables(tables)
    names = sorted(name for name in table.column_names if name.startswith("z"))
    z = np.stack([table[name].to_numpy() for name in names], axis=1)
    return table["client"].to_numpy().astype(np.int64), table["record"].to_numpy().astype(np.int64), z


def read_published_codes(folder: Path) -> npt.NDArray[np.int64] | None:
    """Return the codes [n] of a store of a finite release, in the order of `read_store`; None: it has none.

    Raises:
        InputError: as `read_store`.
    """
    tables = [pq.read_table(pa.BufferReader(data)) for _, data, _ in whole_parts(folder)]
    if "code" not in tables[0].column_names:
        return None
    codes: npt.NDArray[np.int64] = pa.concat_tables(tables)["code"].to_numpy().astype(np.int64)
    return codes


def clear(folder: Path) -> None:
    """Take an earlier release away, whole or half-written: its parts are none of the next one's."""
    own = (MANIFEST, DATASET_CARD, CODEBOOK, CERTIFICATE)
    (folder / MANIFEST).unlink(missing_ok=True)
    for pattern in ("part-*.parquet", ".part-*.partial", *own, *(f".{name}.partial" for name in own)):
        for old in folder.glob(pattern):
            old.unlink()
