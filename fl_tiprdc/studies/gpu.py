"""The study of a GPU: seconds and memory on pictures of full size, and how far that is from the card's limit."""

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from fl_tiprdc.config import DataConfig, Experiment, Point, build_experiment, merge
from fl_tiprdc.data.crowd import Description, Records
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.federated.client_store import write_client_store
from fl_tiprdc.hybrid.batches import CohortBatches, CohortMember
from fl_tiprdc.hybrid.centralized import train_centralized
from fl_tiprdc.hybrid.device import training_device
from fl_tiprdc.hybrid.step import Batch, HybridStep
from fl_tiprdc.studies.timing import Peak, rounds_of, train_once
from fl_tiprdc.whole_file import write_table, write_whole
from strategies.hybrid_strategy import Exchange

SIZE = (218, 178)  # CelebA's
BATCH = 128  # the authors'
PRECISIONS = ("float32", "bfloat16")
UPDATES, WARM = 25, 5  # timed at one place, and let pass before
CLIENTS, PICTURES = 4, 256  # of the federation: networks of .96 GB each travel twice a round
ROUNDS = 2  # timed, after a first one
CODING_CLIENTS, CODED = 16, 2000  # clients and pictures of the last part
PAPER: Mapping[str, Any] = {
    "methods": ["tiprdc"],
    "network": {"architecture": "vgg16"},
    "method": {"tiprdc": {"information": "jsd-joint"}},
    "centralized": {"batch_size": BATCH, "learning_rate": 1e-4, "weight_decay": 1e-4},
    "federation": {"batch_size": BATCH, "learning_rate": 1e-4, "weight_decay": 1e-4},
}
POINT = Point("tiprdc", 0.5, 0)
SIDE = 8192  # of the square matrices whose product says what the card can do


@dataclass(frozen=True)
class Accelerator:
    """Describe the device that trains: its name, and its floating-point operations a second in a matrix product."""

    name: str
    rates: Mapping[str, float]


def probe_accelerator() -> Accelerator:
    """Return the device that trains; a processor's rate isn't measured."""
    if training_device().type != "cuda":
        return Accelerator("processor", dict.fromkeys(PRECISIONS, math.nan))
    torch.backends.cuda.matmul.allow_tf32 = True  # as convolutions are allowed to compute by default
    rates = {}
    for name in PRECISIONS:
        square = torch.randn(SIDE, SIDE, device="cuda", dtype=getattr(torch, name))
        times = []
        for _ in range(13):
            torch.cuda.synchronize()
            began = time.perf_counter()
            square @ square
            torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        rates[name] = 2 * SIDE**3 / float(np.median(times[3:]))
    return Accelerator(torch.cuda.get_device_name(), rates)


def card_mb() -> float:
    """Return the memory in use on the whole card, in MB; 0 without a card."""
    if training_device().type != "cuda":
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return float(total - free) / 2**20


def pictures(count: int) -> tuple[Records, Description]:
    """Return generated pictures of CelebA's size."""
    data = DataConfig(size=SIZE, records=count)
    crowd = load_population("avatars", ("hat",), 0.0005, data).contributors
    return crowd.records(), crowd.description


def operations(experiment: Experiment, records: Records, description: Description) -> float:
    """Return the floating-point operations of the hybrid step for one picture."""
    step = HybridStep(description, experiment.network, experiment.method_config("tiprdc"))
    member = CohortMember(records, 0.5, 0.0, 0, ("operations",))
    few = 8
    batches = CohortBatches([member], few, [1], step.d if step.method.channel else 0, device := training_device())
    stacked = batches[0]
    size = int(stacked.mask[0].sum())
    batch = Batch(*(part[0, :size] for part in stacked))
    groups = {name: {key: v.to(device) for key, v in group.items()} for name, group in step.initial(0).items()}
    with FlopCounterMode(display=False) as counter, step.training():
        step.gradients(groups, {}, batch, batches.lam[0], batches.sigma[0])
    return float(counter.get_total_flops()) / size


def _row(
    part: str, card: Accelerator, precision: str, processes: int, seconds: Sequence[float], **more: float
) -> dict[str, Any]:
    """Return a row of gpu.csv: `pictures` are those of one of the timed pieces, `operations` those of a picture."""
    middle = float(np.median(seconds))
    rate = more["pictures"] * more["operations"] / middle
    return {
        "part": part,
        "device": card.name,
        "precision": precision,
        "processes": processes,
        "seconds": middle,
        "low": min(seconds),
        "high": max(seconds),
        "pictures_per_second": more["pictures"] / middle,
        "card_mb": more["card_mb"],
        "tflops": rate / 1e12,
        "share_of_card": rate / card.rates[precision],
    }


