"""The stage of a run in which all contributors' records train at one place."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.data.crowd import Description, Ints, Population, Records
from fl_tiprdc.evaluation.certificate import codes_for
from fl_tiprdc.experiment.further_attacks import Job, kept_groups
from fl_tiprdc.experiment.outcome import Outcome, audited_release, certified, note_codes
from fl_tiprdc.experiment.parallel import as_done, give_memory_back
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.hybrid.centralized import LossCurve, train_centralized
from fl_tiprdc.hybrid.coding import fit_at_one_place, fitting, set_aside
from fl_tiprdc.hybrid.cohort import CohortResult
from fl_tiprdc.hybrid.device import training_device
from fl_tiprdc.hybrid.schedule import schedule_for
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.arrays import Arrays, GroupArrays, released_groups
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.draws import Draws, draws_from
from fl_tiprdc.seeding import torch_generator
from fl_tiprdc.wire.messages import LOSSES


def train_at_one_place(
    experiment: Experiment,
    population: Population,
    stages: Stages,
    outcome: Outcome,
    rounds: list[dict[str, object]],
    kept: Kept,
) -> list[Job]:
    """Train side by side, one training on each core: that wastes less than several cores on one of them.

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
        for seed, method in itertools.product(experiment.seeds, experiment.methods)
        # codes of all values of λ share one extractor
        for some in ([experiment.lambdas] if experiment.method_config(method).coding else lambdas)
    }
    longest_first = sorted(
        (name for name in trainings if not kept.has(name)),
        key=lambda name: -len(schedule_for(experiment.method_config(trainings[name][1]), steps)),
    )
    records = population.contributors.records()
    description = population.contributors.description
    with stages.stage("train centralized", len(trainings) * steps) as ticker:
        ticker.tick(steps * (len(trainings) - len(longest_first)))
        shared = (experiment, description, records, population.contributors.participant)
        work = {name: partial(_train, *shared, *trainings[name]) for name in longest_first}
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
    certifying = {
        (seed, method): set_aside(population.contributors.participant, experiment.method_config(method), seed)
        for seed, method in itertools.product(experiment.seeds, experiment.methods)
    }
    trained = {
        Point(method, lam, seed): _one_of(kept.arrays(name), i)
        for name, (seed, method, some) in trainings.items()
        for i, lam in enumerate(some)
    }
    jobs: list[Job] = []
    for seed, method, lam in itertools.product(experiment.seeds, experiment.methods, experiment.lambdas):
        point = Point(method, lam, seed)
        arrays, curve, counts, note = trained[point]
        step = HybridStep(description, experiment.network, experiment.method_config(method))
        made = released_groups(arrays)
        outcome.extractors["centralized", point] = made
        note_codes(outcome, experiment, description, "centralized", point, arrays)
        unfitted = np.flatnonzero(certifying[seed, method]) if "codes" in arrays else None
        crowds = population.contributors, population.held_out
        release = audited_release(experiment, "centralized", point, made, *crowds, unfitted=unfitted)
        jobs.append(Job(release, None, kept_groups(experiment, step, arrays)))
        if counts is not None:
            outcome.certified.append(certified(experiment, "centralized", point, counts, description, note))
        where = {"setting": "centralized", "method": method, "lam": lam, "seed": seed}
        rounds += [
            {**where, "round": update, "phase": "update", **dict(zip(LOSSES, losses, strict=True))}
            for update, losses in (curve if "codes" not in arrays or lam == experiment.lambdas[0] else ())
        ]
    return jobs


def _train(
    experiment: Experiment,
    description: Description,
    records: Records,
    participant: Ints,
    seed: int,
    method: str,
    lambdas: tuple[float, ...],
    tick: Callable[[], None] = lambda: None,
) -> Arrays:
    config = experiment.method_config(method)
    step = HybridStep(description, experiment.network, config)
    aside = set_aside(participant, config, seed)
    trained, curve = train_centralized(
        step,
        fitting(records, aside),
        (config.coding.adversarial,) if config.coding else lambdas,
        seed,
        experiment.centralized,
        lambda done, of: tick(),
        training_device(),
    )
    arrays = _flat(trained, curve)
    if config.coding:
        extractor = {name: value[0] for name, value in trained.groups["extractor"].items()}

        def draws(codes: Codes) -> Draws:
            which = (seed, "release", "centralized", "contributors", method, codes.digest)
            return draws_from(torch_generator(*which))

        bears = partial(codes_for, target=config.coding.target)
        fit = fit_at_one_place(step, extractor, records, aside, lambdas, seed, bears, draws)
        each = [codes.arrays() for codes in fit.couplings]
        arrays |= {f"codes/{name}": np.stack([one[name] for one in each]) for name in each[0]}
        arrays["counts"] = fit.counts.astype(np.float32)
        arrays["note"] = np.frombuffer(fit.note.encode(), dtype=np.uint8).astype(np.float32)
    return arrays


def _flat(result: CohortResult, curve: LossCurve) -> Arrays:
    """Return a centralized training as named arrays: its groups, and its curve."""
    arrays = {f"{name}/{key}": v.numpy() for name, group in result.groups.items() for key, v in group.items()}
    arrays["updates"] = np.array([update for update, _ in curve], dtype=np.int64)
    losses = [losses.numpy() for _, losses in curve]
    arrays["losses"] = np.stack(losses) if losses else np.zeros((0, len(result.losses), len(LOSSES)), np.float32)
    return arrays


def _one_of(flat: Arrays, i: int) -> tuple[GroupArrays, list[tuple[int, list[float]]], Ints | None, str]:
    """Return groups, curve, counts of codes and note of the `i`th λ of a training that `_train` made."""
    groups: GroupArrays = {}
    for place, stacked in flat.items():
        name, _, key = place.partition("/")
        if key:  # codes of all λ share one extractor
            groups.setdefault(name, {})[key] = stacked[i if name == "codes" else min(i, len(stacked) - 1)]
    losses = flat["losses"]
    curve = list(zip(flat["updates"].tolist(), losses[:, min(i, losses.shape[1] - 1)].tolist(), strict=True))
    if "counts" not in flat:
        return groups, curve, None, ""
    return groups, curve, flat["counts"][i].astype(np.int64), flat["note"].astype(np.uint8).tobytes().decode()
