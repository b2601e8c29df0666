"""The server's part of a run: train every point of a sweep over the crowd, then collect its publication."""

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import ConfigRecord
from flwr.serverapp import Grid

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Description
from fl_tiprdc.federated.messages import GroupArrays, Instruction, pack_arrays
from fl_tiprdc.federated.publication import publish
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.models.networks import representation_width
from strategies.hybrid_strategy import EXCHANGES, Exchange, HybridStrategy, Turn
from strategies.protected_mean import protected_mean
from strategies.roster import Roster, take_roster


@dataclass(frozen=True)
class Point:
    """One point of a sweep."""

    method: str
    lam: float
    seed: int


@dataclass
class Trained:
    """What a federated training ends with.

    Attributes:
        point: which.
        groups: the final arrays.
        exchanges: what happened.
        seconds: training, publication.
        published_bytes: representations received.
        passed: number of exchanges done -> the arrays then, where they were to be kept.
    """

    point: Point
    groups: GroupArrays
    exchanges: list[Exchange] = field(default_factory=list)
    seconds: tuple[float, float] = (0.0, 0.0)
    published_bytes: int = 0
    passed: dict[int, GroupArrays] = field(default_factory=dict)


def instruction_for(experiment: Experiment, point: Point) -> Instruction:
    """The settings that every exchange of a point shares."""
    method, federation = experiment.method_config(point.method), experiment.federation
    return Instruction(
        phase="local-training",
        exchange=0,
        seed=point.seed,
        lam=point.lam,
        sigma=method.sigma(point.lam),
        learning_rate=federation.learning_rate,
        weight_decay=federation.weight_decay,
        batch_size=federation.batch_size,
        epochs=federation.local_epochs,
        records=federation.gradient_records,
        method=method.model_dump_json(),
        network=experiment.network.model_dump_json(),
    )


def training_name(experiment: Experiment, point: Point) -> str:
    """A name that no other training has: of another point, or with other settings."""
    settings = [repr(sorted(instruction_for(experiment, point).pack().items())), repr(experiment.federation)]
    protection = experiment.protection
    settings.append(f"{protection.noise} {protection.clip}")
    digest = hashlib.sha256("\x1f".join(settings).encode()).hexdigest()
    return f"{point.method} {point.lam:g} {point.seed} {digest}"


def turns_for(experiment: Experiment, method: str) -> list[Turn]:
    """The exchanges of one training by a method."""
    return EXCHANGES[experiment.method_config(method).exchange](experiment.federation, experiment.method_config(method))


def exchanges_in(experiment: Experiment, method: str) -> int:
    """Number of exchanges of one training by a method."""
    return len(turns_for(experiment, method))


def train_point(
    grid: Grid,
    roster: Roster,
    experiment: Experiment,
    description: Description,
    point: Point,
    on_exchange: Callable[[Point, Exchange], None] | None = None,
    keep: Collection[int] = (),
) -> Trained:
    """Train one point over the clients of `grid`.

    Args:
        grid: the clients.
        roster: who they are.
        experiment: settings.
        description: meaning of x and of the private labels.
        point: what to train.
        on_exchange: told about each exchange when it is done.
        keep: numbers of exchanges after which to keep the arrays; 0: the initial ones.

    Raises:
        TooManyFailuresError: more clients failed than the experiment allows.
    """
    logging.getLogger("flwr").setLevel(logging.WARNING)
    federation = experiment.federation
    began = time.perf_counter()
    step = HybridStep(description, experiment.network, experiment.method_config(point.method))
    initial = {
        name: {key: value.numpy() for key, value in group.items()} for name, group in step.initial(point.seed).items()
    }
    turns = turns_for(experiment, point.method)
    trained = Trained(point, initial)
    if 0 in keep:
        trained.passed[0] = initial

    def note(exchange: Exchange) -> None:
        trained.exchanges.append(exchange)
        if exchange.exchange in keep:
            trained.passed[exchange.exchange] = {name: dict(arrays) for name, arrays in strategy.groups.items()}
        if on_exchange is not None:
            on_exchange(point, exchange)

    strategy = HybridStrategy(
        turns,
        initial,
        roster,
        dict(instruction_for(experiment, point).pack()),
        point.seed,
        federation.clients_per_round,
        federation.allowed_failures,
        note,
        protected_mean(experiment.protection, roster, training_name(experiment, point), federation.timeout),
    )
    strategy.start(
        grid,
        pack_arrays(initial["extractor"]),
        num_rounds=len(turns),
        timeout=federation.timeout,
        train_config=ConfigRecord({}),
    )
    trained.groups = strategy.groups
    trained.seconds = (time.perf_counter() - began, 0.0)
    return trained


def serve(
    grid: Grid,
    experiment: Experiment,
    description: Description,
    points: Sequence[Point],
    publication: Callable[[Point], Path],
    on_exchange: Callable[[Point, Exchange], None] | None = None,
) -> list[Trained]:
    """Train and publish all `points` over the clients of `grid`, one after the other.

    Args:
        grid: the clients.
        experiment: settings.
        description: meaning of x and of the private labels.
        points: what to train.
        publication: folder of a point's publication.
        on_exchange: told about each exchange when it is done.

    Raises:
        TooManyFailuresError: more clients failed than the experiment allows.
        TimeoutError: clients are missing.
    """
    federation = experiment.federation
    roster = take_roster(grid, experiment.clients)
    done: list[Trained] = []
    for point in points:
        trained = train_point(grid, roster, experiment, description, point, on_exchange)
        began = time.perf_counter()
        trained.published_bytes = publish(
            grid,
            roster,
            trained.groups["extractor"],
            instruction_for(experiment, point),
            representation_width(description, experiment.network),
            publication(point),
            federation.allowed_failures,
            federation.timeout,
        )
        trained.seconds = (trained.seconds[0], time.perf_counter() - began)
        done.append(trained)
    return done
