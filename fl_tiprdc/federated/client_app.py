"""Flower ClientApp, which hands messages to local work and packs the answers."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod

from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_store import ClientStore, Store
from fl_tiprdc.federated.local_work import perform, publication_of, with_kept
from fl_tiprdc.federated.masked_work import ledger_of, member_of, perform_masked
from fl_tiprdc.hybrid.registered import register
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.secagg.messages import (
    NEXT,
    OPENING,
    PUBLIC_KEY_FIELD,
    SESSION,
    MaskedCohort,
    OpenRequest,
    SecureWork,
    Session,
)
from fl_tiprdc.wire.messages import (
    CONFIG,
    RECORDS,
    REPRESENTATIONS,
    SEED_FIELD,
    CohortUpdate,
    Instruction,
    pack_arrays,
    unpack_groups,
)

Disk = Callable[[Context, int], Store]  # node and seed of an experiment -> store of the node's records
LEAST_SIGMA = "least-sigma"  # key of a node's config: it publishes nothing with less noise


@lru_cache(maxsize=1)
def open_store(root: str) -> ClientStore:
    """Return the store at `root`, which a process opens once, and of which it forgets all when it opens another."""
    return ClientStore(Path(root))


@lru_cache(maxsize=1)
def register_once(registered: bytes) -> None:
    """Register what `entries_of` the process that started this one returned; empty: this is that process."""
    if registered:
        register(registered)


def build_client_app(root: str, registered: bytes = b"") -> ClientApp:
    """Return a ClientApp whose clients keep their records in the client store at `root`.

    Args:
        root: folder of the store.
        registered: `entries_of` this process, for an app that is sent to others; empty: it stays here.
    """

    def disk(context: Context, seed: int) -> Store:
        register_once(registered)
        return open_store(root)

    return client_app_of(disk)


def client_app_of(disk: Disk, mods: Sequence[Mod] = ()) -> ClientApp:
    """Return a ClientApp whose clients keep their records in `disk`'s store; `mods` see every message before it."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        configs = message.content.config_records
        instruction, secure = Instruction.unpack(configs[CONFIG]), SecureWork.found_in(configs)
        store = disk(context, instruction.seed)
        groups, partitions = unpack_groups(message.content), [_partition(context)]
        update = train_together(store, instruction, groups, partitions, secure, context)[0]
        return Message(update.pack(), reply_to=message)

    @app.query("who")
    def who(message: Message, context: Context) -> Message:
        partition = _partition(context)
        store = disk(context, int(message.content.config_records[CONFIG].get(SEED_FIELD, 0)))
        config = ConfigRecord({"partition-id": partition, RECORDS: store.size(partition)})
        return Message(RecordDict({CONFIG: config}), reply_to=message)

    @app.query("keys")
    def keys(message: Message, context: Context) -> Message:
        partition = _partition(context)
        member = member_of(disk(context, int(message.content.config_records[SESSION][SEED_FIELD])), partition)
        return Message(RecordDict({SESSION: ConfigRecord({PUBLIC_KEY_FIELD: member.key})}), reply_to=message)

    @app.query("shares")
    def shares(message: Message, context: Context) -> Message:
        session = Session.unpack(message.content.config_records[SESSION])
        member = member_of(disk(context, session.seed), _partition(context))
        return Message(RecordDict({SESSION: member.share(session).pack()}), reply_to=message)

    @app.query("open")
    def open_sum(message: Message, context: Context) -> Message:
        configs, partition = message.content.config_records, _partition(context)
        session, request = Session.unpack(configs[SESSION]), OpenRequest.unpack(configs[OPENING])
        store = disk(context, session.seed)
        member = member_of(store, partition)
        content = RecordDict({OPENING: member.open(session, request, ledger_of(store, partition, context)).pack()})
        if NEXT in configs:
            content[NEXT] = member.share(Session.unpack(configs[NEXT])).pack()
        return Message(content, reply_to=message)

    @app.query("publish")
    def publish(message: Message, context: Context) -> Message:
        instruction = Instruction.unpack(message.content.config_records[CONFIG])
        store = disk(context, instruction.seed)
        groups = with_kept(store, instruction, unpack_groups(message.content))
        require_noise(instruction, groups, float(context.node_config.get(LEAST_SIGMA, 0.0)))
        z, codes = publication_of(store, _partition(context), instruction, groups)
        # the server has the codewords
        sent: dict[str, npt.NDArray[Any]] = {"z": z} if codes is None else {"code": codes.astype(np.uint16)}
        return Message(RecordDict({REPRESENTATIONS: pack_arrays(sent)}), reply_to=message)

    return app


def train_together(
    store: Store,
    instruction: Instruction,
    groups: GroupArrays,
    partitions: Sequence[int],
    secure: SecureWork | None,
    context: Context | None = None,
    device: torch.device | str = "cpu",
) -> CohortUpdate | MaskedCohort:
    """Carry out one instruction for clients that received the same message; return their updates, masked for a sum.

    Args:
        store: store of the clients' records.
        instruction: instruction in the message.
        groups: parameters in the message.
        partitions: partition ids of the clients.
        secure: sum that they are members of; None: updates aren't masked.
        context: of the clients' node; None: they are a simulation's.
        device: device that computes.
    """
    if secure is None:
        return perform(store, instruction, groups, partitions, device)
    return perform_masked(store, instruction, groups, partitions, secure, context, device)


def _partition(context: Context) -> int:
    return int(context.node_config["partition-id"])


def require_noise(instruction: Instruction, groups: Collection[str], least: float) -> None:
    """Check that a release has the noise that a client asks for, whatever the server says.

    Args:
        instruction: instruction to publish.
        groups: names of the groups that make the release; codes get no noise.
        least: smallest standard deviation that the client accepts.

    Raises:
        InputError: the release has less noise.
    """
    noisy = instruction.method_config().channel and "codes" not in groups
    sigma = instruction.sigma if noisy else 0.0
    if sigma < least:
        raise InputError(f"the server asks for a release with sigma {sigma:g}; this client's least is {least:g}")
