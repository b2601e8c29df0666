"""The study of speed: seconds and memory of a round, by runtime and by number of clients."""

import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from fl_tiprdc.config import Experiment, build_experiment, merge
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.report.runtime_figures import runtimes_figure, scale_figure
from fl_tiprdc.report.style import save
from fl_tiprdc.studies.peers import PEERS
from fl_tiprdc.studies.protection_cost import compare_protections
from fl_tiprdc.studies.timing import Measured, Peak, measure, measure_fit, memory_mb, pure_compute, train_once
from fl_tiprdc.studies.workloads import CLIENTS, CODES, PLUS, WORKLOADS, Workload, adult_store, synthetic_store
from fl_tiprdc.whole_file import write_table, write_whole
from strategies.hybrid_strategy import Exchange

SCALE_ROWS = 8  # records a client in the part on scale, so that a million clients fit on a disk
SCALE = (100, 1_000, 10_000, 100_000, 1_000_000)
ASKED = 100  # of them at a time


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
    """Train and fit `coded` on ray-cohort with 100 clients asked of more and more: rows of scale.csv."""
    rows: list[dict[str, object]] = []
    for clients in counts:
        with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder, console.status(f"{clients:,} clients"):
            store = Path(folder) / "clients"
            synthetic_store(store, clients, SCALE_ROWS)
            asked = min(ASKED, clients)
            federation = {
                "rounds": rounds + 1,
                "batch_size": 32,
                "clients_per_round": asked,
                "codebook_clients": asked,
                "coupling_clients": asked,
            }
            method = {CODES.method: {"local_rounds": 1}}
            experiment = build_experiment({"clients": clients, "federation": federation, "method": method})
            measured, questions = measure_fit("ray-cohort", experiment, store, CODES)
            size = sum(path.stat().st_size for path in store.iterdir() if path.is_file()) / 2**20
        rows.append(
            {
                "clients": clients,
                "seconds": float(np.median(measured.seconds)),
                "low": min(measured.seconds),
                "high": max(measured.seconds),
                "question_seconds": float(np.median(questions)),
                "question_low": min(questions),
                "question_high": max(questions),
                "start_seconds": measured.start,
                "peak_mb": measured.peak_mb,
                "data_mb": size,
            }
        )
        console.print(f"{clients:,} clients: {rows[-1]['seconds']:.2f} s a round", highlight=False)
    return pd.DataFrame(rows)


def study_runtimes(runtimes: Sequence[str], rounds: int, output: Path, console: Screen) -> pd.DataFrame:
    """Compare runtimes and peers on every workload; write runtimes.csv and the figure.

    Args:
        runtimes: their names.
        rounds: timed, after a first one.
        output: folder of the study.
        console: for progress.

    Returns:
        The table, one row a workload and runtime.
    """
    table = compare_runtimes(WORKLOADS, runtimes, rounds, console)
    write_table(output / "runtimes.csv", table)
    save(runtimes_figure(table), output, "runtimes")
    return table


def study_scale(counts: Sequence[int], rounds: int, output: Path, console: Screen) -> pd.DataFrame:
    """Compare rounds over more and more clients; write scale.csv and the figure; arguments as of `study_runtimes`."""
    table = compare_scale(counts, rounds, console)
    write_table(output / "scale.csv", table)
    save(scale_figure(table), output, "scale")
    return table


def study_protections(rounds: int, output: Path, console: Screen) -> pd.DataFrame:
    """Compare kinds of protection of updates; write protection.csv; arguments as of `study_runtimes`."""
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as place, console.status("protected updates"):
        adult_store(store := Path(place) / "adult")

        def exchanges_of(experiment: Experiment) -> Sequence[Exchange]:
            return train_once("ray-cohort", experiment, store, PLUS)

        table = compare_protections({"clients": CLIENTS, "federation": {"rounds": rounds + 1}}, exchanges_of)
    write_table(output / "protection.csv", table)
    return table


def write_machine(output: Path) -> None:
    """Write machine.json: on what the study was done."""
    machine = {"cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30, 1)}
    facts = json.dumps({**machine, "torch": torch.__version__}, indent=1)
    write_whole(output / "machine.json", facts.encode())
