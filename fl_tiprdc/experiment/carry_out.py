"""One run, from configuration to result tables: train centralized and federated, publish, audit."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import pandas as pd
import torch
from flwr.serverapp import Grid

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.data.raw_features import raw_features, raw_shape
from fl_tiprdc.evaluation.attack_answers import AttackAnswer, answers_of, answers_table
from fl_tiprdc.evaluation.attacks.exact_attack import exact_attack
from fl_tiprdc.evaluation.attacks.reconstruction import Constants, Reconstruction, is_wanted, reconstruct
from fl_tiprdc.evaluation.attacks.registry import take_answers
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, audit, truth_of
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS
from fl_tiprdc.evaluation.frontier import best_models
from fl_tiprdc.evaluation.limits import FOLDS, task_limits
from fl_tiprdc.evaluation.scores import Weights, resample
from fl_tiprdc.experiment.centralized_stage import train_at_one_place
from fl_tiprdc.experiment.code_risks import code_risks
from fl_tiprdc.experiment.federated_stage import train_federated
from fl_tiprdc.experiment.further_attacks import Answers, Job, attack_further, attacked_jobs, audit_name
from fl_tiprdc.experiment.on_disk import on_disk
from fl_tiprdc.experiment.outcome import Outcome
from fl_tiprdc.experiment.parallel import end_workers
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.federated.launch import ray_session
from fl_tiprdc.models.networks import representation_width


def carry_out(
    experiment: Experiment,
    publication: Path,
    stages: Stages,
    kept: Kept,
    *,
    population: Population,
    grid: Grid | None = None,
) -> Outcome:
    """Do a run's work: train centralized and federated, publish, audit.

    Args:
        experiment: what to do.
        publication: folder for what the clients publish.
        stages: clock and progress display.
        kept: finished parts, of this run and of the interrupted one that it resumes.
        population: the people.
        grid: clients that hold this experiment's partitions already; None: the experiment's runtime makes them.

    Raises:
        InputError: the experiment doesn't fit the data.
        TooManyFailuresError: more clients failed than allowed.
    """
    address = experiment.ray_address
    # one session for all stages: connecting to a cluster again was seen to hang
    session: AbstractContextManager[object] = ray_session(0, address) if address else nullcontext()
    with session, tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as releases:
        return _run_stages(experiment, population, publication, Path(releases), stages, kept, grid)


def _run_stages(
    experiment: Experiment,
    population: Population,
    publication: Path,
    releases: Path,
    stages: Stages,
    kept: Kept,
    grid: Grid | None,
) -> Outcome:
    crowd = population.contributors
    parts = {
        seed: partition(crowd.private, experiment.clients, experiment.partition, seed, crowd.participant)
        for seed in experiment.seeds
    }
    width = representation_width(crowd.description, experiment.network)
    outcome = Outcome(representation=width, description=crowd.description)
    rounds: list[dict[str, object]] = []
    jobs = untrained_jobs(experiment, population, releases, stages)
    if "centralized" in experiment.settings:
        jobs += train_at_one_place(experiment, population, stages, outcome, rounds, kept)
    if "federated" in experiment.settings:
        jobs += train_federated(experiment, population, parts, publication, stages, outcome, rounds, kept, grid)
    outcome.rounds = pd.DataFrame(rounds)
    examine(experiment, population, jobs, stages, outcome, kept)
    return outcome


def examine(
    experiment: Experiment, population: Population, jobs: Sequence[Job], stages: Stages, outcome: Outcome, kept: Kept
) -> None:
    """Audit releases, attack them further, and reconstruct raw records; the outcome gets what is found.

    Args:
        experiment: the panel and the attacks.
        population: raw records and ground truth.
        jobs: the releases; raw data among them.
        stages: clock and progress display.
        outcome: without metrics so far.
        kept: finished parts.
    """
    stages.tracker.exchanges(outcome.rounds)
    outcome.metrics, answers = _audit(experiment, population, jobs, stages, kept)
    bounds = [one.rows() for one in outcome.certified]
    limits = _limits(experiment, population, jobs, outcome.metrics, stages, kept)
    outcome.metrics = pd.concat([outcome.metrics, *bounds, *limits], ignore_index=True)
    outcome.risk = code_risks(population, jobs)
    further = attack_further(experiment, population, jobs, outcome.metrics, answers, stages, kept)
    outcome.metrics = pd.concat([outcome.metrics, *([further] if len(further) else [])], ignore_index=True)
    if is_wanted(experiment.audit, population.contributors.description):
        _reconstruct(experiment, population, jobs, stages, outcome)


def untrained_jobs(experiment: Experiment, population: Population, releases: Path, stages: Stages) -> list[Job]:
    """Return jobs of raw data and the baselines; their arrays, as wide as the raw data, are left in `releases`."""
    crowd, others = population.contributors, population.held_out
    shape = raw_shape(crowd.description)
    raw = on_disk(
        AuditedRelease("raw", "raw", 0.0, 0, raw_features(crowd), raw_features(others), shape=shape), releases
    )
    jobs = [Job(replace(raw, seed=seed)) for seed in experiment.seeds]
    names = experiment.baselines if "baseline" in experiment.settings else ()
    dials = {name: experiment.dials.get(name, BASELINES[name].dials) for name in names}
    with stages.stage("baselines", len(experiment.seeds) * sum(map(len, dials.values()))) as ticker:
        for seed in experiment.seeds:
            for name, values in dials.items():
                release = BASELINES[name].fit(crowd, others, seed)
                for dial in values:
                    jobs.append(Job(on_disk(AuditedRelease("baseline", name, dial, seed, *release(dial)), releases)))
                    ticker.tick()
    return jobs


def _audit(
    experiment: Experiment, population: Population, jobs: Sequence[Job], stages: Stages, kept: Kept
) -> tuple[pd.DataFrame, Answers]:
    """Return rows of metrics.csv, and what attackers say of held-out people, for further attacks that go on from it."""
    known, unknown = truth_of(population.contributors), truth_of(population.held_out)
    asked_for = (
        {audit_name(job.release) for job in attacked_jobs(jobs)} if take_answers(experiment.audit.further) else set()
    )
    work = {
        name: partial(
            _audit_one,
            job.release,
            known if job.rows is None else known.take(job.rows),
            unknown,
            experiment,
            name in asked_for,
        )
        for name, job in ((audit_name(job.release), job) for job in jobs)
    }
    with stages.stage("audit", len(jobs)) as ticker:
        done = kept.several(("audit", "answers"), work, ticker, experiment.ray_address)
    answers = {name: answers_of(table) for name, (_, table) in zip(work, done, strict=True) if name in asked_for}
    return pd.concat([found for found, _ in done], ignore_index=True), answers


def _audit_one(
    release: AuditedRelease, known: Truth, unknown: Truth, experiment: Experiment, keep_answers: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    torch.set_num_threads(1)
    answers: list[AttackAnswer] = []
    on_answer = answers.append if keep_answers else None
    found = [audit(release, known, unknown, experiment.audit, on_answer=on_answer)]
    if release.codes is not None:
        weights = resample(unknown.participant, experiment.audit.bootstrap, 0)
        found.append(
            exact_attack(release, *release.codes, known, unknown, weights, release.unfitted, on_answer=on_answer)
        )
    return pd.concat(found, ignore_index=True), answers_table(answers)


def _limits(
    experiment: Experiment,
    population: Population,
    jobs: Sequence[Job],
    metrics: pd.DataFrame,
    stages: Stages,
    kept: Kept,
) -> list[pd.DataFrame]:
    """Measure what each task can keep at most, at no leak and at each λ, for every seed; nothing of vectors alone.

    Models learn from as many records as the probes of raw data, which the limits are shares of, as far as there are
    so many.
    """
    known, unknown = truth_of(population.contributors), truth_of(population.held_out)
    if not known.tasks or all(job.release.codes is None for job in jobs):
        return []
    best = best_models(metrics[(metrics["setting"] == "raw") & (metrics["kind"] == "task")])
    learning = int((1 - experiment.audit.validation) * len(population.contributors))
    learned = min(experiment.audit.probe_records or learning, learning)
    weights = resample(unknown.participant, experiment.audit.bootstrap, 0)
    work = {
        f"seed-{release.seed}-task-{number}": partial(
            _limit_one,
            release,
            known.of_task(task),
            unknown.of_task(task),
            weights,
            best[best["seed"] == release.seed],
            -(-learned * FOLDS // (FOLDS - 1)),  # a model learns from all folds but one
            sorted({1.0, *(job.release.lam for job in jobs if job.release.codes is not None)}),
        )
        for release in (job.release for job in jobs)
        if release.setting == "raw"
        for number, task in enumerate(known.tasks)
    }
    with stages.stage("limits", len(work)) as ticker:
        return kept.tables("limits", work, ticker, experiment.ray_address)


def _limit_one(
    raw: AuditedRelease,
    known: Truth,
    unknown: Truth,
    weights: Weights,
    best: pd.DataFrame,
    records: int,
    shares: Sequence[float],
) -> pd.DataFrame:
    torch.set_num_threads(1)
    raw_auc = dict(zip(best["target"], best["value"], strict=True))
    names = best.loc[best["model"].isin(list(CLASSIFIERS)), "model"]
    classifier = str(names.mode().iloc[0]) if len(names) else "boosting"  # the best on raw data, of most tasks
    return task_limits(
        raw.contributors,
        raw.held_out,
        known,
        unknown,
        weights,
        raw_auc,
        shares,
        raw.seed,
        classifier=classifier,
        records=records,
    )


def _reconstruct(
    experiment: Experiment, population: Population, jobs: Sequence[Job], stages: Stages, outcome: Outcome
) -> None:
    """Reconstruct x from what would be published: from baselines, and federated releases where there are any.

    In threads, which share the raw records; the processes of earlier stages give their memory back first.
    """
    end_workers()
    attacked = [job for job in attacked_jobs(jobs) if job.release.setting != "raw"]
    cores = torch.get_num_threads()
    constants = Constants()
    with stages.stage("reconstruction", len(attacked)) as ticker:

        def attack(job: Job) -> Reconstruction:
            torch.set_num_threads(1)
            crowds = population.contributors, population.held_out
            reconstruction = reconstruct(job.release, *crowds, experiment.audit, job.rows, constants)
            ticker.tick()
            return reconstruction

        with ThreadPoolExecutor(joblib.cpu_count()) as pool:
            results = list(pool.map(attack, attacked))
        torch.set_num_threads(cores)
    for job, reconstruction in zip(attacked, results, strict=True):
        release = job.release
        if reconstruction.examples is not None:
            outcome.examples[release.setting, release.method, release.lam, release.seed] = reconstruction.examples
    tables = [outcome.metrics, *(reconstruction.metrics for reconstruction in results if len(reconstruction.metrics))]
    outcome.metrics = pd.concat(tables, ignore_index=True)