def train_clients(
    experiment: Experiment, records: Records, description: Description, point: Point
) -> tuple[list[Exchange], float]:
    """Train over clients who hold the pictures; return the exchanges, and the most memory in use on the card, in MB."""
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder, Peak(card_mb, 0.1) as memory:
        store = Path(folder) / "clients"
        parts = partition(records.private, experiment.clients, "iid", 0)
        write_client_store(store, records, parts, description, 0)
        exchanges = train_once("ray-cohort", experiment, store, point)
    return exchanges, memory.peak


def at_one_place(card: Accelerator, console: Screen) -> Iterator[dict[str, Any]]:
    """Yield rows for an update of the paper's networks with all pictures at one place."""
    records, description = pictures(BATCH * 9)  # a batch is an eighth of all at most
    work = operations(build_experiment(PAPER), records, description)
    for precision in PRECISIONS:
        changes = {"network": {"precision": precision}, "centralized": {"steps": UPDATES + WARM}}
        experiment = build_experiment(merge(dict(PAPER), changes))
        step = HybridStep(description, experiment.network, experiment.method_config("tiprdc"))
        ends: list[float] = []

        def note(done: int, of: int, ends: list[float] = ends) -> None:
            ends.append(time.perf_counter())

        with console.status(f"at one place: {precision}"), Peak(card_mb, 0.1) as memory:
            train_centralized(step, records, (0.5,), 0, experiment.centralized, note, training_device())
        torch.cuda.empty_cache()
        seconds = np.diff(ends)[WARM:].tolist()
        yield _row("update", card, precision, 1, seconds, pictures=BATCH, operations=work, card_mb=memory.peak)


def federated(card: Accelerator, console: Screen) -> Iterator[dict[str, Any]]:
    """Yield rows for a round of the paper's networks, with more and more processes on the card."""
    records, description = pictures(CLIENTS * PICTURES)
    work = operations(build_experiment(PAPER), records, description)
    for precision, processes in (("float32", 1), ("bfloat16", 1), ("bfloat16", 2), ("bfloat16", 4)):
        changes = {
            "clients": CLIENTS,
            "actors": processes,
            "network": {"precision": precision},
            "federation": {"rounds": ROUNDS + 1},
        }
        experiment = build_experiment(merge(dict(PAPER), changes))
        try:
            with console.status(f"federated: {precision}, {processes} processes"):
                exchanges, memory = train_clients(experiment, records, description, POINT)
        except TooManyFailuresError as error:  # too little memory for so many processes
            console.print(f"round, {precision}, {processes}: {error}", highlight=False)
            continue
        more = {"pictures": len(records), "operations": work, "card_mb": memory}
        yield _row("round", card, precision, processes, rounds_of(exchanges)[1:], **more)


def codes(card: Accelerator, console: Screen) -> Iterator[dict[str, Any]]:
    """Yield rows for a training of `coded` on pictures, with principal components and with a trained extractor."""
    records, description = pictures(CODED)
    for extractor, precision in (("components", "float32"), ("trained", "float32"), ("trained", "bfloat16")):
        settings = {
            "clients": CODING_CLIENTS,
            "actors": 4,
            "methods": ["coded"],
            "network": {"precision": precision},
            "method": {"coded": {"coding": {"extractor": extractor}}},
        }
        experiment = build_experiment(settings)
        with console.status(f"codes: {extractor}, {precision}"):
            exchanges, memory = train_clients(experiment, records, description, Point("coded", 1.0, 0))
        more = {"pictures": math.nan, "operations": math.nan, "card_mb": memory}
        yield _row(f"codes: {extractor}", card, precision, 4, [sum(e.seconds for e in exchanges)], **more)


PARTS: Mapping[str, Callable[[Accelerator, Screen], Iterator[dict[str, Any]]]] = {
    "update": at_one_place,
    "round": federated,
    "codes": codes,
}


def study_gpu(parts: Sequence[str], output: Path, console: Screen) -> tuple[Accelerator, pd.DataFrame]:
    """Measure parts of the study; write gpu.csv and machine.json after each row.

    Args:
        parts: names in `PARTS`.
        output: folder of the study.
        console: for progress.

    Returns:
        The device, and the table.
    """
    card = probe_accelerator()
    facts = {"device": card.name, "torch": torch.__version__, **{f"{k}_flops": v for k, v in card.rates.items()}}
    rows: list[dict[str, Any]] = []
    for name in parts:
        for row in PARTS[name](card, console):
            rows.append(row)
            console.print(
                f"{row['part']}, {row['precision']}, {row['processes']}: {row['seconds']:.3f} s", highlight=False
            )
            write_table(output / "gpu.csv", pd.DataFrame(rows))  # what was measured is kept if a part fails
            write_whole(output / "machine.json", json.dumps(facts, indent=1).encode())
    return card, pd.DataFrame(rows)
