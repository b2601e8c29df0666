"""One run, from configuration to result tables: train centralised and federated, publish, audit."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.config import Experiment
from fl_tiprdc.data import load_population
from fl_tiprdc.data.crowd import Crowd, Floats, Ints, Population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.data.raw_features import raw_features, raw_shape
from fl_tiprdc.evaluation.audit import Release, Truth, audit, truth_of
from fl_tiprdc.evaluation.reconstruction import Examples, Reconstruction, is_wanted, reconstruct
from fl_tiprdc.federated.client_store import write_client_store
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.messages import Arrays
from fl_tiprdc.federated.publication import read_store
from fl_tiprdc.federated.server_app import Point, Trained, exchanges_in, serve
from fl_tiprdc.hybrid.centralized import Curve, train_centralized
from fl_tiprdc.hybrid.cohort import CohortResult
from fl_tiprdc.hybrid.step import HybridStep, Parameters
from fl_tiprdc.models.networks import representation_shape, representation_width
from fl_tiprdc.seeding import torch_generator
from simulations.further import Job, attack_further, attacked_jobs, kept_groups
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
        examples: (setting, method, lam, seed) -> images and what an attacker makes of their releases.
    """

    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    rounds: pd.DataFrame = field(default_factory=pd.DataFrame)
    traffic: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    extractors: dict[tuple[str, Point], Arrays] = field(default_factory=dict)
    representation: int = 0
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


def run_experiment(experiment: Experiment, publication: Path, stages: Stages) -> Outcome:
    """Carry out a run.

    Args:
        experiment: what to do.
        publication: folder for what the clients publish.
        stages: clock and progress display.

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
    outcome = Outcome(representation=representation_width(crowd.description, experiment.network))
    rounds: list[dict[str, object]] = []
    jobs = _untrained(experiment, population, stages)
    if "centralized" in experiment.settings:
        jobs += _centralized(experiment, population, stages, outcome, rounds)
    if "federated" in experiment.settings:
        jobs += _federated(experiment, population, parts, publication, stages, outcome, rounds)
    outcome.rounds = pd.DataFrame(rounds)
    outcome.metrics = _audit(experiment, population, jobs, stages)
    further = attack_further(experiment, population, jobs, outcome.metrics, stages)
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
) -> list[Job]:
    """Methods and seeds side by side, one on each core: that wastes less than several cores on one of them."""
    trainings = [(seed, method) for seed in experiment.seeds for method in experiment.methods]
    records = population.contributors.records()
    cores = torch.get_num_threads()
    with stages.stage("train centralised", len(trainings) * experiment.centralized.steps) as ticker:

        def train(training: tuple[int, str]) -> tuple[HybridStep, CohortResult, Curve]:
            torch.set_num_threads(max(1, cores // len(trainings)))
            seed, method = training
            step = HybridStep(population.contributors.description, experiment.network, experiment.method_config(method))
            result, curve = train_centralized(
                step, records, experiment.lambdas, seed, experiment.centralized, lambda done, of: ticker.tick()
            )
            return step, result, curve

        with ThreadPoolExecutor(cores) as pool:
            trained = list(pool.map(train, trainings))
        torch.set_num_threads(cores)
    jobs: list[Job] = []
    for (seed, method), (step, result, curve) in zip(trainings, trained, strict=True):
        for i, lam in enumerate(experiment.lambdas):
            point = Point(method, lam, seed)
            groups = {name: {k: v[i] for k, v in group.items()} for name, group in result.groups.items()}
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
                {**where, "round": update, "phase": "update", **dict(zip(LOSSES, losses[i].tolist(), strict=True))}
                for update, losses in curve
            ]
    return jobs


def _federated(
    experiment: Experiment,
    population: Population,
    parts: dict[int, list[Ints]],
    publication: Path,
    stages: Stages,
    outcome: Outcome,
    rounds: list[dict[str, object]],
) -> list[Job]:
    jobs: list[Job] = []
    description = population.contributors.description
    exchanges = sum(exchanges_in(experiment, method) for method in experiment.methods)
    total = len(experiment.seeds) * len(experiment.lambdas) * exchanges
    with stages.stage("train federated", total) as ticker:
        for seed in experiment.seeds:
            points = [Point(method, lam, seed) for method in experiment.methods for lam in experiment.lambdas]
            with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
                store = Path(folder) / "clients"
                write_client_store(store, population.contributors.records(), parts[seed], description, seed)
                trained = launch(
                    experiment.runtime,
                    lambda grid, points=points: serve(  # type: ignore[misc]
                        grid,
                        experiment,
                        description,
                        points,
                        lambda point: release_folder(publication, "federated", point),
                        lambda point, exchange: ticker.tick(),
                    ),
                    store,
                    experiment.actors,
                    experiment.ray_address,
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


def _audit(experiment: Experiment, population: Population, jobs: Sequence[Job], stages: Stages) -> pd.DataFrame:
    known, unknown = truth_of(population.contributors), truth_of(population.held_out)
    work: list[Callable[[], pd.DataFrame]] = [
        joblib.delayed(_audit_one)(
            i, job.release, known if job.rows is None else known.take(job.rows), unknown, experiment
        )
        for i, job in enumerate(jobs)
    ]
    tables: dict[int, pd.DataFrame] = {}
    with stages.stage("audit", len(jobs)) as ticker:
        parallel = joblib.Parallel(
            n_jobs=joblib.cpu_count(), return_as="generator_unordered", inner_max_num_threads=1, backend="loky"
        )
        for i, table in parallel(work):
            tables[i] = table
            ticker.tick()
    return pd.concat([tables[i] for i in sorted(tables)], ignore_index=True)


def _audit_one(
    number: int, release: Release, known: Truth, unknown: Truth, experiment: Experiment
) -> tuple[int, pd.DataFrame]:
    torch.set_num_threads(1)
    return number, audit(release, known, unknown, experiment.audit)


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
