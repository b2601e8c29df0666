"""The stage of a run in which the attacks beside the panel's take place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Ints, Population
from fl_tiprdc.evaluation.attack_answers import AttackAnswer
from fl_tiprdc.evaluation.attacks.membership import white_box_records
from fl_tiprdc.evaluation.attacks.registry import FURTHER, Case, Networks
from fl_tiprdc.evaluation.audit import AuditedRelease, truth_of
from fl_tiprdc.evaluation.frontier import POINT
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.arrays import GroupArrays, released_groups

Answers = Mapping[str, tuple[AttackAnswer, ...]]  # by the release's `audit_name`


@dataclass(frozen=True)
class Job:
    """Hold a release to audit.

    Attributes:
        release: the representations.
        rows: positions of its rows among all contributors; None: all in order.
        groups: arrays of the networks that made it, the extractor at least; None: nobody trained any.
    """

    release: AuditedRelease
    rows: Ints | None = None
    groups: GroupArrays | None = None


def audit_name(release: AuditedRelease) -> str:
    """Return the name that the tables of a release are kept under."""
    return "/".join(f"{getattr(release, part):g}" if part == "lam" else str(getattr(release, part)) for part in POINT)


def attacked_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Return what would be published, and the raw data it is compared with.

    Published are baselines, and federated releases where there are any, else centralized ones.
    """
    settings = {job.release.setting for job in jobs}
    left_out = {"centralized"} if "federated" in settings else set()
    return [job for job in jobs if job.release.setting not in left_out]


def kept_groups(experiment: Experiment, step: HybridStep, groups: GroupArrays) -> GroupArrays:
    """Return the trained arrays that further attacks need: all three networks, which may be large, only for losses."""
    losses = "membership" in experiment.audit.further and white_box_records(step) > 0
    return groups if losses else released_groups(groups)


def attack_further(
    experiment: Experiment,
    population: Population,
    jobs: Sequence[Job],
    metrics: pd.DataFrame,
    answers: Answers,
    stages: Stages,
    kept: Kept,
) -> pd.DataFrame:
    """Make every further attack of the experiment on every release that it can attack.

    Args:
        experiment: names the attacks.
        population: raw records and ground truth.
        jobs: the releases; raw data among them.
        metrics: what the audit found of them.
        answers: what its attackers said of held-out people, where an attack takes that.
        stages: clock and progress display.
        kept: finished parts.

    Returns:
        Rows of metrics.csv, in the order of releases and attacks.
    """
    known, unknown = truth_of(population.contributors), truth_of(population.held_out)
    raw = next((job.release.contributors, job.release.held_out) for job in jobs if job.release.setting == "raw")
    work: dict[str, Any] = {}
    for job in attacked_jobs(jobs):
        release, rows = job.release, job.rows
        point = [getattr(release, name) for name in POINT]
        whole = Case(
            release,
            known if rows is None else known.take(rows),
            unknown,
            experiment.audit,
            rows,
            raw,
            _networks(experiment, population, job),
            metrics[(metrics[POINT] == point).all(axis=1)],
            population.contributors.description.columns,
            answers.get(audit_name(release)),
        )
        for name in experiment.audit.further:
            if (case := FURTHER[name].case(whole)) is not None:
                work[f"{audit_name(release)}/{name}"] = partial(_attack_one, name, case)
    if not work:
        return pd.DataFrame(columns=metrics.columns)
    with stages.stage("further attacks", len(work)) as ticker:
        return pd.concat(kept.tables("further", work, ticker, experiment.ray_address), ignore_index=True)


def _networks(experiment: Experiment, population: Population, job: Job) -> Networks | None:
    if job.groups is None:
        return None
    method = experiment.method_config(job.release.method)
    sigma, crowds = method.sigma(job.release.lam), (population.contributors, population.held_out)
    return Networks(experiment.network, method, job.groups, sigma, *crowds, job.release.lam)


def _attack_one(name: str, case: Case) -> pd.DataFrame:
    torch.set_num_threads(1)
    return FURTHER[name].find(case)
