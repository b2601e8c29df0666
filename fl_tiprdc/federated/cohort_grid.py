"""The ray-cohort runtime: a Grid that deals a round's messages to Ray actors in cohorts."""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from flwr.app import Error, Message, MessageType

from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohort_actor import CohortActor
from fl_tiprdc.federated.local_grid import LOST, RAISED, LocalGrid, stamp
from fl_tiprdc.federated.messages import CONFIG, CohortUpdate, Instruction, LocalArrays, Update, unpack_groups
from fl_tiprdc.federated.secagg.messages import MaskedCohort, MaskedUpdate, SecureWork

LARGEST_COHORT = 64  # clients in one stacked program: beyond it, memory grows and speed doesn't
LARGEST_BUNDLE = 64  # messages for the ClientApp that go to an actor together
TRIES = 2

log = logging.getLogger(__name__)


@dataclass
class _Job:
    """Messages for one actor: a cohort to train (with instruction, masking and arrays), or a bundle to handle."""

    messages: list[Message]
    work: tuple[Instruction, Any, SecureWork | None] | None = None
    tries: int = 0


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

    def _jobs(self, messages: list[Message]) -> list[_Job]:
        alike: Mapping[tuple[int, ...], list[Message]] = defaultdict(list)
        singles: list[Message] = []
        for message in messages:
            if message.metadata.message_type == MessageType.TRAIN and CONFIG in message.content:
                alike[tuple(id(record) for record in message.content.values())].append(message)
            else:
                singles.append(message)
        jobs: list[_Job] = []
        for same in alike.values():
            content = same[0].content
            configs = content.config_records
            secure = SecureWork.found_in(configs)
            work = (Instruction.unpack(configs[CONFIG]), ray.put(unpack_groups(content)), secure)
            # longest first, dealt like cards there and back: cohorts of like size with clients of like size
            same.sort(key=lambda m: -int(self.store.sizes[self.partitions()[m.metadata.dst_node_id]]))
            count = len(self._actors) * -(-len(same) // (LARGEST_COHORT * len(self._actors)))
            count = min(count, len(same))
            cohorts: list[list[Message]] = [[] for _ in range(count)]
            for i, message in enumerate(same):
                lap, place = divmod(i, count)
                cohorts[place if lap % 2 == 0 else count - 1 - place].append(message)
            jobs += [_Job(cohort, work) for cohort in cohorts]
        size = max(1, min(LARGEST_BUNDLE, -(-len(singles) // len(self._actors))))
        jobs += [_Job(singles[i : i + size]) for i in range(0, len(singles), size)]
        return jobs

    def _start(self, job: _Job, actor: Any) -> Any:
        if job.work is None:
            return actor.handle.remote(job.messages)
        instruction, groups, secure = job.work
        nodes = self.partitions()
        return actor.train.remote(instruction, groups, [nodes[m.metadata.dst_node_id] for m in job.messages], secure)

    def _replies(self, job: _Job, results: Any) -> list[Message]:
        if job.work is None:
            return list(results)
        updates: list[Update | MaskedUpdate | str] = []
        if isinstance(results, (CohortUpdate, MaskedCohort)):
            updates += (results[i] for i in range(len(results)))
        else:
            updates += (one if isinstance(one, str) else one[0] for one in results)
        replies: list[Message] = []
        for message, update in zip(job.messages, updates, strict=True):
            content = Error(RAISED, update) if isinstance(update, str) else update.pack(LocalArrays)
            replies.append(stamp(Message(content, reply_to=message)))
        return replies

    def _answer(self, messages: list[Message], timeout: float | None) -> list[Message]:
        deadline = time.monotonic() + timeout if timeout else None
        waiting = self._jobs(messages)[::-1]
        idle = list(range(len(self._actors)))
        running: dict[Any, tuple[_Job, int]] = {}
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
                replies += self._replies(job, ray.get(ready[0]))
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
