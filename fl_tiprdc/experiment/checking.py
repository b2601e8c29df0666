"""Checks of an experiment before any work begins: its settings, and whether they fit the people."""

import numpy as np

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.datasets import DATASETS, load_population
from fl_tiprdc.data.partition import check_clients, parse_partition
from fl_tiprdc.errors import InputError, require_known
from fl_tiprdc.evaluation.attacks.known_record import check_ladders, check_used, named_ladders
from fl_tiprdc.evaluation.attacks.registry import named_attacks
from fl_tiprdc.evaluation.audit import check_panel, truth_of
from fl_tiprdc.evaluation.measurable import check_measurable
from fl_tiprdc.evaluation.privacy_budget import check_accountant
from fl_tiprdc.experiment.tracking.trackers import named_trackers
from fl_tiprdc.federated.launch import RUNTIMES
from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.hybrid.privacy import PRIVACY
from fl_tiprdc.methods import BUILT_IN
from fl_tiprdc.release.codes import joint_classes
from fl_tiprdc.release.groups import check_fitted
from fl_tiprdc.release.known_levels import known_columns
from strategies.exchange_plan import EXCHANGES
from strategies.robust import check_aggregation


def check_settings(experiment: Experiment) -> Experiment:
    """Return the experiment with its lists of names spelled out ("all") and its methods, if its settings go together.

    Raises:
        InputError: a name that is in no registry, or settings that contradict each other.
    """
    require_known("runtime", [experiment.runtime], RUNTIMES)
    require_known("baseline", (*experiment.baselines, *experiment.dials), BASELINES)
    for name in experiment.methods:
        method = experiment.method_config(name)
        require_known(f"method.{name}.privacy", [method.privacy], PRIVACY)
        require_known(f"method.{name}.information", [method.information], INFORMATION)
        require_known(f"method.{name}.exchange", [method.exchange], EXCHANGES)
    check_panel(experiment.audit)
    check_aggregation(experiment)
    experiment.require_no_noise_on_counts()
    if experiment.protection.noise:
        check_accountant()
    audit = experiment.audit.model_copy(update={"further": named_attacks(experiment.audit.further)})
    check_used(audit)
    parse_partition(experiment.partition)
    # methods that only this process knows are written down, so that the run's settings say what it did
    own = {name: experiment.method_config(name) for name in experiment.methods if name not in BUILT_IN}
    changes = {"audit": audit, "track": named_trackers(experiment.track), "method": {**experiment.method, **own}}
    return experiment.model_copy(update=changes)


def load_people(experiment: Experiment) -> tuple[Experiment, Population]:
    """Load an experiment's people; return it with its private attributes named, and them.

    Raises:
        InputError: naming the value and what is allowed.
    """
    require_known("data set", [experiment.dataset], DATASETS)
    if not experiment.private:
        own = DATASETS[experiment.dataset].private
        if not own:
            raise InputError("name what to hide: --private COLUMN")
        experiment = experiment.model_copy(update={"private": own})
    return experiment, load_population(experiment.dataset, experiment.private, experiment.held_out, experiment.data)


def load_checked(experiment: Experiment) -> tuple[Experiment, Population]:
    """Load an experiment's people as `load_people` does, and check that it fits them.

    Raises:
        InputError: naming the value and what is allowed.
    """
    experiment, population = load_people(experiment)
    check_against(experiment, population)
    return experiment, population


def check_experiment(experiment: Experiment, population: Population | None = None) -> tuple[Experiment, Population]:
    """Return a checked experiment with everything spelled out that a run's config.toml says, and its people.

    Args:
        experiment: what is asked for.
        population: the people, whose attributes are the private ones; None: those that the data settings name.

    Raises:
        InputError: naming the value and what is allowed.
    """
    experiment = check_settings(experiment)
    if population is None:
        return load_checked(experiment)
    names = tuple(attribute.name for attribute in population.contributors.description.attributes)
    experiment = experiment.model_copy(update={"private": names})
    check_against(experiment, population)
    return experiment, population


def check_against(experiment: Experiment, population: Population) -> None:
    """Check that an experiment can be carried out with these people.

    Raises:
        InputError: no private attribute can be measured on them, there are too few for its clients or to fit codes on,
            or columns that they don't have.
    """
    crowd = population.contributors
    check_measurable(truth_of(crowd), truth_of(population.held_out))
    check_clients(crowd.private, experiment.clients, experiment.partition, crowd.participant)
    check_ladders(named_ladders(experiment.audit.known), crowd.description.columns)
    first = np.unique(crowd.participant, return_index=True)[1]  # a record of each person
    people = np.bincount(joint_classes(crowd.private[first], crowd.description.classes))
    asked = (experiment.federation.coupling_clients or experiment.clients) / experiment.clients
    for coding in experiment.codings.values():
        known_columns(coding.known, crowd.description.columns)
        check_fitted(np.rint(people * asked * (1 - coding.certifying)).astype(np.int64), crowd.description.attributes)
