"""The server's part of a deployment: real clients train and publish; the audit is of people the server knows.

What the clients publish can't be audited by anybody but them: nobody else knows whose private value is which. But
the released extractor can be, by applying it to people of whom the server has records of its own: half of them are
those from whom attackers and probes learn, and the other half those on whom they are tested. None of them
contributed. Without such people there is no audit, and metrics.csv is empty.
"""

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from flwr.serverapp import Grid

from fl_tiprdc.command_line.flags import given_experiment
from fl_tiprdc.config import Experiment, Point, build_experiment, merge
from fl_tiprdc.data.crowd import Crowd, Description, Population
from fl_tiprdc.data.crowd_files import read_crowd, read_description, write_crowd, write_description
from fl_tiprdc.data.population import hold_out
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.known_record import check_ladders, named_ladders
from fl_tiprdc.evaluation.audit import truth_of
from fl_tiprdc.evaluation.measurable import check_measurable
from fl_tiprdc.evaluation.metric_rows import metrics_table
from fl_tiprdc.experiment.carry_out import examine, untrained_jobs
from fl_tiprdc.experiment.federated_stage import describe, note_training, planned_exchanges, servers_for
from fl_tiprdc.experiment.further_attacks import Job, kept_groups
from fl_tiprdc.experiment.outcome import Outcome, audited_release, release_folder
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.federated.server_app import Trained
from fl_tiprdc.federated.serving import one_after_the_other
from fl_tiprdc.flower.config_keys import OPEN_UPDATES
from fl_tiprdc.flower.progress import Teller
from fl_tiprdc.flower.run_config import Value, base_folder, given
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.models.networks import representation_width
from fl_tiprdc.release.arrays import released_groups
from fl_tiprdc.release.known_levels import known_columns

DESCRIPTION, PEOPLE = "description.json", "people.npz"
OF_CONTRIBUTORS = ("membership",)  # attacks that make no sense on people who contributed nothing


@dataclass(frozen=True)
class Coordinator:
    """Hold what a deployment's server needs.

    Attributes:
        description: meaning of x and of the private labels, the same for everybody.
        people: those of whom it has records, in two halves; None: it has none.
    """

    description: Description
    people: Population | None


def write_coordinator(folder: Path, description: Description, people: Crowd | None) -> None:
    """Write a coordinator's folder: the description, and the people of whom it has records."""
    folder.mkdir(parents=True, exist_ok=True)
    write_description(folder / DESCRIPTION, description)
    if people is not None:
        write_crowd(folder / PEOPLE, people)


def read_coordinator(folder: Path) -> Coordinator:
    """Read a coordinator's folder.

    Raises:
        InputError: it isn't one.
    """
    try:
        description = read_description(folder / DESCRIPTION)
    except InputError as error:
        raise InputError(f"'{folder}' is no coordinator's folder: {error}") from None
    if not (folder / PEOPLE).exists():
        return Coordinator(description, None)
    crowd = read_crowd(folder / PEOPLE, description)
    labels = [*crowd.private.T, *crowd.tasks.values()]
    tested = hold_out(crowd.participant, 0.5, [pd.Series(codes.astype(str)) for codes in labels])
    return Coordinator(description, Population(*(crowd.take(np.flatnonzero(side)) for side in (~tested, tested))))


def deployment_output(experiment: Experiment) -> Path:
    """Return results/deployment-CLIENTS in the current folder."""
    return Path.cwd() / "results" / f"deployment-{experiment.clients}"


def read_deployment(run_config: Mapping[str, Value], folder: Path) -> tuple[Experiment, Coordinator, Path]:
    """Return the experiment, the coordinator, and the folder of the results.

    Raises:
        InputError: naming the value and what is allowed.
    """
    coordinator = read_coordinator(folder)
    parsed = given(run_config)
    experiment = given_experiment(parsed)
    names = tuple(attribute.name for attribute in coordinator.description.attributes)
    if experiment.private and set(experiment.private) != set(names):
        raise InputError(f"the clients hide {', '.join(names)}: the run can't hide {', '.join(experiment.private)}")
    experiment = protected(experiment, bool(run_config.get(OPEN_UPDATES)))
    if coordinator.people is not None:
        check_measurable(truth_of(coordinator.people.contributors), truth_of(coordinator.people.held_out))
    check_ladders(named_ladders(experiment.audit.known), coordinator.description.columns)
    for coding in experiment.codings.values():
        known_columns(coding.known, coordinator.description.columns)
    further = tuple(name for name in experiment.audit.further if name not in OF_CONTRIBUTORS)
    experiment = experiment.model_copy(
        update={
            "dataset": "clients",
            "private": names,
            "partition": "natural",
            "runtime": "deployment",
            "settings": tuple(name for name in experiment.settings if name != "centralized"),
            "audit": experiment.audit.model_copy(update={"further": further}),
        }
    )
    return (
        experiment,
        coordinator,
        parsed.output or base_folder() / "results" / deployment_output(experiment).name,
    )


def protected(experiment: Experiment, openly: bool) -> Experiment:
    """Return the experiment with secure aggregation, unless the server is to see single updates.

    Raises:
        InputError: other settings don't go with it.
    """
    if openly:
        return experiment
    try:
        return build_experiment(merge(experiment.model_dump(), {"protection": {"secagg": True}}))
    except InputError as error:
        raise InputError(
            f"{error} (real clients' updates are summed securely; --open-updates lets the server see each of them)"
        ) from None


def coordinate(
    experiment: Experiment, publication: Path, stages: Stages, kept: Kept, *, grid: Grid, coordinator: Coordinator
) -> Outcome:
    """Train every point over the grid's clients, collect what they publish, and audit what the server can.

    Raises:
        TooManyFailuresError: more clients failed than allowed.
        TimeoutError: clients are missing.
    """
    description = coordinator.description
    width = representation_width(description, experiment.network)
    outcome = Outcome(representation=width, description=description)
    rounds: list[dict[str, object]] = []
    points = [
        Point(m, lam, seed) for seed in experiment.seeds for m in experiment.methods for lam in experiment.lambdas
    ]
    total = len(experiment.seeds) * planned_exchanges(experiment)
    servers = servers_for(experiment, description, points, publication, kept)
    teller = Teller(stages.console.print)
    with stages.stage("train federated", total) as ticker:

        def tell(done: int) -> None:
            ticker.of(done, total)
            teller.of(done, total)

        served = one_after_the_other(grid, servers, tell)
        trained = list(itertools.chain.from_iterable(served))
    for one in trained:
        note_training(experiment, description, one, outcome, rounds)
        describe(experiment, description, one, outcome, release_folder(publication, "federated", one.point), None)
    outcome.rounds = pd.DataFrame(rounds)
    outcome.metrics = metrics_table([])
    if coordinator.people is not None:
        with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as releases:
            jobs = untrained_jobs(experiment, coordinator.people, Path(releases), stages)
            jobs += [_job(experiment, coordinator.people, one) for one in trained]
            examine(experiment, coordinator.people, jobs, stages, outcome, kept)
    return outcome


def _job(experiment: Experiment, people: Population, one: Trained) -> Job:
    """Return the job that audits the released extractor on people of whom the server has records."""
    step = HybridStep(people.contributors.description, experiment.network, experiment.method_config(one.point.method))
    crowds = people.contributors, people.held_out
    release = audited_release(experiment, "federated", one.point, released_groups(one.groups), *crowds)
    return Job(release, None, kept_groups(experiment, step, one.groups))
