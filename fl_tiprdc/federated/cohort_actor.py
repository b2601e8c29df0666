"""Ray actor of the ray-cohort runtime, which trains cohorts of clients as stacked programs."""

import os
from typing import Any

import torch
from flwr.app import Message

from fl_tiprdc.federated.client_app import build_client_app, open_store, register_once, train_together
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.local_messages import answer, identify, node_context
from fl_tiprdc.hybrid.device import training_device
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.secagg.messages import MaskedCohort, SecureWork
from fl_tiprdc.wire.messages import CohortUpdate, Instruction


class CohortActor:
    """Works for clients in a process of its own, and keeps their records open.

    Args:
        store: folder of the client store.
        clients: number of clients.
        threads: number of torch's threads; few of them keep the actors of one machine from fighting over its cores.
        registered: `entries_of` the process that asks; empty: this is that process.
    """

    def __init__(self, store: str, clients: int, threads: int, registered: bytes = b"") -> None:
        torch.set_num_threads(threads)
        identify()
        self._store, self._clients, self._threads = store, clients, threads
        self._device = training_device()
        self._app = build_client_app(store, registered)
        self._registered = registered

    def pid(self) -> int:
        """Return the actor's process id."""
        return os.getpid()

    def train(
        self, instruction: Instruction, groups: GroupArrays, partitions: list[int], secure: SecureWork | None = None
    ) -> CohortUpdate | MaskedCohort | list[CohortUpdate | MaskedCohort | str]:
        """Return the cohort's updates, masked if `secure` asks for it.

        If the cohort fails as a whole, its clients are tried one by one, so that one client's fault doesn't spoil the
        others' updates. Then each client has an update of its own, or its error as text.
        """
        store = open_store(self._store)
        try:
            register_once(self._registered)
            return train_together(store, instruction, groups, partitions, secure, device=self._device)
        except Exception:
            return [self._train_alone(store, instruction, groups, partition, secure) for partition in partitions]

    def _train_alone(
        self,
        store: ClientStore,
        instruction: Instruction,
        groups: GroupArrays,
        partition: int,
        secure: SecureWork | None,
    ) -> CohortUpdate | MaskedCohort | str:
        try:
            register_once(self._registered)
            return train_together(store, instruction, groups, [partition], secure, device=self._device)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def handle(self, messages: list[Message]) -> list[Any]:
        """Return the ClientApp's replies to messages, one after the other."""
        replies = [
            answer(self._app, message, node_context(message.metadata.dst_node_id, self._clients))
            for message in messages
        ]
        torch.set_num_threads(self._threads)
        return replies
