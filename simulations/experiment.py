"""One run, from configuration to result tables: train centralised and federated, publish, audit."""

import itertools
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.config import Experiment
from fl_tiprdc.data import load_population
from fl_tiprdc.data.crowd import Crowd, Description, Floats, Ints, Population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.data.raw_features import raw_features, raw_shape
from fl_tiprdc.evaluation.audit import Release, Truth, audit, truth_of
from fl_tiprdc.evaluation.reconstruction import Examples, Reconstruction, is_wanted, reconstruct
from fl_tiprdc.federated.client_store import write_client_store
from fl_tiprdc.federated.launch import launch_all
from fl_tiprdc.federated.messages import Arrays
from fl_tiprdc.federated.publication import read_store
from fl_tiprdc.federated.server_app import Point, Trained, exchanges_in, serve_point
from fl_tiprdc.hybrid.centralized import Curve, train_centralized
from fl_tiprdc.hybrid.cohort import CohortResult
from fl_tiprdc.hybrid.program import program_for
from fl_tiprdc.hybrid.step import GROUPS, HybridStep, Parameters
from fl_tiprdc.models.networks import representation_shape, representation_width
from fl_tiprdc.seeding import torch_generator
from simulations.further import Job, attack_further, attacked_jobs, audit_name, kept_groups
from simulations.kept import Kept
from simulations.stages import Stages

LOSSES = ("privacy", "information", "adversary")


@dataclass
class Outcome:
    """What a run found.

    Attributes:
        metrics: rows of metrics.csv.
        rounds: rows of rounds.csv.
        traffic: bytes of stages: sent to clients, received in training, received as publication.
        failures: clients' failures in federated training by kind; none, where all replies were good.
        extractors: (setting, point) -> arrays of the extractor.
        representation: numbers in a representation.
        description: meaning of x and of the private labels.
        examples: (setting, method, lam, seed) -> images and what an attacker makes of their releases.
    """

    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    rounds: pd.DataFrame = field(default_factory=pd.DataFrame)
    traffic: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    extractors: dict[tuple[str, Point], Arrays] = field(default_factory=dict)
    representation: int = 0
    description: Description | None = None
    examples: dict[tuple[str, str, float, int], Examples] = field(default_factory=dict)


def release_folder(root: Path, setting: str, point: Point) -> Path:
    """Folder of one publication or model."""
    return root / setting / point.method / f"lam-{point.lam:g}" / f"seed-{point.seed}"


def represent(step: HybridStep, extractor: Parameters, crowd: Crowd, setting: str, group: str, point: Point) -> Floats:
    """Representations of a crowd by an extractor that is at hand: [n, d]."""
    generator = torch_generator(point.seed, "release", setting, group, point.method, str(point.lam))
    return step.release_all(extractor, crowd.x, generator, step.method.sigma(point.lam))


def _white_box(step: HybridStep, extractor: Parameters, crowd: Crowd, lam: float) -> tuple[Floats | None, float]:
    """What an attacker with the extractor knows of a release: what it is without the noise, and σ."""
    if not (sigma := step.method.sigma(lam)):
        return None, 0.0
    return step.release_all(extractor, crowd.x, torch_generator(0, "no-noise"), 0.0), sigma


def run_experiment(experiment: Experiment, publication: Path, stages: Stages, kept: Kept) -> Outcome:
    """Carry out a run.

    Args:
        experiment: what to do.
        publication: folder for what the clients publish.
        stages: clock and progress display.
        kept: finished parts, of this run and of the interrupted one that it resumes.

    Raises:
        InputError: the experiment doesn't fit the data.
        TooManyFailuresError: more clients failed than allowed.
    """
    with stages.stage("load data", 1):
        population = load_population(experiment.dataset, experiment.private, experiment.held_out, experiment.data)
        crowd = population.contributors
        parts = {
            seed: partition(crowd.private, experiment.clients, experiment.partition, seed, crowd.participant)
            for seed in experiment.seeds
        }
    width = representation_width(crowd.description, experiment.network)
    outcome = Outcome(representation=width, description=crowd.description)
    rounds: list[dict[str, object]] = []
    jobs = _untrained(experiment, population, stages)
    if "centralized" in experiment.settings:
        jobs += _centralized(experiment, population, stages, outcome, rounds, kept)
    if "federated" in experiment.settings:
        jobs += _federated(experiment, population, parts, publication, stages, outcome, rounds, kept)
    outcome.rounds = pd.DataFrame(rounds)
    outcome.metrics = _audit(experiment, population, jobs, stages, kept)
    further = attack_further(experiment, population, jobs, outcome.metrics, stages, kept)
    outcome.metrics = pd.concat([outcome.metrics, *([further] if len(further) else [])], ignore_index=True)
    if is_wanted(experiment.audit, crowd.description):
        _reconstruct(experiment, population, jobs, stages, outcome)
    return outcome


