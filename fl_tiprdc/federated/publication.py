"""Publication: clients answer with representations, the server checks them and keeps them as Parquet.

A part holds `client`, `record` (position within the client) and z000, z001, ...: no x, no private label, no task. The
manifest, release.json, has the checksums: a store that isn't as it was published is not read.
"""

import hashlib
import json
import math
from collections.abc import Callable
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
    Arrays,
    Instruction,
    pack_arrays,
    unpack_strictly,
)
from fl_tiprdc.whole_file import write_whole
from strategies.hybrid_strategy import TooManyFailuresError
from strategies.roster import Roster

Floats = npt.NDArray[np.float32]

MANIFEST = "release.json"


def check_part(z: Floats, d: int, sigma: float, bounded: bool) -> None:
    """Refuse what can't be a release of the channel.

    Args:
        z: what a client sent.
        d: numbers in a representation.
        sigma: the channel's noise.
        bounded: whether the method has a power-constrained channel.

    Raises:
        InputError: wrong shape or type, not finite, or a norm that the channel gives with probability < 1e-9.
    """
    if z.ndim != 2 or z.shape[1] != d or z.dtype != np.float32:
        raise InputError(f"has shape {z.shape} and type {z.dtype}, expected (n, {d}) of float32")
    if not np.isfinite(z).all():
        raise InputError("has values that are not finite")
    if bounded and len(z):
        largest = float(np.linalg.norm(z, axis=1).max())
        limit = 1.001 * math.sqrt(d) + sigma * (math.sqrt(d) + 6.5)  # ‖√d e + σ ε‖; ‖ε‖ < √d + t, P < exp(-t²/2)
        if largest > limit:
            raise InputError(f"has a norm of {largest:.2f}, the channel allows {limit:.2f}")


def _part_name(partition: int) -> str:
    return f"part-{partition:06d}.parquet"


def write_part(folder: Path, partition: int, z: Floats) -> dict[str, int | str]:
    """Write one client's part, whole or not at all.

    Returns:
        What the manifest says of it: its number of rows, and the SHA-256 of its bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, object] = {
        "client": np.full(len(z), partition, dtype=np.int32),
        "record": np.arange(len(z), dtype=np.int32),
    }
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


def read_store(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """All parts of a store: client [n], record [n], z [n, d], in the order of clients and records.

    What is read is what was written: each part's bytes are compared with the manifest before they are parsed.

    Raises:
        InputError: no part in the folder; or one that is missing, not of this release, or altered.
    """
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise InputError(f"'{folder}' holds no published part (part-*.parquet)")
    manifest = read_manifest(folder)
    for name in sorted(manifest.keys() ^ {part.name for part in parts}):
        raise InputError(f"'{folder / name}' {'is missing' if name in manifest else 'is no part of the release'}")
    tables = []
    for part in parts:
        data, promised = part.read_bytes(), manifest[part.name]
        if hashlib.sha256(data).hexdigest() != promised["sha256"]:
            raise InputError(f"'{part}' is not as it was published: its SHA-256 differs from the manifest's")
        table = pq.read_table(pa.BufferReader(data))
        if table.num_rows != promised["rows"]:
            raise InputError(f"'{part}' has {table.num_rows} rows, the manifest says {promised['rows']}")
        tables.append(table)
    table = pa.concat_tables(tables)
    names = sorted(name for name in table.column_names if name.startswith("z"))
    z = np.stack([table[name].to_numpy() for name in names], axis=1)
    return table["client"].to_numpy().astype(np.int64), table["record"].to_numpy().astype(np.int64), z


def _representations(content: RecordDict, records: int) -> Floats:
    """What a client sent, [n, d], before `check_part`; n is at most its number of records."""
    if set(content) != {REPRESENTATIONS} or set(content.array_records.get(REPRESENTATIONS, ())) != {"z"}:
        raise InputError(f"isn't the one array asked for: it has {', '.join(sorted(map(str, content)))[:200]}")
    array = content.array_records[REPRESENTATIONS]["z"]
    if array.shape and array.shape[0] > records:  # before its bytes are looked at
        raise InputError(f"has {array.shape[0]} records; the client said to hold {records}")
    try:
        return unpack_strictly(array)
    except ValueError as error:
        raise InputError(str(error)) from None


def publish(
    grid: Grid,
    roster: Roster,
    extractor: Arrays,
    instruction: Instruction,
    d: int,
    folder: Path,
    allowed_failures: float,
    timeout: float,
    on_part: Callable[[int], None] | None = None,
) -> int:
    """Ask every client for its representations, of `d` numbers each, and write those that pass the checks.

    The manifest, release.json, is written last: a folder without it holds no whole release. It names each part with
    its rows and SHA-256, and says why others are not there.

    Returns:
        Bytes received.

    Raises:
        TooManyFailuresError: more clients failed, or sent what was refused, than allowed.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    for old in folder.glob("part-*.parquet"):  # an earlier release's parts are none of this one's
        old.unlink()
    content = RecordDict({"extractor": pack_arrays(extractor), CONFIG: instruction.pack()})
    replies = grid.send_and_receive(
        [Message(content, dst_node_id=roster.node(p), message_type=PUBLISH) for p in roster.partitions],
        timeout=timeout,
    )
    sent: dict[int, list[Message]] = {partition: [] for partition in roster.partitions}
    for reply in replies:
        partition = roster.partition_of.get(reply.metadata.src_node_id)
        if partition is not None:  # else it is a stranger's, and no client's failure
            sent[partition].append(reply)
    channel = instruction.method_config().channel
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
                z = _representations(own[0].content, roster.size(partition))
                check_part(z, d, instruction.sigma, channel)
            except InputError as error:
                refused[partition] = f"client {partition}'s part {error}"
                continue
            parts[_part_name(partition)] = write_part(folder, partition, z)
            received += own[0].content.array_records[REPRESENTATIONS].count_bytes()
            if on_part is not None:
                on_part(len(parts))
    if len(refused) > allowed_failures * len(roster.partitions):
        reasons = [reason for reason in refused.values() if reason != "no reply in time"] or list(refused.values())
        raise TooManyFailuresError(
            f"{len(refused)} of {len(roster.partitions)} clients published nothing usable: {reasons[0]}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"d": d, "sigma": instruction.sigma, "lam": instruction.lam, "clients": len(parts)}
    write_whole(folder / MANIFEST, json.dumps({**facts, "parts": parts, "refused": refused}, indent=1).encode())
    return received
