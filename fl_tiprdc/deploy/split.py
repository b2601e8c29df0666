"""Split a data set into the folders of a deployment: one for each client, and the coordinator's.

fl-tiprdc deploy split --clients 3 --output deployment

Takes the data flags of fl-tiprdc run. FOLDER/client-0 and so on have one client's records each, and a secret of its
own; FOLDER/coordinator has what everybody may know, and the held-out people, on whom the server audits. Give each
client its folder, and nobody else's.
"""

from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.flags import DATA_FLAGS, experiment_parser, read_run
from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population, Records
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.node_store import write_node_store
from fl_tiprdc.flower.coordinator import write_coordinator


def client_folder(root: Path, client: int) -> Path:
    """Return a client's folder."""
    return root / f"client-{client}"


def coordinator_folder(root: Path) -> Path:
    """Return the coordinator's folder."""
    return root / "coordinator"


def split(experiment: Experiment, population: Population, root: Path) -> None:
    """Write the folders of an experiment's first seed.

    Args:
        experiment: says how many clients there are, and who holds what.
        population: its people.
        root: folder of the folders.

    Raises:
        InputError: a client would have no records.
    """
    crowd = population.contributors
    parts = partition(crowd.private, experiment.clients, experiment.partition, experiment.seeds[0], crowd.participant)
    for client, rows in enumerate(parts):
        records = Records(crowd.x[rows], crowd.private[rows])
        write_node_store(client_folder(root, client), records, crowd.description)
    write_coordinator(coordinator_folder(root), crowd.description, population.held_out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, split, say where."""
    parsed = experiment_parser(__doc__ or "", (*DATA_FLAGS, "clients", "partition", "seeds", "methods")).parse_args(
        arguments
    )
    experiment, population = read_run(parsed)
    if parsed.output is None:
        raise InputError("name the folder to write: --output FOLDER")
    if parsed.output.exists() and any(parsed.output.iterdir()):
        raise InputError(f"output '{parsed.output}' is not empty: name another folder")
    split(experiment, population, parsed.output)
    print(f"{experiment.clients} clients and their coordinator: {parsed.output}")
