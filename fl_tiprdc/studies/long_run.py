"""The study of long runs: memory of driver and actors, open files and logs over hundreds of rounds."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import psutil
from flwr.serverapp import Grid

from fl_tiprdc.config import Experiment, Point, build_experiment
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.cohort_grid import RayCohortGrid
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.server_app import train_point
from fl_tiprdc.methods import METHODS
from fl_tiprdc.studies.workloads import synthetic_store
from fl_tiprdc.whole_file import write_table
from strategies.hybrid_strategy import Exchange
from strategies.roster import take_roster

ROWS = 32  # records a client
CODES = 16
WARM_UP = 0.2  # share of the rounds that are left out of the slopes: caches fill, allocators settle
MB = 2**20
MEASURES = ("driver_mb", "actors_mb", "files", "log_mb")
WORKERS = "ray::"  # how Ray names the processes of actors


def workers_of(grid: Grid) -> list[psutil.Process]:
    """Return the processes that work for clients: a cohort grid's actors, else all of Ray's below this one that do."""
    if isinstance(grid, RayCohortGrid):
        return [psutil.Process(pid) for pid in grid.pids()]
    return [process for process in psutil.Process().children(recursive=True) if _works(process)]


def _works(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):  # it has ended
        return process.name().startswith(WORKERS) and "IDLE" not in process.name()
    return False


class Sampler:
    """Measure what this process and its actors hold, at moments of a training.

    Args:
        grid: reaches the clients.
        logs: folders whose files are logs.
    """

    def __init__(self, grid: Grid, logs: Sequence[Path]) -> None:
        self._own, self._grid, self._logs = psutil.Process(), grid, logs
        self.rows: list[dict[str, float]] = []

    def take(self, number: int) -> None:
        """Note everything after round `number`."""
        workers = []
        for process in workers_of(self._grid):
            with contextlib.suppress(psutil.Error):
                workers.append((own_memory(process), process.num_fds()))
        self.rows.append(
            {
                "round": number,
                "driver_mb": own_memory(self._own) / MB,
                "actors_mb": sum(memory for memory, _ in workers) / MB,
                "files": self._own.num_fds() + sum(files for _, files in workers),
                "log_mb": sum(size_of(folder) for folder in self._logs) / MB,
                "actors": len(workers),
            }
        )


def own_memory(process: psutil.Process) -> int:
    """Return a process's own bytes in memory; Ray's store of objects is shared, and counts in each that reads it."""
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, those that vanish meanwhile left out."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            total += path.stat().st_size if path.is_file() else 0
    return total


def slopes(samples: pd.DataFrame) -> pd.DataFrame:
    """Return each measure's first and last value, and its slope for 100 rounds after the warm-up.

    The slope is Theil and Sen's, the median over pairs of samples: a single jump of an allocator doesn't make one.
    """
    settled = samples[samples["round"] >= samples["round"].max() * WARM_UP]
    first, second = np.triu_indices(len(settled), 1)
    rounds = settled["round"].to_numpy(np.float64)
    rows = []
    for name in MEASURES:
        values = settled[name].to_numpy(np.float64)
        pairs = (values[second] - values[first]) / (rounds[second] - rounds[first])
        slope = 100 * float(np.median(pairs)) if len(pairs) else float("nan")
        rows.append({"measure": name, "first": values[0], "last": values[-1], "slope_per_100_rounds": slope})
    return pd.DataFrame(rows)


def settings(method: str, rounds: int, clients: int) -> Experiment:
    """Return an experiment of small exchanges: what grows does so with their number, not with their size."""
    coding = {"coding": {"codes": CODES}} if METHODS[method].settings.coding else {}
    return build_experiment(
        {
            "clients": clients,
            "methods": [method],
            "network": {"representation": 8, "extractor_hidden": [16], "adversary_hidden": [16], "critic_hidden": [16]},
            "method": {method: {"adversary_steps": 0, "closing_steps": 0, "local_rounds": 1, **coding}},
            "federation": {"rounds": rounds, "updates_per_round": 1, "gradient_clients": 0, "gradient_records": 16},
        }
    )


def study_long_run(
    runtime: str, experiment: Experiment, every: int, actors: int, output: Path
) -> tuple[pd.DataFrame, float]:
    """Train for all rounds and sample on the way; write samples.csv and slopes.csv.

    Args:
        runtime: that runs the clients.
        experiment: as of `settings`.
        every: rounds between two samples.
        actors: Ray actors; 0: one for each core.
        output: folder of the study.

    Returns:
        `slopes`' table, and seconds.
    """
    samples, seconds = run_long(runtime, experiment, every, actors)
    grown = slopes(samples)
    write_table(output / "samples.csv", samples)
    write_table(output / "slopes.csv", grown)
    return grown, seconds


def run_long(runtime: str, experiment: Experiment, every: int, actors: int) -> tuple[pd.DataFrame, float]:
    """Train for all rounds and sample on the way: one row a sample, and seconds."""
    with TemporaryDirectory(prefix="fl-tiprdc-") as folder:
        store = Path(folder) / "clients"
        synthetic_store(store, experiment.clients, ROWS)
        samples: list[dict[str, float]] = []
        began = time.perf_counter()

        def server(grid: Grid) -> None:
            sampler = Sampler(grid, [path for path in (ray_logs(),) if path is not None])

            def note(point: Point, exchange: Exchange) -> None:
                if exchange.round % every == 0:
                    sampler.take(exchange.round)

            roster = take_roster(grid, experiment.clients)
            train_point(
                grid, roster, experiment, ClientStore(store).description, Point(experiment.methods[0], 0.5, 0), note
            )
            samples.extend(sampler.rows)

        launch(runtime, server, store, actors)
        return pd.DataFrame(samples), time.perf_counter() - began


def ray_logs() -> Path | None:
    """Return where the Ray that runs writes its logs; None: none runs here."""
    import ray

    if not ray.is_initialized():
        return None
    return Path(ray._private.worker._global_node.get_logs_dir_path())