def _untrained(experiment: Experiment, population: Population, stages: Stages) -> list[Job]:
    known, unknown = raw_features(population.contributors), raw_features(population.held_out)
    shape = raw_shape(population.contributors.description)
    jobs = [Job(Release("raw", "raw", 0.0, seed, known, unknown, shape=shape)) for seed in experiment.seeds]
    names = experiment.baselines if "baseline" in experiment.settings else ()
    dials = {name: experiment.dials.get(name, BASELINES[name].dials) for name in names}
    with stages.stage("baselines", len(experiment.seeds) * sum(map(len, dials.values()))) as ticker:
        for seed in experiment.seeds:
            for name, values in dials.items():
                release = BASELINES[name].fit(population.contributors, population.held_out, seed)
                for dial in values:
                    jobs.append(Job(Release("baseline", name, dial, seed, *release(dial))))
                    ticker.tick()
    return jobs


def _centralized(
    experiment: Experiment,
    population: Population,
    stages: Stages,
    outcome: Outcome,
    rounds: list[dict[str, object]],
    kept: Kept,
) -> list[Job]:
    """Trainings side by side, one on each core: that wastes less than several cores on one of them.

    A training has some values of λ, so that there are enough for all cores; the longest are begun first.
    """
    cores = torch.get_num_threads()
    lambdas = [experiment.lambdas[i::cores] for i in range(min(cores, len(experiment.lambdas)))]
    trainings = [(seed, method, some) for seed in experiment.seeds for method in experiment.methods for some in lambdas]
    records = population.contributors.records()
    steps = experiment.centralized.steps
    trained: dict[Point, tuple[HybridStep, dict[str, Parameters], list[tuple[int, list[float]]]]] = {}
    with stages.stage("train centralised", len(trainings) * steps) as ticker:

        def train(training: tuple[int, str, tuple[float, ...]]) -> None:
            torch.set_num_threads(max(1, cores // len(trainings)))
            seed, method, some = training
            step = HybridStep(population.contributors.description, experiment.network, experiment.method_config(method))

            def anew() -> Arrays:
                result, curve = train_centralized(
                    step, records, some, seed, experiment.centralized, lambda done, of: ticker.tick()
                )
                return _flat(result, curve)

            name = f"centralized/{method}/seed-{seed}/lam-{'-'.join(f'{lam:g}' for lam in some)}"
            if kept.has(name):
                ticker.tick(steps)
            flat = kept.arrays(name, anew)
            for i, lam in enumerate(some):
                trained[Point(method, lam, seed)] = (step, *_one_of(flat, i))

        with ThreadPoolExecutor(cores) as pool:
            longest_first = sorted(trainings, key=lambda t: -len(program_for(experiment.method_config(t[1]), steps)))
            list(pool.map(train, longest_first))
        torch.set_num_threads(cores)
    jobs: list[Job] = []
    for seed, method, lam in itertools.product(experiment.seeds, experiment.methods, experiment.lambdas):
        point = Point(method, lam, seed)
        step, groups, curve = trained[point]
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
            *_white_box(step, extractor, population.contributors, lam),
            representation_shape(step.description, step.network),
        )
        jobs.append(Job(release, None, kept_groups(experiment, step, arrays)))
        where = {"setting": "centralized", "method": method, "lam": lam, "seed": seed}
        rounds += [
            {**where, "round": update, "phase": "update", **dict(zip(LOSSES, losses, strict=True))}
            for update, losses in curve
        ]
    return jobs


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


def _federated(
    experiment: Experiment,
    population: Population,
    parts: dict[int, list[Ints]],
    publication: Path,
    stages: Stages,
    outcome: Outcome,
    rounds: list[dict[str, object]],
    kept: Kept,
) -> list[Job]:
    jobs: list[Job] = []
    description = population.contributors.description
    of_one_seed = len(experiment.lambdas) * sum(exchanges_in(experiment, method) for method in experiment.methods)
    total = len(experiment.seeds) * of_one_seed
    with stages.stage("train federated", total) as ticker:
        for number, seed in enumerate(experiment.seeds):
            points = [Point(method, lam, seed) for method in experiment.methods for lam in experiment.lambdas]
            servers = [
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
            with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
                store = Path(folder) / "clients"
                write_client_store(store, population.contributors.records(), parts[seed], description, seed)
                trained = launch_all(
                    experiment.runtime,
                    servers,
                    store,
                    experiment.actors,
                    experiment.ray_address,
                    lambda done, before=number * of_one_seed: ticker.of(before + done, total),  # type: ignore[misc]
                )
            for one in trained:
                jobs.append(_federated_job(experiment, population, parts[seed], publication, one))
                outcome.extractors["federated", one.point] = one.groups["extractor"]
                _note_exchanges(one, outcome, rounds)
    return jobs


def _federated_job(
    experiment: Experiment, population: Population, parts: list[Ints], publication: Path, one: Trained
) -> Job:
    """The audit of what was published: the store joined with the truth by client and record."""
    point = one.point
    client, record, z = read_store(release_folder(publication, "federated", point))
    starts = np.cumsum([0, *map(len, parts)])
    rows = np.concatenate(parts)[starts[client] + record]
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config(point.method))
    extractor = {k: torch.tensor(v) for k, v in one.groups["extractor"].items()}
    held_out = represent(step, extractor, population.held_out, "federated", "held-out", point)
    clean, sigma = _white_box(step, extractor, population.contributors, point.lam)
    clean = None if clean is None else clean[rows]
    shape = representation_shape(step.description, step.network)
    release = Release("federated", point.method, point.lam, point.seed, z, held_out, clean, sigma, shape)
    return Job(release, rows, kept_groups(experiment, step, one.groups))


def _note_exchanges(one: Trained, outcome: Outcome, rounds: list[dict[str, object]]) -> None:
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


def _audit(
    experiment: Experiment, population: Population, jobs: Sequence[Job], stages: Stages, kept: Kept
) -> pd.DataFrame:
    known, unknown = truth_of(population.contributors), truth_of(population.held_out)
    work = {
        audit_name(job.release): joblib.delayed(_audit_one)(
            job.release, known if job.rows is None else known.take(job.rows), unknown, experiment
        )
        for job in jobs
    }
    with stages.stage("audit", len(jobs)) as ticker:
        return pd.concat(kept.tables("audit", work, ticker), ignore_index=True)


def _audit_one(release: Release, known: Truth, unknown: Truth, experiment: Experiment) -> pd.DataFrame:
    torch.set_num_threads(1)
    return audit(release, known, unknown, experiment.audit)


def _reconstruct(
    experiment: Experiment, population: Population, jobs: Sequence[Job], stages: Stages, outcome: Outcome
) -> None:
    """The reconstruction attack on what would be published: baselines, and federated releases where there are any.

    In threads, which share the raw records.
    """
    attacked = [job for job in attacked_jobs(jobs) if job.release.setting != "raw"]
    cores = torch.get_num_threads()
    with stages.stage("reconstruction", len(attacked)) as ticker:

        def attack(job: Job) -> Reconstruction:
            torch.set_num_threads(1)
            found = reconstruct(job.release, population.contributors, population.held_out, experiment.audit, job.rows)
            ticker.tick()
            return found

        with ThreadPoolExecutor(joblib.cpu_count()) as pool:
            results = list(pool.map(attack, attacked))
        torch.set_num_threads(cores)
    for job, found in zip(attacked, results, strict=True):
        release = job.release
        if found.examples is not None:
            outcome.examples[release.setting, release.method, release.lam, release.seed] = found.examples
    tables = [outcome.metrics, *(found.metrics for found in results if len(found.metrics))]
    outcome.metrics = pd.concat(tables, ignore_index=True)
