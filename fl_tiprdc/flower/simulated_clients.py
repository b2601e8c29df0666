"""The clients of Flower's own simulation: each takes its part of the data set by itself."""

import getpass
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Description, Ints, Records
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_store import certifying_people, persons_of
from fl_tiprdc.federated.kept_arrays import KeptArrays
from fl_tiprdc.federated.kept_points import KeptPoints
from fl_tiprdc.flower.run_config import Value, read_run_config
from fl_tiprdc.notices import DataNotice
from fl_tiprdc.seeding import derive


class SimulatedStore:
    """Deal records to a simulation's clients as a run deals them: by data set, partition and seed.

    Args:
        records: of all contributors.
        description: meaning of x and of the private labels.
        parts: positions in `records`, one array a client.
        seed: of the experiment; the clients' secrets derive from it.
        participant: [n] the person that each record is of.
    """

    def __init__(
        self, records: Records, description: Description, parts: Sequence[Ints], seed: int, participant: Ints
    ) -> None:
        self.description = description
        # a client's next message may go to another process: what it keeps is on disk, where its user alone can write
        self.kept = KeptArrays(Path(tempfile.gettempdir()) / f"fl-tiprdc-{getpass.getuser()}")
        self.points = KeptPoints()
        self._records, self._parts, self._seed = records, parts, seed
        self._persons = persons_of(participant, parts)

    def size(self, partition: int) -> int:
        """Return the number of records of one client."""
        return len(self._parts[partition])

    def records(self, partition: int) -> Records:
        """Return the records of one client."""
        rows = self._parts[partition]
        return Records(self._records.x[rows], self._records.private[rows])

    def certifying(self, partition: int, share: float) -> npt.NDArray[np.bool_]:
        """Return which of a client's records [n] certify codes, as a client store has it."""
        return certifying_people(self._persons[partition], self.secret(partition), share)

    def secret(self, partition: int) -> int:
        """Return a client's secret, as a client store has it."""
        return derive(derive(self._seed, "client-secrets"), "client", partition)


@lru_cache(maxsize=4)
def _experiment(items: tuple[tuple[str, Value], ...]) -> Experiment:
    return read_run_config(dict(items), "flower")[0]


@lru_cache(maxsize=1)
def _contributors(items: tuple[tuple[str, Value], ...]) -> tuple[Records, Description, Ints]:
    experiment = _experiment(items)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataNotice)  # the server has given them
        named = experiment.dataset, experiment.private, experiment.held_out, experiment.data
        crowd = load_population(*named).contributors
    return crowd.records(), crowd.description, crowd.participant


@lru_cache(maxsize=4)
def _store(items: tuple[tuple[str, Value], ...], seed: int) -> SimulatedStore:
    experiment = _experiment(items)
    records, description, participant = _contributors(items)
    parts = partition(records.private, experiment.clients, experiment.partition, seed, participant)
    return SimulatedStore(records, description, parts, seed, participant)


def simulated_store(run_config: Mapping[str, Value], node_config: Mapping[str, Value], seed: int) -> SimulatedStore:
    """Return the store of the experiment that a run config describes; made once in a process.

    Raises:
        InputError: there are more or fewer nodes than clients.
    """
    items = tuple(sorted(run_config.items()))
    nodes, clients = int(node_config["num-partitions"]), _experiment(items).clients
    if nodes != clients:
        raise InputError(f"the federation has {nodes} nodes and the run {clients} clients: make them as many")
    return _store(items, seed)
