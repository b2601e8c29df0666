"""Grid of a training in one process: clients work in cohorts beside the server, and no exchange waits for a process."""

import time
from typing import Any

from flwr.app import Message

from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohort_actor import CohortActor
from fl_tiprdc.federated.cohorts import as_it_is, deal_messages, replies_to
from fl_tiprdc.federated.local_grid import LocalGrid


class SingleProcessGrid(LocalGrid):
    """Trains clients in this process, in cohorts.

    Args:
        store: store of the clients' records.
        threads: number of torch's threads.
    """

    def __init__(self, store: ClientStore, threads: int = 1) -> None:
        super().__init__(store)
        self._actor = CohortActor(str(store.root), len(store), threads)

    def _answer(self, messages: list[Message], timeout: float | None) -> list[Message]:
        deadline = time.monotonic() + timeout if timeout else None
        nodes = self.partitions()
        replies: list[Message] = []
        for job in deal_messages(messages, self, 1, as_it_is):
            if deadline is not None and time.monotonic() > deadline:
                break
            if job.work is None:
                results: Any = self._actor.handle(job.messages)
            else:
                instruction, groups, secure = job.work
                clients = [nodes[message.metadata.dst_node_id] for message in job.messages]
                results = self._actor.train(instruction, groups, clients, secure)
            replies += replies_to(job, results)
        return replies
