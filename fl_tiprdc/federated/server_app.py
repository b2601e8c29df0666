"""Server's part of a run: it trains every point of a sweep over the crowd, then collects its publication."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from flwr.app import ConfigRecord
from flwr.serverapp import Grid

from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.data.crowd import Description, Ints
from fl_tiprdc.federated.checkpoint import read_checkpoint, write_checkpoint
from fl_tiprdc.federated.publication import publish
from fl_tiprdc.federated.quorum import at_quorum
from fl_tiprdc.hybrid.components import component_questions
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.models.networks import representation_width
from fl_tiprdc.release.arrays import Arrays, GroupArrays, released_groups
from fl_tiprdc.release.codebook import Bears, CodeFit, fit_codes, questions_in
from fl_tiprdc.release.statistics import ask_all
from fl_tiprdc.wire.messages import Instruction, pack_arrays
from strategies.code_questions import CodeQuestions
from strategies.exchange_plan import EXCHANGES, ExchangePlan, Exchanges
from strategies.hybrid_strategy import Exchange, HybridStrategy
from strategies.roster import Roster, take_roster
from strategies.server_draws import SecretDraws, ServerDraws, name_to_members, server_draws
from strategies.update_protection import UpdateProtection, update_protection


@dataclass
class Trained:
    """Holds the outcome of a federated training.

    Attributes:
        point: point of the sweep that was trained.
        groups: final arrays of each group.
        exchanges: exchanges that took place.
        seconds: time of the training, and of the publication.
        published_bytes: size of the representations received.
        release_bytes: size of the arrays sent to clients, with which they make the release; of codes they keep them.
        passed: number of exchanges done -> arrays at that time, where they were to be kept.
        counts: for a release of codes, the number of certifying people [joint classes, K] by joint class and code.
        note: text on classes that are hidden only together; empty: all are hidden one by one.
    """

    point: Point
    groups: GroupArrays
    exchanges: list[Exchange] = field(default_factory=list)
    seconds: tuple[float, float] = (0.0, 0.0)
    published_bytes: int = 0
    release_bytes: int = 0
    passed: dict[int, GroupArrays] = field(default_factory=dict)
    counts: Ints | None = None
    note: str = ""


def instruction_for(experiment: Experiment, point: Point) -> Instruction:
    """Return the instruction whose settings all exchanges of a point share."""
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


def exchanges_for(experiment: Experiment, method: str) -> Exchanges:
    """Return the exchanges of one training by a method."""
    return EXCHANGES[experiment.method_config(method).exchange](experiment.federation, experiment.method_config(method))


def exchanges_in(experiment: Experiment, method: str) -> int:
    """Return the number of exchanges of one training by a method; with codes, the number is approximate."""
    coding = experiment.method_config(method).coding
    return len(exchanges_for(experiment, method)) + (questions_in(coding) if coding else 0)


def settings_of(experiment: Experiment, point: Point) -> str:
    """Return everything that decides the outcome of training a point, as text; a checkpoint must agree with it."""
    shared = ("dataset", "data", "private", "held_out", "clients", "partition", "network", "federation", "protection")
    values = experiment.model_dump(mode="json", include=set(shared))
    method = experiment.method_config(point.method).model_dump(mode="json")
    return json.dumps([values, method, asdict(point)], sort_keys=True)


def training_name(experiment: Experiment, point: Point) -> str:
    """Return a name that no training of another point, or with other settings, has.

    Secure aggregation alone changes no name, so that trainings with and without it draw the same clients.
    """
    openly = experiment.protection.model_copy(update={"secagg": False})
    settings = settings_of(experiment.model_copy(update={"protection": openly}), point)
    return f"{point.method} {point.lam:g} {hashlib.sha256(settings.encode()).hexdigest()}"


def _protection(
    experiment: Experiment, roster: Roster, point: Point, checkpoint: Path | None, draws: ServerDraws | None = None
) -> UpdateProtection | None:
    """Return how the updates of one training are protected; `draws` of noise, where there is any."""
    told = name_to_members(experiment, training_name(experiment, point), checkpoint)
    return update_protection(experiment.protection, roster, told, point.seed, experiment.federation, draws)


def _questions(
    grid: Grid,
    roster: Roster,
    experiment: Experiment,
    point: Point,
    checkpoint: Path | None,
    extractor: Arrays | None,
    done: int,
    note: Callable[[Exchange], None],
) -> CodeQuestions:
    """Return who asks the crowd for sums, after `done` exchanges; without an extractor for those that make one.

    Raises:
        InputError: with those clients who are there, the difference of two sums would be of a few.
    """
    config = dict(instruction_for(experiment, point).pack())
    protection = _protection(experiment, roster, point, checkpoint)
    crowd = CodeQuestions(grid, roster, extractor, config, point.seed, experiment.federation, done, note, protection)
    experiment.protection.require_apart(*crowd.sizes)
    return crowd


def train_point(
    grid: Grid,
    roster: Roster,
    experiment: Experiment,
    description: Description,
    point: Point,
    on_exchange: Callable[[Point, Exchange], None] | None = None,
    keep: Collection[int] = (),
    checkpoint: Path | None = None,
) -> Trained:
    """Train one point over the clients of `grid`.

    Args:
        grid: reaches the clients.
        roster: tells which node is which client.
        experiment: settings.
        description: meaning of x and of the private labels.
        point: point of the sweep to train.
        on_exchange: called with each exchange when it is done, and first with those before a checkpoint.
        keep: numbers of exchanges after which to keep the arrays; 0: the initial ones.
        checkpoint: file that is written after every round, or after every exchange if noise can't be drawn again; if
            it is there, training goes on from it.

    Raises:
        TooManyFailuresError: more clients failed than the experiment allows.
        InputError: the checkpoint can't be used.
    """
    logging.getLogger("flwr").setLevel(logging.WARNING)
    federation = experiment.federation
    began = time.perf_counter()
    step = HybridStep(description, experiment.network, experiment.method_config(point.method))
    if step.components:
        return _sum_up_components(grid, roster, experiment, step, point, on_exchange, checkpoint)
    initial = {
        name: {key: value.numpy() for key, value in group.items()} for name, group in step.initial(point.seed).items()
    }
    exchanges = exchanges_for(experiment, point.method)
    trained = Trained(point, initial)
    if 0 in keep:
        trained.passed[0] = initial
    settings = settings_of(experiment, point)
    draws = server_draws(experiment, training_name(experiment, point), checkpoint)
    before = read_checkpoint(checkpoint, settings) if checkpoint is not None else None

    def note(exchange: Exchange) -> None:
        trained.exchanges.append(exchange)
        if exchange.exchange in keep:
            trained.passed[exchange.exchange] = {name: dict(arrays) for name, arrays in strategy.groups.items()}
        last_of_round = (
            exchange.exchange == len(exchanges) or exchanges.turn(exchange.exchange + 1).round > exchange.round
        )
        # one sum with two draws of noise could be averaged: what was released isn't summed again
        if checkpoint is not None and (last_of_round or isinstance(draws, SecretDraws)):
            write_checkpoint(checkpoint, settings, strategy.state(), trained.exchanges)
        if on_exchange is not None:
            on_exchange(point, exchange)

    plan = ExchangePlan(
        exchanges,
        dict(instruction_for(experiment, point).pack()),
        point.seed,
        federation.clients_per_round,
        federation.allowed_failures,
        federation.quorum,
    )
    protection = _protection(experiment, roster, point, checkpoint, draws)
    strategy = HybridStrategy(plan, initial, roster, note, len(before[1]) if before else 0, protection)
    if before:
        strategy.restore(before[0])
        trained.exchanges += before[1]
        if on_exchange is not None:
            for exchange in before[1]:
                on_exchange(point, exchange)
    strategy.start(
        at_quorum(grid, federation.quorum),
        pack_arrays(strategy.groups["extractor"]),
        num_rounds=len(exchanges) - len(trained.exchanges),
        timeout=federation.timeout,
        train_config=ConfigRecord({}),
    )
    trained.groups = strategy.groups
    trained.seconds = (time.perf_counter() - began, 0.0)
    return trained


def _sum_up_components(
    grid: Grid,
    roster: Roster,
    experiment: Experiment,
    step: HybridStep,
    point: Point,
    on_exchange: Callable[[Point, Exchange], None] | None,
    checkpoint: Path | None,
) -> Trained:
    """Sum up the crowd's principal components, which are the extractor; an interrupted fit begins anew."""
    began, trained = time.perf_counter(), Trained(point, {})

    def note(exchange: Exchange) -> None:
        trained.exchanges.append(exchange)
        if on_exchange is not None:
            on_exchange(point, exchange)

    crowd = _questions(grid, roster, experiment, point, checkpoint, None, 0, note)
    parameters = ask_all(component_questions(step, point.seed), crowd.answer)
    trained.groups = {"extractor": {key: value.numpy() for key, value in parameters.items()}}
    trained.seconds = (time.perf_counter() - began, 0.0)
    return trained


