"""Seconds and memory of a round: of a runtime, and of the compute in it alone."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from flwr.serverapp import Grid

from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.data.crowd import Description
from fl_tiprdc.evaluation.certificate import codes_for
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.server_app import Trained, exchanges_for, fit_over_crowd, instruction_for, train_point
from fl_tiprdc.studies.peers import initial_groups
from fl_tiprdc.wire.phases import QUESTION
from strategies.hybrid_strategy import Exchange
from strategies.roster import Roster, take_roster

REPEATS = 6  # of compute alone


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


def rounds_of(exchanges: Sequence[Exchange]) -> list[float]:
    """Return the seconds of each round of training: its exchanges together, those of a code fit left out."""
    training = [exchange for exchange in exchanges if not exchange.phase.startswith(QUESTION)]
    table = pd.DataFrame({"round": [e.round for e in training], "seconds": [e.seconds for e in training]})
    return [float(value) for value in table.groupby("round")["seconds"].sum()]


def train_once(runtime: str, experiment: Experiment, store: Path, point: Point) -> list[Exchange]:
    """Return the exchanges of one training."""
    return _timed(runtime, experiment, store, point, train_point)[0]


def measure(runtime: str, experiment: Experiment, store: Path, point: Point) -> Measured:
    """Train `point` and time its rounds."""
    with Peak(memory_mb, 1.0) as memory:
        exchanges, start = _timed(runtime, experiment, store, point, train_point)
    return Measured(rounds_of(exchanges)[1:], start, memory.peak)


def measure_fit(runtime: str, experiment: Experiment, store: Path, point: Point) -> tuple[Measured, list[float]]:
    """Train an extractor and fit codes, and time rounds and questions.

    Returns:
        The rounds, and seconds of each question after the first.
    """
    with Peak(memory_mb, 1.0) as memory:
        exchanges, start = _timed(runtime, experiment, store, point, _train_and_fit)
    questions = [exchange.seconds for exchange in exchanges if exchange.phase.startswith(QUESTION)]
    return Measured(rounds_of(exchanges)[1:], start, memory.peak), questions[1:]


Train = Callable[[Grid, Roster, Experiment, Description, Point], Trained]


def _train_and_fit(
    grid: Grid, roster: Roster, experiment: Experiment, description: Description, point: Point
) -> Trained:
    return fit_over_crowd(grid, roster, lambda done: None, experiment, description, [point], codes_for)[0]


def _timed(
    runtime: str, experiment: Experiment, store: Path, point: Point, train: Train
) -> tuple[list[Exchange], float]:
    """Return the exchanges of a training, and the seconds until its clients were there."""
    began = time.perf_counter()

    def server(grid: Grid) -> tuple[list[Exchange], float]:
        roster = take_roster(grid, experiment.clients)
        start = time.perf_counter() - began
        return train(grid, roster, experiment, ClientStore(store).description, point).exchanges, start

    return launch(runtime, server, store, experiment.actors)


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
