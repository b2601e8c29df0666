"""The one module that starts a runtime and hands its Grid to the server's code."""

import atexit
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from threadpoolctl import threadpool_limits

from fl_tiprdc.errors import RunFailedError, choose
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.local_grid import SingleProcessGrid
from fl_tiprdc.federated.quorum import EndingGrid
from fl_tiprdc.federated.serving import Server, Tell, one_after_the_other, serve_on, share_of
from fl_tiprdc.hybrid.registered import entries_of

T = TypeVar("T")


def _inline(server: Server, store: ClientStore, actors: int, address: str) -> Any:
    """Train whole cohorts of clients in this process: no Ray, and debuggers stop in a client's work."""
    threads = torch.get_num_threads()
    try:
        return serve_on(SingleProcessGrid(store, threads), server)
    finally:
        torch.set_num_threads(threads)


# bytes of a folder's name that leave Ray room for its sockets below it: the system allows 107 for the path of one
ROOM_FOR_SOCKETS = 36


def has_room_for_sockets() -> bool:
    """Return whether Ray's usual folder has a name that leaves room for its sockets'."""
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return os.name != "posix" or (usual.isascii() and len(usual) <= ROOM_FOR_SOCKETS)


@cache
def _folder_for_ray() -> str | None:
    """Return a folder of this process's own if Ray's usual one has no room for sockets; None: the usual one will do.

    Raises:
        RunFailedError: there is no folder with a short name.
    """
    if has_room_for_sockets():
        return None
    try:
        own = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    except OSError as error:
        raise RunFailedError(f"TMPDIR is too long for Ray's sockets, and /tmp takes none: {error.strerror}") from None
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


# a busy cluster's process for a client may end as it starts, and the next one does not
CLIENT_TRIES = 3


def start_ray(actors: int, address: str = "") -> None:
    """Start Ray on this machine's loopback interface without a dashboard, or join the cluster at `address`.

    Without an address none is joined, whatever RAY_ADDRESS or a cluster's file in Ray's folder names.

    Raises:
        ConnectionError: no cluster at the address, or it takes no client.
        RunFailedError: Ray can't start on this machine.
    """
    _start_ray(max(actors, os.cpu_count() or 1), address)


def _start_ray(cores: int, address: str) -> None:
    import ray

    # a small /dev/shm, as containers have, makes Ray slow and not impossible
    os.environ.setdefault("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", "1")
    own: dict[str, Any] = {"address": "local", "num_cpus": cores, "include_dashboard": False}
    where = {"address": address} if address else {**own, "_temp_dir": _folder_for_ray()}
    tries = CLIENT_TRIES if address.startswith("ray://") else 1
    for left in reversed(range(tries)):
        try:
            ray.init(
                **where,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                ignore_reinit_error=True,
            )
            return
        except Exception as error:  # of many types: no room, no ports, a folder that it can't write to
            if not address:
                raise RunFailedError(f"Ray cannot start on this machine: {error}") from error
            # what Ray Client raises when the cluster can't start a server for this process
            if not (isinstance(error, RuntimeError) and tries > 1):
                raise
            if not left:
                raise ConnectionError(f"{address}: {error}") from error


@contextmanager
def ray_session(actors: int, address: str) -> Iterator[tuple[int, float]]:
    """Start Ray if it isn't there and then end it again; yield the number of processes to use, and of GPUs."""
    import ray

    cores = os.cpu_count() or 1
    started = not ray.is_initialized()
    if started:
        start_ray(actors or cores, address)
    try:
        resources = ray.cluster_resources()
        count = actors or (cores if not address else max(1, int(resources.get("CPU", 1))))
        yield count, float(resources.get("GPU", 0.0))
    finally:
        if started:
            ray.shutdown()


def _ray_cohort(server: Server, store: ClientStore, actors: int, address: str) -> Any:
    """Train whole cohorts of clients as one tensor program, on Ray actors; the default."""
    from fl_tiprdc.federated.cohort_grid import RayCohortGrid

    with ray_session(actors, address) as (count, gpus):
        grid = RayCohortGrid(store, count, max(1, (os.cpu_count() or 1) // count), share_of(gpus, count))
        try:
            return serve_on(grid, server)
        finally:
            grid.close()


DEPRECATED = "DEPRECATED FEATURE"  # run_simulation: what would replace it leaves a SuperLink running


@contextmanager
def _unless(words: str) -> Iterator[None]:
    """Leave lines that have these words out of Flower's log."""
    logger = logging.getLogger("flwr")

    def keep(record: logging.LogRecord) -> bool:
        return words not in record.getMessage()

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _flower(server: Server, store: ClientStore, actors: int, address: str) -> Any:
    """Train by Flower's own simulation engine on Ray; the same model, slower."""
    from flwr.simulation import run_simulation

    results: list[Any] = []
    app, ended = ServerApp(), Event()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        results.append(server(EndingGrid(grid, ended)))

    import ray

    if not ray.is_initialized():  # else Flower's engine starts it, and waits for clients though that has failed
        _start_ray(actors or os.cpu_count() or 1, address)
    try:
        with warnings.catch_warnings(), _unless(DEPRECATED):
            warnings.simplefilter("ignore")
            run_simulation(
                server_app=app,
                client_app=build_client_app(str(store.root), entries_of()),
                num_supernodes=len(store),
                # max_restarts: Flower puts a dead actor back into its pool, where it swallows every message
                backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0, "max_restarts": -1}},
            )
    finally:
        ended.set()
    return results[0]


RUNTIMES: Mapping[str, Callable[[Server, ClientStore, int, str], Any]] = {
    "ray-cohort": _ray_cohort,
    "flower": _flower,
    "inline": _inline,
}


def launch(runtime: str, server: Callable[[Grid], T], store: Path, actors: int = 0, address: str = "") -> T:
    """Run the server's code against the clients of a store.

    Args:
        runtime: a key of `RUNTIMES`.
        server: what the ServerApp does with the grid; its result is returned.
        store: folder of the client store.
        actors: processes for the clients; 0: one for each core.
        address: of a Ray cluster to join; empty starts Ray on this machine.

    Raises:
        InputError: unknown runtime.
    """
    if runtime not in RUNTIMES:
        raise choose("runtime", runtime, RUNTIMES)
    for name in ("flwr", "flwr_datasets", "ray"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with threadpool_limits(1, "blas"):  # the server sums small arrays while the clients need the cores
        result: T = RUNTIMES[runtime](server, ClientStore(store), actors, address)
    return result


def launch_all(
    runtime: str,
    servers: Sequence[Callable[[Grid, Tell], T]],
    store: Path,
    actors: int = 0,
    address: str = "",
    tell: Tell = lambda done: None,
) -> list[T]:
    """Run several trainings over the same clients: ray-cohort side by side, others one after the other.

    Args:
        runtime: a key of `RUNTIMES`.
        servers: what a ServerApp does with its grid, telling how many exchanges are done; can be sent to a process.
        store: folder of the client store.
        actors: processes to share among the trainings; 0: one for each core.
        address: as in `launch`.
        tell: told how many exchanges of all trainings are done.

    Returns:
        Their results, in order.

    Raises:
        InputError: unknown runtime.
    """
    if runtime == "ray-cohort" and len(servers) > 1:
        from fl_tiprdc.federated.ray_sweep import ray_sweep

        with ray_session(actors, address) as (processes, gpus):
            return ray_sweep(servers, store, processes, gpus, tell)
    return launch(runtime, lambda grid: one_after_the_other(grid, servers, tell), store, actors, address)
