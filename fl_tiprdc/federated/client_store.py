"""Stores of what clients hold on their own disks: x, private labels, a secret; never a task label.

A simulation keeps the records of all clients in one file, ordered by client and opened as a memory map, so that
memory and start-up time don't grow with the number of clients.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Description, Ints, Records
from fl_tiprdc.data.crowd_files import read_description, write_description
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.kept_arrays import KeptArrays
from fl_tiprdc.federated.kept_points import KeptPoints
from fl_tiprdc.seeding import derive, numpy_generator
from fl_tiprdc.whole_file import new_array

PEOPLE = "people.npy"  # file of each record's person, where people have several
RECORDS_AT_ONCE = 4096  # records written at a time


class Store(Protocol):
    """Holds clients' records for their work: a protocol."""

    @property
    def description(self) -> Description:
        """Return the meaning of x and of the private labels."""

    @property
    def kept(self) -> KeptArrays:
        """Return the arrays that were kept from earlier questions."""

    @property
    def points(self) -> KeptPoints:
        """Return the points at which records were coded for earlier questions."""

    def size(self, partition: int) -> int:
        """Return the number of records of one client."""

    def records(self, partition: int) -> Records:
        """Return the records of one client."""

    def secret(self, partition: int) -> int:
        """Return a number that only this client knows."""

    def certifying(self, partition: int, share: float) -> npt.NDArray[np.bool_]:
        """Return which of a client's records [n], about a share of them, certify codes and don't help to fit them."""


def write_client_store(
    root: Path,
    records: Records,
    partitions: Sequence[Ints],
    description: Description,
    seed: int,
    participant: Ints | None = None,
) -> None:
    """Write the records that each client holds.

    Args:
        root: folder of the store, which is made if need be.
        records: records of all contributors.
        partitions: positions in `records`, one array for each client.
        description: meaning of x and of the private labels, known to everybody.
        seed: seed from which the clients' secrets derive, so that a simulation can be repeated.
        participant: person [n] of each record, where people have several: all of a person's records certify, or none.
    """
    write_records(root, records, partitions, description)
    if participant is not None and has_repeats(participant):
        np.save(root / PEOPLE, participant[np.concatenate(partitions)])
    (root / "secret").write_text(str(derive(seed, "client-secrets")))


def write_records(root: Path, records: Records, partitions: Sequence[Ints], description: Description) -> None:
    """Write a client store without its secret."""
    root.mkdir(parents=True, exist_ok=True)
    order = np.concatenate(partitions)
    kept = new_array(root / "x.npy", records.x.dtype, (len(order), *records.x.shape[1:]))
    for begin in range(0, len(order), RECORDS_AT_ONCE):  # images are decoded piece by piece
        kept[begin : begin + RECORDS_AT_ONCE] = records.x[order[begin : begin + RECORDS_AT_ONCE]]
    kept.flush()
    np.save(root / "private.npy", records.private[order])
    np.save(root / "offsets.npy", np.cumsum([0, *map(len, partitions)]))
    write_description(root / "description.json", description)


class ClientStore:
    """Reads the clients' records.

    Args:
        root: folder that `write_client_store` wrote.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.kept, self.points = root, KeptArrays(root / "kept"), KeptPoints()
        self.description = read_description(root / "description.json")
        self._x = np.load(root / "x.npy", mmap_mode="r", allow_pickle=False)
        self._finite: set[int] = set()  # clients whose values were looked at
        self._private = np.load(root / "private.npy", mmap_mode="r", allow_pickle=False)

    @cached_property
    def offsets(self) -> Ints:
        """Return the positions [clients + 1] at which each client's records begin."""
        return np.asarray(np.load(self.root / "offsets.npy", allow_pickle=False), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def sizes(self) -> Ints:
        """Return the number of records [clients] of each client."""
        return np.diff(self.offsets)

    def size(self, partition: int) -> int:
        """Return the number of records of one client."""
        return int(self.sizes[partition])

    def records(self, partition: int) -> Records:
        """Return the records of one client.

        Raises:
            InputError: there is no such client, or its data is damaged.
        """
        if not 0 <= partition < len(self):
            raise InputError(f"no client {partition}: there are {len(self)}")
        rows = slice(self.offsets[partition], self.offsets[partition + 1])
        x = self._x[rows]  # on the disk: a batch reads its own records
        if partition not in self._finite:
            if x.dtype.kind == "f" and not np.isfinite(x).all():
                raise InputError(f"client {partition}: x has values that are not finite")
            self._finite.add(partition)
        return Records(x, np.array(self._private[rows]))

    def certifying(self, partition: int, share: float) -> npt.NDArray[np.bool_]:
        """Return which of a client's records [n] certify codes: all or none of a person's, where people are known.

        Nobody else knows which they are, as the client draws them itself.
        """
        return certifying_people(self._person(partition), self.secret(partition), share)

    def _person(self, partition: int) -> Ints:
        if self._people is None:  # no two records are one person's
            return np.arange(self.size(partition), dtype=np.int64)
        rows = slice(*self.offsets[self._place(partition) : self._place(partition) + 2])
        return np.asarray(self._people[rows], dtype=np.int64)

    @cached_property
    def _people(self) -> Ints | None:
        path = self.root / PEOPLE
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None

    @cached_property
    def _secret(self) -> int:
        return int((self.root / "secret").read_text())

    def _place(self, partition: int) -> int:
        """Return the place of a client's records in this store."""
        return partition

    def secret(self, partition: int) -> int:
        """Return a number that only this client knows; the noise that it publishes derives from it."""
        return derive(self._secret, "client", partition)


def certifying_people(person: Ints, secret: int, share: float) -> npt.NDArray[np.bool_]:
    """Return which of a client's records [n] certify: those of about a share of the people, drawn by the secret."""
    people = np.unique(person)
    return np.isin(person, people[numpy_generator(secret, "certifying").random(len(people)) < share])


def has_repeats(participant: Ints) -> bool:
    """Tell whether anybody has several records, by the person [n] of each."""
    return len(np.unique(participant)) < len(participant)


def persons_of(participant: Ints, parts: Sequence[Ints]) -> list[Ints]:
    """Return the persons of each part's records; if nobody has several records, the places in the part."""
    if has_repeats(participant):
        return [participant[rows] for rows in parts]
    return [np.arange(len(rows), dtype=np.int64) for rows in parts]
