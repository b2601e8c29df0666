"""Local work whose results leave the clients weighed, clipped, in fixed point and masked."""

from collections.abc import Sequence

import numpy as np
import torch
from flwr.app import ConfigRecord, Context

from fl_tiprdc.federated.client_store import ClientStore, Store
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.secagg.fixed_point import encode
from fl_tiprdc.secagg.masks import MaskStream
from fl_tiprdc.secagg.member import FileLedger, Ledger, SumMember
from fl_tiprdc.secagg.messages import MaskedCohort, SecureWork
from fl_tiprdc.wire.messages import Instruction
from fl_tiprdc.wire.phases import WEIGHTS
from fl_tiprdc.wire.update_rows import update_rows

LEDGER = "opened"


def member_of(store: Store, partition: int) -> SumMember:
    """Return a client of a store as a member of sums."""
    return SumMember(partition, store.secret(partition))


def ledger_of(store: Store, partition: int, context: Context | None) -> Ledger:
    """Return the ledger of what a client has masked and opened: beside a simulation's records, or in its node's state.

    Args:
        store: store of the client's records.
        partition: partition id of the client.
        context: of its node; None: its records are a simulation's.
    """
    if isinstance(store, ClientStore):
        return FileLedger(store.root / "opened" / str(partition))
    assert context is not None
    ledger: Ledger = context.state.setdefault(LEDGER, ConfigRecord({}))
    return ledger


def perform_masked(
    store: Store,
    instruction: Instruction,
    groups: GroupArrays,
    partitions: Sequence[int],
    secure: SecureWork,
    context: Context | None,
    device: torch.device | str = "cpu",
) -> MaskedCohort:
    """Carry out one instruction as `local_work.perform` does, and mask what each client adds to the sum.

    Args:
        store: store of the clients' records.
        instruction: instruction in the message.
        groups: parameters in the message.
        partitions: partition ids of the clients.
        secure: sum that they are members of.
        context: of the clients' node, see `ledger_of`.
        device: device that computes.

    Raises:
        InputError: a client's data can't be read.
        ValueError: a client takes no part in such a sum.
    """
    update, masks = perform(store, instruction, groups, partitions, device), secure.masks
    weights = [masks.weights[masks.present.index(partition)] for partition in partitions]
    origin = groups if instruction.phase in WEIGHTS else None
    rows = update_rows(update.groups, weights, origin, masks.clip or None)
    if masks.losses:
        rows = np.concatenate([rows, update.losses * np.array(weights)[:, None]], axis=1)
    words, stream = encode(rows), MaskStream(rows.shape[1])
    transcript = secure.transcript(instruction, groups)
    for row, partition in zip(words, partitions, strict=True):
        ledger = ledger_of(store, partition, context)
        member_of(store, partition).mask(secure.session, masks, transcript, row, stream, ledger)
    return MaskedCohort(words, instruction.exchange)
