"""Small slices of the real data, and small experiments on them."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from hypothesis import settings
from threadpoolctl import threadpool_limits

from fl_tiprdc.config import Experiment, Point, build_experiment, merge
from fl_tiprdc.data.crowd import Description, Population
from fl_tiprdc.data.datasets import DATASETS, Source, load_population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.federated.launch import start_ray
from fl_tiprdc.federated.local_messages import FIRST_NODE
from fl_tiprdc.federated.server_app import Trained, instruction_for, serve_point
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.wire.messages import pack_arrays
from tests.inline_grid import InlineGrid

# the same examples each time, so that what passes here passes elsewhere; HYPOTHESIS_PROFILE=random looks for new ones
settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.register_profile("random", deadline=None, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))

ROOT = Path(__file__).resolve().parent.parent

# files that take longest, of which one begun last would leave a core idle
LONGEST = (
    "resume",
    "runtimes",
    "run",
    "modalities",
    "coded_runtimes",
    "secagg",
    "report",
    "partitions",
    "engine_start",
    "docs",
)

SMALL: dict[str, Any] = {
    "methods": ("tiprdc", "tiprdc+"),  # codes need more people: tests/coded_crowd.py
    "clients": 6,
    "lambdas": (0.5,),
    "dials": {"gaussian-noise": (1.0,)},
    "runtime": "inline",
    "track": (),
    "network": {
        "representation": 8,
        "extractor_hidden": (24,),
        "adversary_hidden": (16,),
        "critic_hidden": (16,),
        "critic_embedding": 8,
    },
    "centralized": {"steps": 20, "batch_size": 64},
    "federation": {
        "rounds": 3,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "updates_per_round": 2,
        "gradient_clients": 4,
        "gradient_records": 16,
    },
    "audit": {"attackers": ("logistic",), "probes": ("logistic",), "bootstrap": 20, "further": ()},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    first = [f"test_{name}" for name in LONGEST]
    items.sort(key=lambda item: first.index(item.path.stem) if item.path.stem in first else len(first))


def adult(contributors: int = 1400, held_out: int = 700, private: tuple[str, ...] = ("sex",)) -> Population:
    """The first so many people of Adult."""
    whole = load_population("adult", private, 0.2)
    return Population(whole.contributors.take(np.arange(contributors)), whole.held_out.take(np.arange(held_out)))


@pytest.fixture(scope="session")
def population() -> Population:
    """The first 360 contributors and 200 held-out people of Adult."""
    return adult(360, 200)


@pytest.fixture
def adult_is_small(population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the data set "adult" be the small population."""
    source = Source(lambda config, private, held_out: population, ("sex",))
    monkeypatch.setitem(DATASETS, "adult", source)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def small() -> Callable[..., Experiment]:
    """Builds an experiment of a few seconds; nested keyword arguments change it."""
    return lambda **changes: build_experiment(merge(SMALL, changes))


@pytest.fixture
def make_store(tmp_path: Path, population: Population) -> Callable[..., ClientStore]:
    """Writes a client store: make_store(clients, partition, seed)."""

    def make(clients: int = 6, spec: str = "iid", seed: int = 0) -> ClientStore:
        crowd = population.contributors
        parts = partition(crowd.private, clients, spec, seed)
        root = tmp_path / f"clients-{clients}-{spec.replace(':', '-')}-{seed}"
        write_client_store(root, crowd.records(), parts, crowd.description, seed)
        return ClientStore(root)

    return make


@pytest.fixture
def short_folder() -> Any:
    """A folder whose name leaves room for Ray's sockets; a cluster leaves a file there that others would follow."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let audits take place in this process, where they take less time than starting others does."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Torch on one thread, as in an actor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread for a test."""
    with on_one_thread():
        yield


@pytest.fixture
def one_thread_each(one_thread: None) -> Any:
    """One thread for torch and for the libraries of scikit-learn."""
    with threadpool_limits(1):
        yield


def initial_arrays(population: Population, experiment: Experiment, method: str, seed: int = 0) -> GroupArrays:
    """Fresh parameters of all groups as numpy arrays."""
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config(method))
    return {name: {k: v.numpy() for k, v in group.items()} for name, group in step.initial(seed).items()}


def grid_of(store: ClientStore, kind: type[InlineGrid] = InlineGrid) -> InlineGrid:
    """All clients of a store in this process."""
    return kind(build_client_app(str(store.root)), store)


def train_messages(population: Population, experiment: Experiment, **changes: int) -> list[Message]:
    """One exchange's messages to all clients, of a training by weights; `changes` are of its instruction."""
    config = ConfigRecord({**instruction_for(experiment, Point("tiprdc", 0.5, 0)).pack(), **changes})
    groups = initial_arrays(population, experiment, "tiprdc")
    content = RecordDict({**{name: pack_arrays(group) for name, group in groups.items()}, "config": config})
    return [Message(content, FIRST_NODE + i, MessageType.TRAIN) for i in range(experiment.clients)]


def break_client(store: ClientStore, partition: int) -> None:
    """Damage one client's data on disk."""
    x = np.lib.format.open_memmap(store.root / "x.npy", mode="r+")
    x[store.offsets[partition]] = np.nan
    x.flush()


@pytest.fixture
def ray_session() -> None:
    """Ray on this machine, started once for all tests that need it; Flower's engine shuts it down in between."""
    import ray  # after fl_tiprdc, which keeps it on the loopback interface

    if not ray.is_initialized():
        start_ray(2)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give Hugging Face's datasets, which reads this when it is imported, a cache that goes away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _stop_ray() -> Any:
    yield
    import ray

    ray.shutdown()


def serve(
    grid: Grid,
    experiment: Experiment,
    description: Description,
    points: Sequence[Point],
    publication: Callable[[Point], Path],
) -> list[Trained]:
    """`serve_point` for all `points` over the same clients, one after the other."""
    return [
        serve_point(grid, lambda done: None, experiment, description, point, publication(point)) for point in points
    ]


def noise_left(mean: np.ndarray, clean: np.ndarray) -> float:
    """Return the standard deviation of the noise in `mean` [n, d], `clean` [n, d] being the release without noise."""
    return float(np.sqrt(np.square(mean.astype(np.float64) - clean).mean()))
