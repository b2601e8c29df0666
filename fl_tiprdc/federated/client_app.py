"""The Flower ClientApp: hands messages to local work and packs the answers."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_store import ClientStore, Store
from fl_tiprdc.federated.keyed_noise import KeyedNoise
from fl_tiprdc.federated.local_work import to_tensors
from fl_tiprdc.federated.messages import (
    CONFIG,
    RECORDS,
    REPRESENTATIONS,
    SEED,
    Instruction,
    pack_arrays,
    unpack_arrays,
    unpack_groups,
)
from fl_tiprdc.federated.secagg.messages import KEY, OPENING, SESSION, OpenRequest, SecureWork, Session
from fl_tiprdc.federated.secagg.work import answer_train, ledger_of, member_of
from fl_tiprdc.hybrid.step import HybridStep

Disk = Callable[[Context, int], Store]  # from a node and an experiment seed to where its records are
LEAST_SIGMA = "least-sigma"  # of a node's config: it publishes nothing with less noise

_stores: dict[str, ClientStore] = {}


def open_store(root: str) -> ClientStore:
    """The store at `root`, opened once in a process."""
    if root not in _stores:
        _stores[root] = ClientStore(Path(root))
    return _stores[root]


def build_client_app(root: str) -> ClientApp:
    """A ClientApp whose clients keep their records in the client store at `root`."""
    return client_app_of(lambda context, seed: open_store(root))


def client_app_of(disk: Disk) -> ClientApp:
    """A ClientApp whose clients keep their records where `disk` says."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        configs = message.content.config_records
        instruction, secure = Instruction.unpack(configs[CONFIG]), SecureWork.found_in(configs)
        store = disk(context, instruction.seed)
        update = answer_train(store, instruction, unpack_groups(message.content), [_partition(context)], secure)[0]
        return Message(update.pack(), reply_to=message)

    @app.query("who")
    def who(message: Message, context: Context) -> Message:
        partition = _partition(context)
        store = disk(context, int(message.content.config_records[CONFIG].get(SEED, 0)))
        config = ConfigRecord({"partition-id": partition, RECORDS: store.size(partition)})
        return Message(RecordDict({CONFIG: config}), reply_to=message)

    @app.query("keys")
    def keys(message: Message, context: Context) -> Message:
        partition = _partition(context)
        member = member_of(disk(context, int(message.content.config_records[SESSION][SEED])), partition)
        return Message(RecordDict({SESSION: ConfigRecord({KEY: member.key})}), reply_to=message)

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
        opened = member_of(store, partition).open(session, request, ledger_of(store, partition, context))
        return Message(RecordDict({OPENING: opened.pack()}), reply_to=message)

    @app.query("publish")
    def publish(message: Message, context: Context) -> Message:
        instruction = Instruction.unpack(message.content.config_records[CONFIG])
        extractor = unpack_arrays(message.content.array_records["extractor"])
        require_noise(instruction, float(context.node_config.get(LEAST_SIGMA, 0.0)))
        z = representations(disk(context, instruction.seed), _partition(context), instruction, extractor)
        return Message(RecordDict({REPRESENTATIONS: pack_arrays({"z": z})}), reply_to=message)

    return app


def _partition(context: Context) -> int:
    return int(context.node_config["partition-id"])


def require_noise(instruction: Instruction, least: float) -> None:
    """Check that a release has the noise that a client asks for, whatever the server says.

    Raises:
        InputError: it has less.
    """
    sigma = instruction.sigma if instruction.method_config().channel else 0.0
    if sigma < least:
        raise InputError(f"the server asks for a release with sigma {sigma:g}; this client's least is {least:g}")


def representations(
    store: Store, partition: int, instruction: Instruction, extractor: dict[str, np.ndarray]
) -> np.ndarray:
    """What one client publishes: [n, d] float32.

    The noise derives from the client's secret and the release (extractor and channel), not from the query: who
    asks twice for the same release gets the same numbers and can't average the noise away.
    """
    records = store.records(partition)
    step = HybridStep(store.description, instruction.network_config(), instruction.method_config())
    digest = hashlib.sha256()
    for name in sorted(extractor):
        digest.update(name.encode() + np.ascontiguousarray(extractor[name]).tobytes())
    key = "\x1f".join([str(store.secret(partition)), "publication", digest.hexdigest(), str(instruction.sigma)])
    parameters = to_tensors({"extractor": extractor})["extractor"]
    return step.release_all(parameters, records.x, KeyedNoise(key.encode()), instruction.sigma)
