"""The partition of records among clients, by flwr-datasets' partitioners on local data."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.errors import InputError
from fl_tiprdc.seeding import derive, numpy_generator

SPELLINGS = "iid, dirichlet:ALPHA (ALPHA > 0), by-private, natural"
NATURAL = "natural"


def joint_codes(private: Ints) -> Ints:
    """Return one code per combination of private values: [n, attributes] -> [n]."""
    return np.unique(private, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def parse_partition(spec: str) -> tuple[str, float]:
    """Split a partition's spelling into its name and its parameter (0 where it has none).

    Raises:
        InputError: not one of `SPELLINGS`.
    """
    name, _, parameter = spec.partition(":")
    if name not in {*PARTITIONERS, NATURAL} or (name == "dirichlet") != (":" in spec):
        raise InputError(f"unknown partition '{spec}': choose one of {SPELLINGS}")
    try:
        alpha = float(parameter or 0)
    except ValueError:
        alpha = -1.0
    if name == "dirichlet" and not (np.isfinite(alpha) and alpha > 0):
        raise InputError(f"partition '{spec}': ALPHA must be a number above 0")
    return name, alpha


def _partitioners() -> Any:
    """Import Flower's partitioners, which take a second; they must not talk to anybody."""
    import_module("fl_tiprdc.environment")
    return import_module("flwr_datasets.partitioner")


def _iid(clients: int, alpha: float, seed: int) -> object:
    """Deal records at random, as many to each client."""
    return _partitioners().IidPartitioner(num_partitions=clients)


def _dirichlet(clients: int, alpha: float, seed: int) -> object:
    """Give clients skewed shares of the private values, unequal sizes; dirichlet:ALPHA, the smaller the more skewed."""
    # Small alphas leave some clients without a record; such a client simply has nothing to say.
    return _partitioners().DirichletPartitioner(
        num_partitions=clients, partition_by="private", alpha=alpha, min_partition_size=0, seed=seed
    )


def _by_private(clients: int, alpha: float, seed: int) -> object:
    """Give each client records of one private value."""
    return _partitioners().PathologicalPartitioner(
        num_partitions=clients,
        partition_by="private",
        num_classes_per_partition=1,
        class_assignment_mode="deterministic",
        shuffle=False,
    )


PARTITIONERS: dict[str, Callable[[int, float, int], object]] = {
    "iid": _iid,
    "dirichlet": _dirichlet,
    "by-private": _by_private,
}


def check_clients(private: Ints, clients: int, spec: str, participant: Ints | None = None) -> None:
    """Check that records with labels [n, attributes] can be dealt to that many clients.

    `participant` [n] says whose they are; None: every record is a person.

    Raises:
        InputError: more clients than records or people, or a number of clients that `by-private` can't serve.
    """
    people = len(private) if participant is None else len(np.unique(participant))
    if spec == NATURAL and clients > people:
        raise InputError(f"{clients} clients but only {people} people: ask for at most that many clients")
    if clients > len(private):
        raise InputError(f"{clients} clients but only {len(private)} records: ask for at most that many clients")
    if spec == "by-private":
        counts = np.unique(private, axis=0, return_counts=True)[1]
        # values are given to clients in turn: value v to clients v, v + K, v + 2K, ...
        least, most = len(counts), min(v + len(counts) * int(n) for v, n in enumerate(counts))
        if not least <= clients <= most:
            raise InputError(
                f"{clients} clients but partition by-private needs {least} to {most}: "
                "a client for each private value and a record for each client"
            )


def natural(participant: Ints, clients: int, seed: int) -> list[Ints]:
    """Give all records of a person to one client, and every client about as many people."""
    people, owner = np.unique(participant, return_inverse=True)
    client_of = np.empty(len(people), dtype=np.int64)
    for client, some in enumerate(
        np.array_split(numpy_generator(seed, "partition-order").permutation(len(people)), clients)
    ):
        client_of[some] = client
    holder = client_of[owner.reshape(-1)]
    order = np.argsort(holder, kind="stable")
    return np.split(order, np.cumsum(np.bincount(holder, minlength=clients))[:-1])


def partition(private: Ints, clients: int, spec: str, seed: int, participant: Ints | None = None) -> list[Ints]:
    """Deal records to clients, deterministically in `seed`.

    Args:
        private: [n, attributes] labels; `dirichlet` and `by-private` use their combinations.
        clients: number of clients.
        spec: `iid`, `dirichlet:ALPHA`, `by-private` or `natural` (a person's records stay together).
        seed: experiment seed.
        participant: [n] whose records they are, for `natural`; None: every record is a person.

    Returns:
        One index array a client; together every record once.

    Raises:
        InputError: unknown spelling, or a number of clients that the records don't allow.
    """
    name, alpha = parse_partition(spec)
    check_clients(private, clients, spec, participant)
    if name == NATURAL:
        return natural(np.arange(len(private)) if participant is None else participant, clients, seed)
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    order = numpy_generator(seed, "partition-order").permutation(len(private))
    codes = joint_codes(private)[order]
    partitioner = PARTITIONERS[name](clients, alpha, derive(seed, "partition") % 2**32)
    partitioner.dataset = Dataset.from_dict({"record": order, "private": codes})  # type: ignore[attr-defined]
    return [
        np.asarray(partitioner.load_partition(i).with_format("numpy")["record"][:], dtype=np.int64)  # type: ignore[attr-defined]
        for i in range(clients)
    ]
