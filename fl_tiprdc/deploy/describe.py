"""The coordinator's folder of a deployment whose clients have tables of their own.

fl-tiprdc deploy describe --dataset table --data sample.csv --private sex --tasks rich --output coordinator

Takes the data flags of fl-tiprdc run. The sample is the coordinator's: its columns, their means and categories make the
description, and its people are those on whom the server audits. Clients get coordinator/description.json, which has no
record; people.npz stays here.
"""

from collections.abc import Sequence

import numpy as np

from fl_tiprdc.command_line.flags import DATA_FLAGS, experiment_parser, given_experiment
from fl_tiprdc.data.crowd import Crowd, Population
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.errors import InputError
from fl_tiprdc.flower.coordinator import DESCRIPTION, write_coordinator


def everybody(population: Population) -> Crowd:
    """Return both sides of a population of tables as one crowd."""
    one, other = population.contributors, population.held_out
    return Crowd(
        np.concatenate([one.x, other.x]),
        np.concatenate([one.private, other.private]),
        {name: np.concatenate([labels, other.tasks[name]]) for name, labels in one.tasks.items()},
        np.concatenate([one.participant, other.participant]),
        one.description,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, describe, say where."""
    parsed = experiment_parser(__doc__ or "", DATA_FLAGS).parse_args(arguments)
    experiment = given_experiment(parsed)
    if parsed.output is None:
        raise InputError("name the folder to write: --output FOLDER")
    population = load_population(experiment.dataset, experiment.private, experiment.held_out, experiment.data)
    if population.contributors.description.modality != "table":
        raise InputError("clients' own data are tables: --dataset table")
    write_coordinator(parsed.output, population.contributors.description, everybody(population))
    print(f"{parsed.output}: {DESCRIPTION} is for the clients, the rest stays here")
