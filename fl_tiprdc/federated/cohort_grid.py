"""The ray-cohort runtime: a Grid that deals a round's messages to Ray actors in cohorts."""

import logging
import time
from typing import Any

import ray
from flwr.app import Error, Message

from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohort_actor import CohortActor
from fl_tiprdc.federated.cohorts import Job, deal, replies_to
from fl_tiprdc.federated.local_grid import LOST, LocalGrid, stamp

TRIES = 2

log = logging.getLogger(__name__)


class RayCohortGrid(LocalGrid):
    """Flower's Grid on Ray actors that train whole cohorts of clients.

    Train messages that share their content are dealt to the actors in cohorts of near-equal numbers of records;
    other messages go to the ClientApp one by one. An actor that dies is replaced and its messages are tried once
    more; after that they are answered with an error.

    Args:
        store: the clients' records; actors on other machines must see the same folder.
        actors: number of actors.
        threads: torch threads of each.
        gpus: share of a GPU that each asks for.

    Raises:
        RuntimeError: Ray has not been started; see `launch.start_ray`.
    """

    def __init__(self, store: ClientStore, actors: int, threads: int = 1, gpus: float = 0.0) -> None:
        super().__init__(store)
        if not ray.is_initialized():  # else Ray would start itself, and join any cluster that was ever here
            raise RuntimeError("start Ray before a RayCohortGrid is made")
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        remote = ray.remote(**options)(CohortActor)
        self._make = lambda: remote.remote(str(store.root), len(store), threads)
        self._actors: list[Any] = [self._make() for _ in range(actors)]

    def pids(self) -> list[int]:
        """Process ids of the actors."""
        return [int(pid) for pid in ray.get([actor.pid.remote() for actor in self._actors])]

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def _start(self, job: Job, actor: Any) -> Any:
        if job.work is None:
            return actor.handle.remote(job.messages)
        instruction, groups, secure = job.work
        nodes = self.partitions()
        return actor.train.remote(instruction, groups, [nodes[m.metadata.dst_node_id] for m in job.messages], secure)

    def _answer(self, messages: list[Message], timeout: float | None) -> list[Message]:
        deadline = time.monotonic() + timeout if timeout else None
        waiting = deal(messages, self, len(self._actors), ray.put)[::-1]
        idle = list(range(len(self._actors)))
        running: dict[Any, tuple[Job, int]] = {}
        replies: list[Message] = []
        while waiting or running:
            while waiting and idle:
                job, place = waiting.pop(), idle.pop(0)
                job.tries += 1
                running[self._start(job, self._actors[place])] = (job, place)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _ = ray.wait(list(running), num_returns=1, timeout=left)
            if not ready:
                break
            job, place = running.pop(ready[0])
            idle.append(place)
            try:
                replies += replies_to(job, ray.get(ready[0]))
            except ray.exceptions.RayError as error:
                log.warning("an actor was lost with %d messages: %s", len(job.messages), type(error).__name__)
                self._replace(place)
                if job.tries < TRIES:
                    waiting.append(job)
                else:
                    replies += [
                        stamp(Message(Error(LOST, f"the client's process died {TRIES} times"), reply_to=m))
                        for m in job.messages
                    ]
        for _, place in running.values():
            self._replace(place)  # what was abandoned must not delay the next exchange
        return replies

    def _replace(self, place: int) -> None:
        ray.kill(self._actors[place])
        self._actors[place] = self._make()
