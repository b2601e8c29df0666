"""The outcome of a run, and the representations that it audits."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.data.crowd import Crowd, Description, Ints
from fl_tiprdc.evaluation.attacks.reconstruction import Examples
from fl_tiprdc.evaluation.audit import AuditedRelease
from fl_tiprdc.evaluation.certified import CertifiedRelease, certify_release
from fl_tiprdc.experiment.code_map import code_map
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.models.networks import representation_shape
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.release.draws import Draws, draws_from
from fl_tiprdc.release.release import CodedRelease, Released, ReleaseMaker
from fl_tiprdc.seeding import torch_generator

DELTA = 0.05  # probability with which any certificate of a run may fail


@dataclass
class Outcome:
    """Hold what a run found.

    Attributes:
        metrics: rows of metrics.csv.
        rounds: rows of rounds.csv.
        traffic: bytes of stages: sent to clients and received, in training and for publication.
        failures: clients' failures in federated training by kind; none, where all replies were good.
        extractors: (setting, point) -> arrays of the extractor, and of codes where it has them.
        representation: numbers in a representation.
        description: meaning of x and of the private labels.
        examples: (setting, method, lam, seed) -> images and what an attacker makes of their releases.
        certified: the certificates of releases of codes.
        risk: rows of risk.csv: what each code of a release says of each private attribute.
        code_maps: (setting, method) -> map of the codes of the first seed, see `code_map`.
    """

    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    rounds: pd.DataFrame = field(default_factory=pd.DataFrame)
    traffic: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    extractors: dict[tuple[str, Point], GroupArrays] = field(default_factory=dict)
    representation: int = 0
    description: Description | None = None
    examples: dict[tuple[str, str, float, int], Examples] = field(default_factory=dict)
    certified: list[CertifiedRelease] = field(default_factory=list)
    risk: pd.DataFrame = field(default_factory=pd.DataFrame)
    code_maps: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)


def note_codes(
    outcome: Outcome, experiment: Experiment, description: Description, setting: str, point: Point, groups: GroupArrays
) -> None:
    """Note the map of a training's codes, where it has codes and is the first of its setting and method."""
    if "codes" in groups and (setting, point.method) not in outcome.code_maps:
        step = HybridStep(description, experiment.network, experiment.method_config(point.method))
        outcome.code_maps[setting, point.method] = code_map(step, setting, point, groups)


def release_folder(root: Path, setting: str, point: Point) -> Path:
    """Return the folder of one publication or model."""
    return root / setting / point.method / f"lam-{point.lam:g}" / f"seed-{point.seed}"


def certified(
    experiment: Experiment, setting: str, point: Point, counts: Ints, description: Description, note: str
) -> CertifiedRelease:
    """Certify a release of codes."""
    where = (setting, point.method, point.lam, point.seed)
    return certify_release(where, counts, description.attributes, error_probability(experiment), note)


def error_probability(experiment: Experiment) -> float:
    """Return the probability with which a certificate of a run may fail; all of them share `DELTA`."""
    return DELTA / max(1, experiment.certificates())


def maker(experiment: Experiment, description: Description, point: Point, groups: GroupArrays) -> ReleaseMaker:
    """Return what makes the releases of a trained point."""
    step = HybridStep(description, experiment.network, experiment.method_config(point.method))
    tensors = {name: {k: torch.tensor(v) for k, v in arrays.items()} for name, arrays in groups.items()}
    return step.release(tensors, point.lam)


def draws_for(how: ReleaseMaker, setting: str, group: str, point: Point) -> Draws:
    """Return the draws with which a group of people releases in a simulation."""
    which = how.codes.digest if isinstance(how, CodedRelease) else str(point.lam)
    return draws_from(torch_generator(point.seed, "release", setting, group, point.method, which))


def audited_release(
    experiment: Experiment,
    setting: str,
    point: Point,
    groups: GroupArrays,
    contributors: Crowd,
    held_out: Crowd,
    published: tuple[Ints, Released] | None = None,
    unfitted: Ints | None = None,
) -> AuditedRelease:
    """Put together what the audit of a trained point needs.

    Args:
        experiment: settings.
        setting: federated or centralized.
        point: which.
        groups: its arrays: the extractor, and codes where it has them.
        contributors: whom attackers learn from.
        held_out: whom they are tested on.
        published: positions among the contributors and what they published; None: they release now.
        unfitted: positions of contributors who had no part in fitting codes, among all; None: everybody.
    """
    description = contributors.description
    how = maker(experiment, description, point, groups)
    if published is None:
        rows: Ints = np.arange(len(contributors), dtype=np.int64)
        known = how.apply(contributors.x, contributors.private, draws_for(how, setting, "contributors", point))
    else:
        rows, known = published
    new = how.apply(held_out.x, held_out.private, draws_for(how, setting, "held-out", point))
    method = experiment.method_config(point.method)
    coded = isinstance(how, CodedRelease)
    sigma = 0.0 if coded else method.sigma(point.lam)
    clean = how.apply_without_noise(contributors.x, contributors.private)[rows] if sigma else None
    shape = representation_shape(description, experiment.network)
    return AuditedRelease(
        setting,
        point.method,
        point.lam,
        point.seed,
        known.z,
        new.z,
        clean,
        sigma,
        shape,
        None if known.codes is None or new.codes is None else (known.codes, new.codes),
        None if unfitted is None or not coded else np.flatnonzero(np.isin(rows, unfitted)),
    )
