"""Speed of the runtimes: seconds and memory of a round, by runtime and by number of clients.

python simulations/benchmark.py                 # every runtime and two peers, then more and more clients
python simulations/benchmark.py --parts scale   # only the second part
"""

import argparse
import json
import math
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from flwr.serverapp import Grid

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.config import Experiment, Point, build_experiment, merge
from fl_tiprdc.data.crowd import Attribute, Column, Description, Records
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.experiment.run_folder import open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.federated.launch import RUNTIMES, launch
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.server_app import exchanges_for, instruction_for, train_point
from fl_tiprdc.report.runtime_figures import runtimes_figure, scale_figure
from fl_tiprdc.report.style import save
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.whole_file import new_array, write_table, write_whole
from fl_tiprdc.wire.phases import QUESTION
from simulations.peers import PEERS, initial_groups
from simulations.protection_cost import compare_protections
from simulations.tables import show
from strategies.hybrid_strategy import Exchange
from strategies.roster import take_roster

WIDTH, ROWS, CLIENTS = 105, 384, 100  # the stated workload: 12 batches of 32 rows of 105 features
REPEATS = 6  # of compute alone
SCALE_ROWS = 64  # records a client in the part on scale, so that 100,000 clients fit on a disk
SCALE = (100, 1_000, 10_000, 100_000)
PAPER = Point("tiprdc", 0.66, 0)
PLUS = Point("tiprdc+", 0.5, 0)
CODES = Point("coded", 1.0, 0)


@dataclass(frozen=True)
class Workload:
    """Describe what runtimes are compared on.

    Attributes:
        title: its name in tables and figures.
        point: what is trained.
        write: writes the clients' records to a folder.
        settings: of the experiment, but for the number of rounds.
        peers: whether other ways of running the same rounds are timed too; of one exchange of weights a round.
    """

    title: str
    point: Point
    write: Callable[[Path], None]
    settings: Mapping[str, Any]
    peers: bool = False


@dataclass(frozen=True)
class Measured:
    """Hold a runtime's rounds: seconds of each after the first, start-up seconds, peak memory above the start."""

    seconds: list[float]
    start: float
    peak_mb: float


class Peak:
    """Watch the largest value of a measure while it runs.

    Args:
        read: measures.
        every: seconds between two readings.

    Attributes:
        peak: the largest value so far.
    """

    def __init__(self, read: Callable[[], float], every: float) -> None:
        self._read, self._every, self._stop = read, every, threading.Event()
        self.peak = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._read())
            if self._stop.wait(self._every):
                return


