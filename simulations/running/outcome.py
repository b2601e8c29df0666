"""What a run finds, and the representations that it audits."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fl_tiprdc.data.crowd import Crowd, Description, Floats
from fl_tiprdc.evaluation.reconstruction import Examples
from fl_tiprdc.federated.messages import Arrays
from fl_tiprdc.federated.server_app import Point
from fl_tiprdc.hybrid.step import HybridStep, Parameters
from fl_tiprdc.seeding import torch_generator


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


def white_box(step: HybridStep, extractor: Parameters, crowd: Crowd, lam: float) -> tuple[Floats | None, float]:
    """What an attacker with the extractor knows of a release: what it is without the noise, and σ."""
    if not (sigma := step.method.sigma(lam)):
        return None, 0.0
    return step.release_all(extractor, crowd.x, torch_generator(0, "no-noise"), 0.0), sigma
