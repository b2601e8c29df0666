"""Grid of the ray-cohort runtime, which deals a round's messages to Ray actors in cohorts."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from flwr.app import Error, Message

from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohort_actor import CohortActor
from fl_tiprdc.federated.cohorts import CohortJob, deal_messages, replies_to
from fl_tiprdc.federated.local_grid import LocalGrid
from fl_tiprdc.federated.local_messages import LOST, stamp
from fl_tiprdc.federated.quorum import Enough
from fl_tiprdc.hybrid.registered import entries_of

TRIES_PER_JOB = 2
DIED, HUNG = "actor-died", "actor-hung"  # kinds of loss

log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """Follows what an actor does.

    Attributes:
        actor: handle of the process.
        busy: future of what it will return: its process id when it has started, or a job's results; None: it is idle.
        job: job that it works on; None while it starts.
        until: time at which it has taken too long.
        stale: says that nobody waits for its results any more.
    """

    actor: Any
    busy: Any = None
    job: CohortJob | None = None
    until: float = math.inf
    stale: bool = False


class RayCohortGrid(LocalGrid):
    """Sends Flower's messages to Ray actors that train whole cohorts of clients.

    Train messages that share their content are dealt to the actors in cohorts of near-equal numbers of records;
    other messages go to the ClientApp one by one. An actor that dies, or that takes more than `together` of an
    exchange's time, is replaced. Its clients are asked once more, each alone and for at most `alone` of the time, so
    that the one at fault is found. If a client's process dies again, the reply is an error, and the client is asked
    alone from then on.

    Args:
        store: store of the clients' records; actors on other machines must see the same folder.
        actors: number of actors.
        threads: number of torch's threads in each actor.
        gpus: share of a GPU that each actor asks for.

    Attributes:
        actor: what works in an actor's process.
        together: share of an exchange's time that a cohort may take.
        alone: share that a client may take which is asked alone.

    Raises:
        RuntimeError: Ray has not been started; see `launch.start_ray`.
    """

    actor: type[CohortActor] = CohortActor
    together, alone = 3 / 4, 1 / 16

    def __init__(self, store: ClientStore, actors: int, threads: int = 1, gpus: float = 0.0) -> None:
        super().__init__(store)
        if not ray.is_initialized():  # else Ray would start itself, and join any cluster that was ever here
            raise RuntimeError("start Ray before a RayCohortGrid is made")
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        remote = ray.remote(**options)(self.actor)
        registered = ray.put(entries_of())
        self._make = lambda: remote.remote(str(store.root), len(store), threads, registered)
        self._workers = [_Worker(self._make()) for _ in range(actors)]
        self._alone: set[int] = set()  # nodes that are asked alone
        self._losses: Counter[str] = Counter()
        self._unborn = 0  # number of actors in a row that died before they had started

    def pids(self) -> list[int]:
        """Return the actors' process ids."""
        return [int(pid) for pid in ray.get([worker.actor.pid.remote() for worker in self._workers])]

    def close(self) -> None:
        """End the actors."""
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []

    def take_losses(self) -> Mapping[str, int]:
        """Return how many actors were lost since the last call, by kind."""
        losses, self._losses = self._losses, Counter()
        return losses

    def answer_until(self, messages: Iterable[Message], timeout: float | None, enough: Enough) -> list[Message]:
        """Return the replies to messages: all, or those that came before they were `enough` or `timeout` was over."""
        return self.answer_all([stamp(message) for message in messages], timeout, enough)

    def answer_all(self, messages: list[Message], timeout: float | None, enough: Enough | None = None) -> list[Message]:
        """Return the actors' replies: all, or those that came before they were `enough` or `timeout` was over."""
        deadline = time.monotonic() + timeout if timeout else math.inf
        waiting = self._jobs(messages)
        replies: list[Message] = []
        while waiting or any(worker.job and not worker.stale for worker in self._workers):
            if time.monotonic() >= deadline or (enough and enough(replies)):
                break
            if waiting and all(worker.stale for worker in self._workers):
                self._replace(self._workers[0])  # abandoned work would delay this exchange
            for worker in self._workers:
                if waiting and worker.busy is None:
                    self._start(worker, waiting.pop(0), timeout)
            for worker in self._wait(deadline):
                replies += self._collect(worker, waiting)
        for worker in self._workers:
            if worker.job and not worker.stale:
                worker.stale = True
                if time.monotonic() >= deadline:
                    self._lose(worker, HUNG)
        return replies

    def _jobs(self, messages: list[Message]) -> list[CohortJob]:
        """Return the jobs in order; clients that are asked alone come last."""
        first: list[CohortJob] = []
        last: list[CohortJob] = []
        for job in deal_messages(messages, self.records, len(self._workers), ray.put):
            together = [message for message in job.messages if message.metadata.dst_node_id not in self._alone]
            last += [CohortJob([message], job.work) for message in job.messages if message not in together]
            first += [CohortJob(together, job.work)] if together else []
        return first + last

    def _start(self, worker: _Worker, job: CohortJob, timeout: float | None) -> None:
        job.tries += 1
        suspect = len(job.messages) == 1 and (job.tries > 1 or self._suspected(job))
        worker.job, worker.stale = job, False
        share = self.alone if suspect else self.together
        worker.until = time.monotonic() + share * timeout if timeout else math.inf
        if job.work is None:
            worker.busy = worker.actor.handle.remote(job.messages)
            return
        instruction, groups, secure = job.work
        nodes = self.partitions()
        clients = [nodes[message.metadata.dst_node_id] for message in job.messages]
        worker.busy = worker.actor.train.remote(instruction, groups, clients, secure)

    def _suspected(self, job: CohortJob) -> bool:
        return job.messages[0].metadata.dst_node_id in self._alone

    def _wait(self, deadline: float) -> Sequence[_Worker]:
        """Wait for workers that are done, have died or have taken too long, and return them."""
        busy = {worker.busy: worker for worker in self._workers if worker.busy is not None}
        left = min([deadline, *(worker.until for worker in busy.values())]) - time.monotonic()
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=None if left == math.inf else max(0.0, left))
        now = time.monotonic()
        return [busy[future] for future in ready] or [worker for worker in busy.values() if worker.until <= now]

    def _collect(self, worker: _Worker, waiting: list[CohortJob]) -> list[Message]:
        """Return the replies of a worker that `_wait` returned; if it was lost, its clients go back to `waiting`."""
        job = worker.job if not worker.stale else None
        overdue = worker.until <= time.monotonic() and not ray.wait([worker.busy], timeout=0)[0]
        try:
            results = None if overdue else ray.get(worker.busy)
        except ray.exceptions.RayError as error:
            log.warning("an actor was lost: %s", type(error).__name__)
            self._lose(worker, DIED)
        else:
            if overdue:
                self._lose(worker, HUNG)
            else:
                worker.busy = worker.job = None
                worker.until, worker.stale = math.inf, False
                return replies_to(job, results) if job else []
        return self._retry(job, waiting, overdue) if job else []

    def _retry(self, job: CohortJob, waiting: list[CohortJob], overdue: bool) -> list[Message]:
        """Put a lost job's clients back in line, each alone; return an error reply of one that died alone again."""
        if len(job.messages) == 1 and (overdue or job.tries >= TRIES_PER_JOB):
            self._alone.add(job.messages[0].metadata.dst_node_id)
            if overdue:
                return []  # its silence is counted where the replies are checked
            return [
                stamp(Message(Error(LOST, f"the client's process died {TRIES_PER_JOB} times"), reply_to=message))
                for message in job.messages
            ]
        waiting += [CohortJob([message], job.work, job.tries) for message in job.messages]
        return []

    def _lose(self, worker: _Worker, kind: str) -> None:
        self._losses[kind] += 1
        self._unborn = self._unborn + 1 if kind == DIED and worker.job is None else 0
        if self._unborn > TRIES_PER_JOB * len(self._workers):
            raise RuntimeError("the processes of the clients end as soon as they start")
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        """Start a new actor in a worker's place; it gets work when it has started."""
        ray.kill(worker.actor)
        worker.actor = self._make()
        worker.busy, worker.job = worker.actor.pid.remote(), None
        worker.until, worker.stale = math.inf, False