def memory_mb() -> float:
    """Return the proportional set size of this process and its descendants, in MB."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


def synthetic_store(root: Path, clients: int, rows: int) -> None:
    """Write a client store of random records, piece by piece: that needs no memory for the whole."""
    columns = tuple(Column(f"x{i}", "numeric", i) for i in range(WIDTH))
    description = Description.of_table(columns, (Attribute("u", ("0", "1")),), ((0.5, 0.5),))
    generator = numpy_generator(0, "benchmark")
    x = generator.standard_normal((rows, WIDTH)).astype(np.float32)
    private = generator.integers(0, 2, (rows, 1))
    write_client_store(root, Records(x, private), [np.arange(rows)], description, 0)
    np.save(root / "offsets.npy", np.arange(clients + 1) * rows)
    for name, like in (("x", x), ("private", private)):
        shape = (clients * rows, *like.shape[1:])
        whole = new_array(root / f"{name}.npy", like.dtype, shape)
        for begin in range(0, clients, 1000):
            piece = np.concatenate([np.roll(like, i, axis=0) for i in range(min(1000, clients - begin))])
            whole[begin * rows : begin * rows + len(piece)] = piece
        whole.flush()
        del whole


def adult_store(root: Path) -> None:
    """Write the client store of the default run."""
    crowd = load_population("adult", ("sex",), 0.2).contributors
    write_client_store(root, crowd.records(), partition(crowd.private, CLIENTS, "iid", 0), crowd.description, 0)


WORKLOADS = (
    Workload(
        "100 clients, 12 batches of 32 x 105, paper's step",
        PAPER,
        lambda root: synthetic_store(root, CLIENTS, ROWS),
        {"clients": CLIENTS, "federation": {"batch_size": 32}},
        peers=True,
    ),
    Workload(
        "Adult, 100 clients, a round of tiprdc+",
        PLUS,
        adult_store,
        # without the adversary's closing steps, which make the last rounds longer than the others
        {"clients": CLIENTS, "method": {"tiprdc+": {"closing_steps": 0}}},
    ),
    Workload(
        "Adult, 100 clients, an epoch of coded",
        CODES,
        adult_store,
        {"clients": CLIENTS, "method": {"coded": {"local_rounds": 1}}},
    ),
)


def rounds_of(exchanges: Sequence[Exchange]) -> list[float]:
    """Return the seconds of each round of training: its exchanges together, those of a code fit left out."""
    training = [exchange for exchange in exchanges if not exchange.phase.startswith(QUESTION)]
    table = pd.DataFrame({"round": [e.round for e in training], "seconds": [e.seconds for e in training]})
    return [float(value) for value in table.groupby("round")["seconds"].sum()]


def train_once(runtime: str, experiment: Experiment, store: Path, point: Point) -> list[Exchange]:
    """Return the exchanges of one training."""

    def server(grid: Grid) -> list[Exchange]:
        roster = take_roster(grid, experiment.clients)
        return train_point(grid, roster, experiment, ClientStore(store).description, point).exchanges

    return launch(runtime, server, store, experiment.actors)


def measure(runtime: str, experiment: Experiment, store: Path, point: Point) -> Measured:
    """Train `point` and time its rounds."""
    began = time.perf_counter()
    ready: list[float] = []

    def server(grid: Grid) -> list[Exchange]:
        roster = take_roster(grid, experiment.clients)
        ready.append(time.perf_counter() - began)
        return train_point(grid, roster, experiment, ClientStore(store).description, point).exchanges

    with Peak(memory_mb, 1.0) as memory:
        seconds = rounds_of(launch(runtime, server, store, experiment.actors))
    return Measured(seconds[1:], ready[0], memory.peak)


def pure_compute(experiment: Experiment, store: Path, point: Point) -> float:
    """Time a round's training alone, in seconds: one stacked program on each core, no message and no aggregation.

    All cores compute at the same time, as they do in a round: one core alone is faster.
    """
    cores = os.cpu_count() or 1
    shares = [list(range(core, experiment.clients, cores)) for core in range(cores)]
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        return max(pool.map(_time_share, [experiment] * cores, [store] * cores, [point] * cores, shares))


def _time_share(experiment: Experiment, store: Path, point: Point, partitions: list[int]) -> float:
    """Time the part of a round that falls to these clients: the median of several, after a first one."""
    torch.set_num_threads(1)
    opened = ClientStore(store)
    base = instruction_for(experiment, point)
    groups = initial_groups(experiment, opened, point)
    turns = [turn for turn in exchanges_for(experiment, point.method).turns if turn.round == 1]
    times: list[float] = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for turn in turns:
            asked = min(turn.draws or experiment.clients, experiment.clients)
            own = partitions[: -(-asked * len(partitions) // experiment.clients)]
            perform(opened, replace(base, phase=turn.phase), groups, own)
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))


def compare_runtimes(
    workloads: Sequence[Workload], runtimes: Sequence[str], rounds: int, console: Screen
) -> pd.DataFrame:
    """Measure every runtime on every workload: rows of runtimes.csv."""
    rows: list[dict[str, object]] = []
    for workload in workloads:
        experiment = build_experiment(merge({"federation": {"rounds": rounds + 1}}, workload.settings))
        point, peers = workload.point, PEERS if workload.peers else {}
        with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
            workload.write(store := Path(folder) / "clients")
            alone = pure_compute(experiment, store, point)
            for runtime in (*runtimes, *peers):
                with console.status(f"{workload.title}: {runtime}"):
                    if runtime in peers:
                        with Peak(memory_mb, 1.0) as memory:
                            seconds = peers[runtime](experiment, store, point)
                        measured = Measured(seconds[1:], math.nan, memory.peak)
                    else:
                        measured = measure(runtime, experiment, store, point)
                middle = float(np.median(measured.seconds))
                rows.append(
                    {
                        "workload": workload.title,
                        "runtime": runtime,
                        "seconds": middle,
                        "low": min(measured.seconds),
                        "high": max(measured.seconds),
                        "clients_per_second": experiment.clients / middle,
                        "pure_compute": alone,
                        "overhead": middle / alone - 1,
                        "start_seconds": measured.start,
                        "peak_mb": measured.peak_mb,
                    }
                )
                console.print(f"{workload.title}: {runtime}: {middle:.2f} s a round", highlight=False)
    return pd.DataFrame(rows)


def compare_scale(counts: Sequence[int], rounds: int, console: Screen) -> pd.DataFrame:
    """Measure the ray-cohort runtime with 100 clients sampled of more and more: rows of scale.csv."""
    rows: list[dict[str, object]] = []
    for clients in counts:
        with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder, console.status(f"{clients:,} clients"):
            store = Path(folder) / "clients"
            synthetic_store(store, clients, SCALE_ROWS)
            changes: dict[str, Any] = {"clients": clients, "federation": {"rounds": rounds + 1, "batch_size": 32}}
            experiment = build_experiment(merge(changes, {"federation": {"clients_per_round": min(100, clients)}}))
            measured = measure("ray-cohort", experiment, store, PAPER)
            size = sum(path.stat().st_size for path in store.iterdir()) / 2**20
        rows.append(
            {
                "clients": clients,
                "seconds": float(np.median(measured.seconds)),
                "low": min(measured.seconds),
                "high": max(measured.seconds),
                "start_seconds": measured.start,
                "peak_mb": measured.peak_mb,
                "data_mb": size,
            }
        )
        console.print(f"{clients:,} clients: {rows[-1]['seconds']:.2f} s a round", highlight=False)
    return pd.DataFrame(rows)


def _runtimes(parsed: argparse.Namespace, folder: Path, console: Screen) -> None:
    frame = compare_runtimes(WORKLOADS, parsed.runtimes.split(","), parsed.rounds, console)
    write_table(folder / "runtimes.csv", frame)
    save(runtimes_figure(frame), folder, "runtimes")
    shown = frame[["runtime", "seconds", "clients_per_second", "overhead", "peak_mb"]]
    for workload, rows in shown.groupby(frame["workload"], sort=False):
        alone = frame.loc[rows.index[0], "pure_compute"]
        console.print(show(rows, f"{workload}: seconds a round (compute alone: {alone:.2f} s)"))


def _scale(parsed: argparse.Namespace, folder: Path, console: Screen) -> None:
    frame = compare_scale([int(word) for word in parsed.counts.split(",")], parsed.rounds, console)
    write_table(folder / "scale.csv", frame)
    save(scale_figure(frame), folder, "scale")
    console.print(show(frame, "100 clients sampled a round, of more and more"))


def _protection(parsed: argparse.Namespace, folder: Path, console: Screen) -> None:
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as place, console.status("protected updates"):
        adult_store(store := Path(place) / "adult")

        def exchanges_of(experiment: Experiment) -> Sequence[Exchange]:
            return train_once("ray-cohort", experiment, store, PLUS)

        settings = {"clients": CLIENTS, "federation": {"rounds": parsed.rounds + 1}}
        frame = compare_protections(settings, exchanges_of)
    write_table(folder / "protection.csv", frame)
    console.print(show(frame, "A round of tiprdc+ on Adult: medians of an exchange"))


PARTS: Mapping[str, Callable[[argparse.Namespace, Path, Screen], None]] = {
    "runtimes": _runtimes,
    "scale": _scale,
    "protection": _protection,
}


def benchmark_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure (default: %(default)s)")
    parser.add_argument(
        "--runtimes", default="ray-cohort,flower,inline", help="runtimes to compare (default: %(default)s)"
    )
    parser.add_argument("--counts", default=",".join(map(str, SCALE)), help="numbers of clients (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds timed, after a first one (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/benchmark"), help="folder (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, save."""
    parsed = benchmark_parser().parse_args(arguments)
    for kind, names, known in (("part", parsed.parts, PARTS), ("runtime", parsed.runtimes, RUNTIMES)):
        require_known(kind, names.split(","), known)
        require_once(kind, names.split(","))
    if parsed.rounds < 1:
        raise InputError(f"--rounds {parsed.rounds}: at least 1")
    counts = parsed.counts.split(",")
    for word in counts:
        if not word.isdecimal() or int(word) < 1:
            raise InputError(f"--counts '{word}': give whole numbers from 1 with commas between them")
    open_folder(parsed.output)
    console = Screen()
    for name in parsed.parts.split(","):
        PARTS[name](parsed, parsed.output, console)
    machine = {"cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30, 1)}
    facts = json.dumps({**machine, "torch": torch.__version__}, indent=1)
    write_whole(parsed.output / "machine.json", facts.encode())
    console.print(f"results: {parsed.output}", highlight=False)


if __name__ == "__main__":
    guard(main)
