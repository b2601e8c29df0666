"""A crowd that is large enough for codes, and experiments on it that take seconds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid
from rich.console import Console

from fl_tiprdc.config import Experiment, Point, build_experiment, merge
from fl_tiprdc.data.crowd import Crowd, Population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.evaluation.certificate import codes_for
from fl_tiprdc.experiment.carry_out import carry_out
from fl_tiprdc.experiment.outcome import Outcome
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.federated.server_app import Trained, serve_coded
from fl_tiprdc.methods import METHODS
from tests.conftest import SMALL

CODES, CLIENTS, LAMBDAS = 8, 6, (0.0, 1.0)


def coded(coding: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    """An experiment with method `coded` and few codes; `coding` changes these settings."""
    few = {"codes": CODES, "coupling_rounds": 4, "lloyd_rounds": 1, **(coding or {})}
    method = METHODS["coded"].settings.model_dump()
    method["coding"] = {**method["coding"], **few}
    quick = {
        "methods": ("coded",),
        "method": {"coded": method},
        "clients": CLIENTS,
        "lambdas": LAMBDAS,
        "federation": {"rounds": 2},
    }
    return build_experiment(merge(merge(SMALL, quick), changes))


def store_of(crowd: Crowd, root: Path, clients: int = CLIENTS, spec: str = "iid") -> ClientStore:
    """The crowd's records, at so many clients."""
    parts = partition(crowd.private, clients, spec, 0)
    write_client_store(root, crowd.records(), parts, crowd.description, 0)
    return ClientStore(root)


def server_of(
    experiment: Experiment,
    crowd: Crowd,
    folder: Path,
    checkpoint: Path | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> Callable[[Grid], list[Trained]]:
    """What a server does for all values of λ; publications go to `publication_at`."""
    points: Sequence[Point] = [Point("coded", lam, 0) for lam in experiment.lambdas]
    folders = [publication_at(folder, lam) for lam in experiment.lambdas]
    return lambda grid: serve_coded(
        grid, tell, experiment, crowd.description, points, folders, codes_for, checkpoint=checkpoint
    )


def publication_at(folder: Path, lam: float) -> Path:
    """Where the publication of one λ is."""
    return folder / f"lam-{lam:g}"


def run_on(population: Population, folder: Path, **changes: Any) -> tuple[Outcome, Experiment]:
    """What a run finds on a population, and the experiment."""
    experiment = coded(**changes)
    with Stages(Console(quiet=True)) as stages:
        kept = Kept(folder / "kept")
        return carry_out(experiment, folder / "publication", stages, kept, population=population), experiment
