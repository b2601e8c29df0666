"""The stage of a run in which all contributors' records train at one place."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Description, Population, Records
from fl_tiprdc.evaluation.audit import Release
from fl_tiprdc.federated.messages import LOSSES, Arrays
from fl_tiprdc.federated.server_app import Point
from fl_tiprdc.hybrid.centralized import Curve, train_centralized
from fl_tiprdc.hybrid.cohort import CohortResult
from fl_tiprdc.hybrid.program import program_for
from fl_tiprdc.hybrid.step import GROUPS, HybridStep, Parameters
from fl_tiprdc.models.networks import representation_shape
from simulations.running.further import Job, kept_groups
from simulations.running.kept import Kept
from simulations.running.outcome import Outcome, represent, white_box
from simulations.running.parallel import as_done, give_memory_back
from simulations.running.stages import Stages


def train_at_one_place(
    experiment: Experiment,
    population: Population,
    stages: Stages,
    outcome: Outcome,
    rounds: list[dict[str, object]],
    kept: Kept,
) -> list[Job]:
    """Trainings side by side, one on each core: that wastes less than several cores on one of them.

    A training has some values of λ, so that there are enough for all cores; the longest are begun first. On a Ray
    cluster each value of λ is a task of its own.
    """
    cores = torch.get_num_threads()
    address = experiment.ray_address
    pieces = min(len(experiment.lambdas), len(experiment.lambdas) if address else cores)
    lambdas = [experiment.lambdas[i::pieces] for i in range(pieces)]
    steps = experiment.centralized.steps
    trainings = {
        f"centralized/{method}/seed-{seed}/lam-{'-'.join(f'{lam:g}' for lam in some)}": (seed, method, some)
        for seed, method, some in itertools.product(experiment.seeds, experiment.methods, lambdas)
    }
    longest_first = sorted(
        (name for name in trainings if not kept.has(name)),
        key=lambda name: -len(program_for(experiment.method_config(trainings[name][1]), steps)),
    )
    records = population.contributors.records()
    description = population.contributors.description
    with stages.stage("train centralised", len(trainings) * steps) as ticker:
        ticker.tick(steps * (len(trainings) - len(longest_first)))
        work = {name: partial(_train, experiment, description, records, *trainings[name]) for name in longest_first}
        if address:
            for name, found in as_done(work, address):
                kept.keep(name, found)
                ticker.tick(steps)
        else:
            threads = max(1, cores // len(trainings))

            def train(name: str) -> None:
                torch.set_num_threads(threads)
                kept.keep(name, work[name](ticker.tick))

            with ThreadPoolExecutor(cores) as pool:
                list(pool.map(train, work))
            torch.set_num_threads(cores)
            give_memory_back()
    trained = {
        Point(method, lam, seed): _one_of(kept.arrays(name), i)
        for name, (seed, method, some) in trainings.items()
        for i, lam in enumerate(some)
    }
    jobs: list[Job] = []
    for seed, method, lam in itertools.product(experiment.seeds, experiment.methods, experiment.lambdas):
        point = Point(method, lam, seed)
        groups, curve = trained[point]
        step = HybridStep(description, experiment.network, experiment.method_config(method))
        extractor = groups["extractor"]
        arrays = {name: {k: v.numpy() for k, v in group.items()} for name, group in groups.items()}
        outcome.extractors["centralized", point] = arrays["extractor"]
        release = Release(
            "centralized",
            method,
            lam,
            seed,
            represent(step, extractor, population.contributors, "centralized", "contributors", point),
            represent(step, extractor, population.held_out, "centralized", "held-out", point),
            *white_box(step, extractor, population.contributors, lam),
            representation_shape(step.description, step.network),
        )
        jobs.append(Job(release, None, kept_groups(experiment, step, arrays)))
        where = {"setting": "centralized", "method": method, "lam": lam, "seed": seed}
        rounds += [
            {**where, "round": update, "phase": "update", **dict(zip(LOSSES, losses, strict=True))}
            for update, losses in curve
        ]
    return jobs


def _train(
    experiment: Experiment,
    description: Description,
    records: Records,
    seed: int,
    method: str,
    lambdas: tuple[float, ...],
    tick: Callable[[], None] = lambda: None,
) -> Arrays:
    step = HybridStep(description, experiment.network, experiment.method_config(method))
    return _flat(*train_centralized(step, records, lambdas, seed, experiment.centralized, lambda done, of: tick()))


def _flat(result: CohortResult, curve: Curve) -> Arrays:
    """A centralised training as named arrays: its groups, and its curve."""
    arrays = {f"{name}/{key}": v.numpy() for name, group in result.groups.items() for key, v in group.items()}
    arrays["updates"] = np.array([update for update, _ in curve], dtype=np.int64)
    losses = [losses.numpy() for _, losses in curve]
    arrays["losses"] = np.stack(losses) if losses else np.zeros((0, len(result.losses), len(LOSSES)), np.float32)
    return arrays


def _one_of(flat: Arrays, i: int) -> tuple[dict[str, Parameters], list[tuple[int, list[float]]]]:
    """Groups and curve of the `i`th λ of a training that `_flat` made."""
    groups: dict[str, Parameters] = {name: {} for name in GROUPS}
    for place, stacked in flat.items():
        name, _, key = place.partition("/")
        if name in groups:
            groups[name][key] = torch.tensor(stacked[i])
    return groups, list(zip(flat["updates"].tolist(), flat["losses"][:, i].tolist(), strict=True))
