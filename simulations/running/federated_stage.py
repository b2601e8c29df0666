"""The stage of a run in which the crowd trains, and publishes."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from flwr.serverapp import Grid

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Description, Ints, Population
from fl_tiprdc.evaluation.audit import Release
from fl_tiprdc.federated.client_store import write_client_store
from fl_tiprdc.federated.launch import Tell, launch_all, one_after_the_other
from fl_tiprdc.federated.publication import read_store
from fl_tiprdc.federated.server_app import Point, Trained, exchanges_in, serve_point
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.models.networks import representation_shape
from simulations.running.further import Job, kept_groups
from simulations.running.kept import Kept
from simulations.running.outcome import Outcome, release_folder, represent, white_box
from simulations.running.stages import Stages


def servers_for(
    experiment: Experiment, description: Description, points: Sequence[Point], publication: Path, kept: Kept
) -> list[Callable[[Grid, Tell], Trained]]:
    """What a ServerApp does for each point: train with a checkpoint in `kept`, then collect its publication."""
    return [
        partial(
            serve_point,
            experiment=experiment,
            description=description,
            point=point,
            publication=release_folder(publication, "federated", point),
            checkpoint=release_folder(kept.root, "federated", point) / "training.safetensors",
        )
        for point in points
    ]


def train_federated(
    experiment: Experiment,
    population: Population,
    parts: dict[int, list[Ints]],
    publication: Path,
    stages: Stages,
    outcome: Outcome,
    rounds: list[dict[str, object]],
    kept: Kept,
    grid: Grid | None = None,
) -> list[Job]:
    """Train and publish every point, over clients of the experiment's runtime or of `grid`; what is to be audited."""
    jobs: list[Job] = []
    description = population.contributors.description
    of_one_seed = len(experiment.lambdas) * sum(exchanges_in(experiment, method) for method in experiment.methods)
    total = len(experiment.seeds) * of_one_seed
    with stages.stage("train federated", total) as ticker:
        for number, seed in enumerate(experiment.seeds):
            points = [Point(method, lam, seed) for method in experiment.methods for lam in experiment.lambdas]
            servers = servers_for(experiment, description, points, publication, kept)
            before = number * of_one_seed

            def tell(done: int, before: int = before) -> None:
                ticker.of(before + done, total)

            if grid is not None:
                trained = one_after_the_other(grid, servers, tell)
            else:
                with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
                    store = Path(folder) / "clients"
                    write_client_store(store, population.contributors.records(), parts[seed], description, seed)
                    trained = launch_all(
                        experiment.runtime, servers, store, experiment.actors, experiment.ray_address, tell
                    )
            for one in trained:
                jobs.append(_job(experiment, population, parts[seed], publication, one))
                outcome.extractors["federated", one.point] = one.groups["extractor"]
                note_exchanges(one, outcome, rounds)
    return jobs


def _job(experiment: Experiment, population: Population, parts: list[Ints], publication: Path, one: Trained) -> Job:
    """The audit of what was published: the store joined with the truth by client and record."""
    point = one.point
    client, record, z = read_store(release_folder(publication, "federated", point))
    starts = np.cumsum([0, *map(len, parts)])
    rows = np.concatenate(parts)[starts[client] + record]
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config(point.method))
    extractor = {k: torch.tensor(v) for k, v in one.groups["extractor"].items()}
    held_out = represent(step, extractor, population.held_out, "federated", "held-out", point)
    clean, sigma = white_box(step, extractor, population.contributors, point.lam)
    clean = None if clean is None else clean[rows]
    shape = representation_shape(step.description, step.network)
    release = Release("federated", point.method, point.lam, point.seed, z, held_out, clean, sigma, shape)
    return Job(release, rows, kept_groups(experiment, step, one.groups))


def note_exchanges(one: Trained, outcome: Outcome, rounds: list[dict[str, object]]) -> None:
    """What happened in a federated training: rows of rounds.csv, failures, traffic."""
    for exchange in one.exchanges:
        rounds.append(
            {
                "setting": "federated",
                "method": one.point.method,
                "lam": one.point.lam,
                "seed": one.point.seed,
                "round": exchange.round,
                "phase": exchange.phase,
                **exchange.losses,
                "exchange": exchange.exchange,
                "clients": exchange.clients,
                "failures": exchange.failures,
                "failure_kinds": " ".join(f"{kind}:{count}" for kind, count in exchange.failure_kinds.items()),
                "seconds": round(exchange.seconds, 4),
                "bytes_down": exchange.bytes_down,
                "bytes_up": exchange.bytes_up,
                **({"sampling": exchange.sampling} if exchange.sampling else {}),
            }
        )
        for kind, times in exchange.failure_kinds.items():
            outcome.failures[kind] = outcome.failures.get(kind, 0) + times
    for name, count in {
        "training_down": sum(e.bytes_down for e in one.exchanges),
        "training_up": sum(e.bytes_up for e in one.exchanges),
        "publication": one.published_bytes,
    }.items():
        outcome.traffic[name] = outcome.traffic.get(name, 0) + count
