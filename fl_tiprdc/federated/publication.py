"""Publication: clients answer with representations, the server checks them and keeps them as Parquet.

A part holds `client`, `record` (position within the client), for a release of codes `code`, and z000, z001, ...: no x,
no private label, no task. The manifest, release.json, has the checksums: a store that isn't as it was published is not
read. `publication_card` puts a card beside it, and a codebook if there is one.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fl_tiprdc.data.publication_store import MANIFEST, clear, part_name, write_part
from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.federated.publication_check import Copies, PartCheck
from fl_tiprdc.moved import names_moved_from
from fl_tiprdc.release.arrays import GroupArrays, digest_of
from fl_tiprdc.whole_file import write_whole
from fl_tiprdc.wire.messages import CONFIG, PUBLISH, Instruction, pack_arrays
from strategies.reply_check import sort_replies
from strategies.roster import Roster


class Traffic(NamedTuple):
    """Bytes of the arrays that a publication sent to clients, and of those that came back."""

    down: int
    up: int


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
    kept: Collection[int] = (),
) -> Traffic:
    """Ask every client for its representations, of `d` numbers each, and write those that pass the checks.

    The manifest, release.json, is written last: a folder without it holds no whole release. It names each part with
    its rows and SHA-256, and says why others are not there and how many nodes answered that are no clients.

    The clients `kept` have all groups from the questions of a fit; they are sent to the others, and to those who have
    lost them.

    Raises:
        TooManyFailuresError: more clients than allowed failed, or sent a part that was refused.
    """
    clear(folder)
    packed = {name: pack_arrays(arrays) for name, arrays in groups.items()}
    codewords = groups["codes"]["codewords"] if "codes" in groups else None
    sent = 0

    def ask(partitions: Sequence[int], names: Iterable[str], asked: Instruction) -> list[Message]:
        nonlocal sent
        records = {name: packed[name] for name in names}
        sent += len(partitions) * sum(record.count_bytes() for record in records.values())
        content = RecordDict({**records, CONFIG: asked.pack()})
        messages = [Message(content, dst_node_id=roster.node(p), message_type=PUBLISH) for p in partitions]
        return list(grid.send_and_receive(messages, timeout=timeout)) if messages else []

    digests = {name: digest_of(arrays) for name, arrays in groups.items()}
    named = replace(instruction, extractor=digests["extractor"], codes=digests.get("codes", ""))
    replies = ask(sorted(kept), (), named)
    failed = {reply.metadata.src_node_id for reply in replies if reply.has_error()} & roster.partition_of.keys()
    replies = [reply for reply in replies if reply.metadata.src_node_id not in failed]
    lacking = {roster.partition_of[node] for node in failed} | (set(roster.partitions) - set(kept))
    replies += ask(sorted(lacking), packed, instruction)
    channel = instruction.method_config().channel
    check = PartCheck(d, instruction.sigma, channel, codewords)
    checked = sort_replies(replies, roster.partitions, roster, check)
    refused = {refusal.partition: refusal.reason for refusal in checked.refused if refusal.partition is not None}
    copies = Copies(codewords is None and channel and instruction.sigma > 0)
    received = 0
    parts: dict[str, dict[str, int | str]] = {}
    for partition, part in checked.good.items():
        if (first := copies.owner(part.z, partition)) is not None:  # nobody can tell whose it is
            refused[partition] = f"client {partition}'s part is client {first}'s"
            refused[first] = f"client {first}'s part is client {partition}'s"
            if parts.pop(part_name(first), None):
                (folder / part_name(first)).unlink()
            continue
        parts[part_name(partition)] = write_part(folder, partition, part.z, part.codes)
        received += part.sent
        if on_part is not None:
            on_part(len(parts))
    if len(refused) > roster.may_fail(allowed_failures, len(roster.partitions)):
        reasons = [reason for reason in refused.values() if reason != "no reply in time"] or list(refused.values())
        raise TooManyFailuresError(
            f"{len(refused)} of {len(roster.partitions)} clients published nothing usable: {reasons[0]}"
        )
    refused |= dict.fromkeys(roster.absent, "isn't there")
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, object] = {"d": d, "sigma": instruction.sigma, "lam": instruction.lam, "clients": len(parts)}
    facts |= {
        "parts": parts,
        "refused": {str(partition): reason for partition, reason in sorted(refused.items())},
        "strangers": checked.strangers,
    }
    write_whole(folder / MANIFEST, json.dumps(facts, indent=1).encode())
    return Traffic(sent, received)


if not TYPE_CHECKING:  # type checkers know the current names only
    __getattr__ = names_moved_from(__name__)
