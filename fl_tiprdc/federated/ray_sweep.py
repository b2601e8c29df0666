"""Trainings over the same clients at the same time, each in a process of its own on Ray.

A training's exchanges follow one another, and each is too small to keep several cores busy. The trainings of a sweep
don't depend on each other, so they are dealt to the processes, and not the clients of one exchange.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ray
from flwr.serverapp import Grid
from threadpoolctl import threadpool_limits

from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohort_grid import RayCohortGrid
from fl_tiprdc.federated.local_grid import SingleProcessGrid
from fl_tiprdc.federated.progress import Progress
from fl_tiprdc.federated.serving import Tell, serve_on, share_of
from fl_tiprdc.hybrid.registered import TRAINING, Registries, entries_of, register
from strategies.exchange_plan import EXCHANGES
from strategies.robust import AGGREGATIONS

T = TypeVar("T")
PROGRESS_SECONDS = 0.5  # between two reports on how far a training is
REGISTRIES: Registries = (*TRAINING, EXCHANGES, AGGREGATIONS)  # what a server and its clients look up by name
RETRIES = 3  # of a training whose process died; it goes on from its checkpoint


def _train(
    number: int,
    server: Callable[[Grid, Tell], Any],
    registered: bytes,
    store: Path,
    actors: int,
    threads: int,
    gpus: float,
    progress: Any,
) -> Any:
    """Run one training, with its clients in this process, or with actors of its own if there are enough cores."""
    register(registered, REGISTRIES)
    last_report = 0.0

    def tell(done: int) -> None:
        nonlocal last_report
        if time.monotonic() > last_report + PROGRESS_SECONDS:
            last_report = time.monotonic()
            progress.note.remote(number, done)

    client_store = ClientStore(store)
    with threadpool_limits(1, "blas"):
        if actors == 1:
            return serve_on(SingleProcessGrid(client_store, threads), lambda grid: server(grid, tell))
        grid = RayCohortGrid(client_store, actors, threads, gpus)
        try:
            return serve_on(grid, lambda grid: server(grid, tell))
        finally:
            grid.close()


def ray_sweep(
    servers: Sequence[Callable[[Grid, Tell], T]], store: Path, processes: int, gpus: float, tell: Tell
) -> list[T]:
    """Run trainings on a Ray that has been started; see `launch.launch_all`.

    Args:
        servers: run one training each, on the grid that they are given.
        store: folder of the client store; processes on other machines must see the same.
        processes: number of processes that the trainings share.
        gpus: number of GPUs that they share.
        tell: called with the number of exchanges that are done.

    Returns:
        The trainings' results, in order.
    """
    at_a_time = min(len(servers), processes)
    actors = processes // at_a_time
    threads = max(1, (os.cpu_count() or 1) // processes)
    share = share_of(gpus, processes)
    alone = actors == 1
    options = {"num_cpus": 1 if alone else 0, "num_gpus": share if alone else 0, "max_retries": RETRIES}
    train = ray.remote(**options, scheduling_strategy="SPREAD")(_train)
    progress = ray.remote(num_cpus=0)(Progress).remote()
    registered = entries_of(REGISTRIES)
    waiting = list(range(len(servers)))[::-1]
    running: dict[Any, int] = {}
    results: dict[int, T] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                i = waiting.pop()
                running[train.remote(i, servers[i], registered, store, actors, threads, share, progress)] = i
            ready, _ = ray.wait(list(running), timeout=PROGRESS_SECONDS)
            for done in ready:
                results[running.pop(done)] = ray.get(done)
            tell(ray.get(progress.all.remote()))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    finally:
        for task in running:
            ray.cancel(task, force=True)
        ray.kill(progress)
    return [results[i] for i in range(len(servers))]