def serve_point(
    grid: Grid,
    tell: Callable[[int], None],
    experiment: Experiment,
    description: Description,
    point: Point,
    publication: Path,
    checkpoint: Path | None = None,
) -> Trained:
    """Train a point over the clients of `grid`, then collect its publication.

    Args:
        grid: reaches the clients.
        tell: called with the number of exchanges that are done.
        experiment: settings.
        description: meaning of x and of the private labels.
        point: point of the sweep to train.
        publication: folder of its publication; what an interrupted run left there is collected anew.
        checkpoint: as in `train_point`.

    Raises:
        TooManyFailuresError: more clients failed than the experiment allows.
        TimeoutError: clients are missing.
    """
    roster = take_roster(
        grid, experiment.clients, seed=point.seed, allowed_failures=experiment.federation.allowed_failures
    )

    def note(point: Point, exchange: Exchange) -> None:
        tell(exchange.exchange)

    trained = train_point(grid, roster, experiment, description, point, note, (), checkpoint)
    _collect(grid, roster, experiment, description, trained, publication)
    return trained


def _collect(
    grid: Grid,
    roster: Roster,
    experiment: Experiment,
    description: Description,
    trained: Trained,
    publication: Path,
    kept: Collection[int] = (),
) -> None:
    """Collect a publication; the clients `kept` have what makes it."""
    began, federation = time.perf_counter(), experiment.federation
    trained.release_bytes, trained.published_bytes = publish(
        grid,
        roster,
        released_groups(trained.groups),
        instruction_for(experiment, trained.point),
        representation_width(description, experiment.network),
        publication,
        federation.allowed_failures,
        federation.timeout,
        kept=kept,
    )
    trained.seconds = (trained.seconds[0], time.perf_counter() - began)


