"""Publication: clients answer with representations, the server checks them and keeps them as Parquet.

A part holds `client`, `record` (position within the client), of a release of codes `code`, and z000, z001, ...: no x,
no private label, no task. The manifest, release.json, has the checksums: a store that isn't as it was published is not
read. `publication_card` puts a card, and a codebook if there is one, beside it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.messages import (
    CONFIG,
    PUBLISH,
    REPRESENTATIONS,
    GroupArrays,
    Instruction,
    pack_arrays,
)
from fl_tiprdc.federated.part_check import Copies, Floats, check_part, read_codes, read_part
from fl_tiprdc.whole_file import write_whole
from strategies.hybrid_strategy import TooManyFailuresError
from strategies.roster import Roster

MANIFEST = "release.json"
DATASET_CARD, CODEBOOK = "README.md", "codebook.parquet"  # see `publication_card`


def _part_name(partition: int) -> str:
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
    write_whole(folder / _part_name(partition), data)
    return {"rows": len(z), "sha256": hashlib.sha256(data).hexdigest()}


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """What release.json says of each part: its rows and the SHA-256 of its bytes, by file name.

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
    """The parts of a store, their bytes, each as it was published, and the rows that they should have.

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
    """All parts of a store: client [n], record [n], z [n, d], in the order of clients and records.

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
    """The codes [n] of a store of a finite release, in the order of `read_store`; None: it has none.

    Raises:
        InputError: as `read_store`.
    """
    tables = [pq.read_table(pa.BufferReader(data)) for _, data, _ in whole_parts(folder)]
    if "code" not in tables[0].column_names:
        return None
    codes: npt.NDArray[np.int64] = pa.concat_tables(tables)["code"].to_numpy().astype(np.int64)
    return codes


def _clear(folder: Path) -> None:
    """Take an earlier release away, whole or half-written: its parts are none of the next one's."""
    own = (MANIFEST, DATASET_CARD, CODEBOOK)
    (folder / MANIFEST).unlink(missing_ok=True)
    for pattern in ("part-*.parquet", ".part-*.partial", *own, *(f".{name}.partial" for name in own)):
        for old in folder.glob(pattern):
            old.unlink()


def publish(
    grid: Grid,
    roster: Roster,
    groups: GroupArrays,
    instruction: Instruction,
    d: int,
    folder: Path,
    allowed_failures: float,
    timeout: float,
    on_part: Callable[[int], None] | None = None,
) -> int:
    """Ask every client for its representations, of `d` numbers each, and write those that pass the checks.

    The manifest, release.json, is written last: a folder without it holds no whole release. It names each part with
    its rows and SHA-256, says why others are not there, and how many nodes answered that are no clients.

    Returns:
        Bytes received.

    Raises:
        TooManyFailuresError: more clients failed, or sent what was refused, than allowed.
    """
    _clear(folder)
    packed = {name: pack_arrays(arrays) for name, arrays in groups.items()}
    content = RecordDict({**packed, CONFIG: instruction.pack()})
    codewords = groups["codes"]["codewords"] if "codes" in groups else None
    replies = grid.send_and_receive(
        [Message(content, dst_node_id=roster.node(p), message_type=PUBLISH) for p in roster.partitions],
        timeout=timeout,
    )
    sent: dict[int, list[Message]] = {partition: [] for partition in roster.partitions}
    strangers = 0  # no client's failure
    for reply in replies:
        partition = roster.partition_of.get(reply.metadata.src_node_id)
        if partition is None:
            strangers += 1
        else:
            sent[partition].append(reply)
    channel = instruction.method_config().channel
    copies = Copies(codewords is None and channel and instruction.sigma > 0)
    received = 0
    parts: dict[str, dict[str, int | str]] = {}
    refused: dict[int, str] = {}
    for partition, own in sent.items():
        if len(own) != 1:
            refused[partition] = f"client {partition} sent {len(own)} parts" if own else "no reply in time"
        elif own[0].has_error():
            refused[partition] = (str(own[0].error.reason).strip().splitlines() or [""])[-1]
        else:
            try:
                codes = None
                if codewords is None:
                    z = read_part(own[0].content, roster.size(partition))
                    check_part(z, d, instruction.sigma, channel)
                else:
                    codes = read_codes(own[0].content, roster.size(partition), len(codewords))
                    z = codewords[codes]
            except InputError as error:
                refused[partition] = f"client {partition}'s part {error}"
                continue
            if (first := copies.owner(z, partition)) is not None:  # whose it is, nobody can tell
                refused[partition] = f"client {partition}'s part is client {first}'s"
                refused[first] = f"client {first}'s part is client {partition}'s"
                if parts.pop(_part_name(first), None):
                    (folder / _part_name(first)).unlink()
                continue
            parts[_part_name(partition)] = write_part(folder, partition, z, codes)
            received += own[0].content.array_records[REPRESENTATIONS].count_bytes()
            if on_part is not None:
                on_part(len(parts))
    if len(refused) > allowed_failures * len(roster.partitions):
        reasons = [reason for reason in refused.values() if reason != "no reply in time"] or list(refused.values())
        raise TooManyFailuresError(
            f"{len(refused)} of {len(roster.partitions)} clients published nothing usable: {reasons[0]}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, object] = {"d": d, "sigma": instruction.sigma, "lam": instruction.lam, "clients": len(parts)}
    facts |= {"parts": parts, "refused": dict(sorted(refused.items())), "strangers": strangers}
    write_whole(folder / MANIFEST, json.dumps(facts, indent=1).encode())
    return received
