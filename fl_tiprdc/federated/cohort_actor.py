"""The Ray actor of the ray-cohort runtime: trains cohorts of clients as stacked programs."""

import os
from typing import Any

import torch
from flwr.app import Message

from fl_tiprdc.federated.client_app import build_client_app, open_store
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.local_grid import answer, identify, node_context
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.messages import CohortUpdate, GroupArrays, Instruction


class CohortActor:
    """Lives in a process of its own and keeps the clients' records open.

    Args:
        store: folder of the client store.
        clients: number of clients.
        threads: of torch, so that the actors of one machine don't fight over its cores.
    """

    def __init__(self, store: str, clients: int, threads: int) -> None:
        torch.set_num_threads(threads)
        identify()
        self._store, self._clients, self._threads = store, clients, threads
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._app = build_client_app(store)

    def pid(self) -> int:
        """The actor's process id."""
        return os.getpid()

    def train(
        self, instruction: Instruction, groups: GroupArrays, partitions: list[int]
    ) -> CohortUpdate | list[CohortUpdate | str]:
        """The cohort's updates; or, if it fails as a whole, each client's own: an update or its error as text.

        Then its clients are tried one by one, so that one client's fault is its own.
        """
        store = open_store(self._store)
        try:
            return perform(store, instruction, groups, partitions, self._device)
        except Exception:
            return [self._train_alone(store, instruction, groups, partition) for partition in partitions]

    def _train_alone(
        self, store: ClientStore, instruction: Instruction, groups: GroupArrays, partition: int
    ) -> CohortUpdate | str:
        try:
            return perform(store, instruction, groups, [partition], self._device)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def handle(self, messages: list[Message]) -> list[Any]:
        """Replies of the ClientApp, one message after the other."""
        replies = [
            answer(self._app, message, node_context(message.metadata.dst_node_id, self._clients))
            for message in messages
        ]
        torch.set_num_threads(self._threads)
        return replies