def serve_coded(
    grid: Grid,
    tell: Callable[[int], None],
    experiment: Experiment,
    description: Description,
    points: Sequence[Point],
    publications: Sequence[Path],
    bears: Bears,
    checkpoint: Path | None = None,
) -> list[Trained]:
    """Train one extractor over the clients of `grid`, fit a code for each point and collect their publications.

    Args:
        grid: reaches the clients.
        tell: called with the number of exchanges that are done.
        experiment: settings.
        description: meaning of x and of the private labels.
        points: points of one method and seed, which differ in λ alone.
        publications: folder of each point's publication.
        bears: returns how many codes a number of people can certify.
        checkpoint: as in `train_point`; questions are asked anew.

    Returns:
        The outcome of each point; exchanges that serve all of them are the first one's.

    Raises:
        TooManyFailuresError: more clients failed than the experiment allows.
        TimeoutError: clients are missing.
        InputError: there are too few people to fit codes on.
    """
    experiment.require_no_noise_on_counts()
    first = points[0]
    roster = take_roster(
        grid, experiment.clients, seed=first.seed, allowed_failures=experiment.federation.allowed_failures
    )
    began = time.perf_counter()
    trained, fit, counted = fit_over_crowd(grid, roster, tell, experiment, description, points, bears, checkpoint)
    spent = time.perf_counter() - began
    results: list[Trained] = []
    for i, (point, publication) in enumerate(zip(points, publications, strict=True)):
        groups = {**trained.groups, "codes": fit.couplings[i].arrays()}
        released = Trained(point, groups, trained.exchanges if i == 0 else [], (spent if i == 0 else 0.0, 0.0))
        released.counts, released.note = fit.counts[i], fit.note
        _collect(grid, roster, experiment, description, released, publication, counted)
        results.append(released)
    return results


def fit_over_crowd(
    grid: Grid,
    roster: Roster,
    tell: Callable[[int], None],
    experiment: Experiment,
    description: Description,
    points: Sequence[Point],
    bears: Bears,
    checkpoint: Path | None = None,
) -> tuple[Trained, CodeFit, Sequence[int]]:
    """Train one extractor over the clients and fit a code for each point; arguments are those of `serve_coded`.

    Returns:
        The training with the exchanges of the fit, the fit, and the clients who were counted and keep its codes.

    Raises:
        TooManyFailuresError: more clients failed than the experiment allows.
        InputError: there are too few people to fit codes on.
    """
    first = points[0]
    method = experiment.method_config(first.method)
    assert method.coding is not None
    shared = Point(first.method, method.coding.adversarial, first.seed)

    def tell_of(point: Point, exchange: Exchange) -> None:
        tell(exchange.exchange)

    trained = train_point(grid, roster, experiment, description, shared, tell_of, (), checkpoint)

    def note(exchange: Exchange) -> None:
        trained.exchanges.append(exchange)
        tell(exchange.exchange)

    done, extractor = len(trained.exchanges), trained.groups["extractor"]
    crowd = _questions(grid, roster, experiment, shared, checkpoint, extractor, done, note)
    width = representation_width(description, experiment.network)
    lambdas = [point.lam for point in points]
    questions = fit_codes(method.coding, description, width, lambdas, shared.seed, bears, crowd.sampled)
    fit = ask_all(questions, crowd.answer)
    if len(crowd.counted) < len(roster.partitions):
        text = (
            f"fitted to and certified by the people of {len(crowd.counted):,} of {len(roster.partitions):,} clients, "
            "drawn at random: of the others it says as much as clients are alike"
        )
        fit = replace(fit, note="; ".join(filter(None, (fit.note, text))))
    return trained, fit, crowd.counted
