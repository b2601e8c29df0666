"""Publication: clients answer with representations, the server checks them and keeps them as Parquet.

A part holds `client`, `record` (position within the client) and z000, z001, ...: no x, no private label, no task.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.messages import CONFIG, PUBLISH, Arrays, Instruction, pack_arrays, unpack_array
from strategies.hybrid_strategy import TooManyFailuresError
from strategies.roster import Roster

Floats = npt.NDArray[np.float32]


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


def write_part(folder: Path, partition: int, z: Floats) -> Path:
    """Write one client's part, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, object] = {
        "client": np.full(len(z), partition, dtype=np.int32),
        "record": np.arange(len(z), dtype=np.int32),
    }
    columns |= {f"z{i:03d}": z[:, i] for i in range(z.shape[1])}
    path = folder / f"part-{partition:06d}.parquet"
    partial = path.with_suffix(".partial")
    pq.write_table(pa.table(columns), partial, compression="zstd", use_dictionary=False)
    partial.replace(path)
    return path


def read_store(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """All parts of a store: client [n], record [n], z [n, d], in the order of clients and records.

    Raises:
        InputError: no part in the folder.
    """
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise InputError(f"'{folder}' holds no published part (part-*.parquet)")
    table = pa.concat_tables([pq.read_table(part) for part in parts])
    names = sorted(name for name in table.column_names if name.startswith("z"))
    z = np.stack([table[name].to_numpy() for name in names], axis=1)
    return table["client"].to_numpy().astype(np.int64), table["record"].to_numpy().astype(np.int64), z


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

    Returns:
        Bytes received.

    Raises:
        TooManyFailuresError: more clients failed, or sent what was refused, than allowed.
    """
    content = RecordDict({"extractor": pack_arrays(extractor), CONFIG: instruction.pack()})
    replies = grid.send_and_receive(
        [Message(content, dst_node_id=roster.node(p), message_type=PUBLISH) for p in roster.partitions],
        timeout=timeout,
    )
    method = instruction.method_config()
    received, good, reason = 0, 0, "no reply in time"
    for reply in roster.sorted(replies):
        partition = roster.partition_of[reply.metadata.src_node_id]
        if reply.has_error():
            reason = str(reply.error.reason).strip().splitlines()[-1]
            continue
        record = reply.content.array_records["representations"]
        try:
            z = unpack_array(record["z"])
            check_part(z, d, instruction.sigma, method.channel)
        except (InputError, KeyError, ValueError) as error:
            reason = f"client {partition}'s part {error}"
            continue
        write_part(folder, partition, z)
        received += record.count_bytes()
        good += 1
        if on_part is not None:
            on_part(good)
    failures = len(roster.partitions) - good
    if failures > allowed_failures * len(roster.partitions):
        raise TooManyFailuresError(f"{failures} of {len(roster.partitions)} clients published nothing usable: {reason}")
    (folder / "release.json").write_text(
        json.dumps({"d": d, "sigma": instruction.sigma, "lam": instruction.lam, "clients": good}, indent=1)
    )
    return received
