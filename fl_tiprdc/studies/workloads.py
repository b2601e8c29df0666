"""Clients and trainings that runtimes are compared on: real records and random ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fl_tiprdc.config import Point
from fl_tiprdc.data.crowd import Attribute, Column, Description, Records
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.federated.client_store import write_client_store
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.whole_file import new_array

WIDTH, ROWS, CLIENTS = 105, 384, 100  # the stated workload: 12 batches of 32 rows of 105 features
DISTINCT = 1000  # clients whose records differ
PAPER = Point("tiprdc", 0.66, 0)
PLUS = Point("tiprdc+", 0.5, 0)
CODES = Point("coded", 1.0, 0)


@dataclass(frozen=True)
class Workload:
    """Describe what runtimes are compared on.

    Attributes:
        title: its name in tables and figures.
        point: what is trained.
        write: writes the clients' records to a folder.
        settings: of the experiment, but for the number of rounds.
        peers: whether other ways of running the same rounds are timed too; of one exchange of weights a round.
    """

    title: str
    point: Point
    write: Callable[[Path], None]
    settings: Mapping[str, Any]
    peers: bool = False


def synthetic_store(root: Path, clients: int, rows: int) -> None:
    """Write a client store of random records, the same for every thousand clients: no memory holds the whole."""
    columns = tuple(Column(f"x{i}", "numeric", i) for i in range(WIDTH))
    description = Description.of_table(columns, (Attribute("u", ("0", "1")),), ((0.5, 0.5),))
    generator = numpy_generator(0, "benchmark")
    drawn = min(clients, DISTINCT)
    x = generator.standard_normal((drawn * rows, WIDTH)).astype(np.float32)
    private = generator.integers(0, 2, (drawn * rows, 1))
    write_client_store(root, Records(x[:rows], private[:rows]), [np.arange(rows)], description, 0)
    np.save(root / "offsets.npy", np.arange(clients + 1) * rows)
    for name, like in (("x", x), ("private", private)):
        shape = (clients * rows, *like.shape[1:])
        whole = new_array(root / f"{name}.npy", like.dtype, shape)
        for begin in range(0, clients, drawn):
            piece = like[: min(drawn, clients - begin) * rows]
            whole[begin * rows : begin * rows + len(piece)] = piece
        whole.flush()
        del whole


def adult_store(root: Path) -> None:
    """Write the client store of the default run."""
    crowd = load_population("adult", ("sex",), 0.2).contributors
    write_client_store(root, crowd.records(), partition(crowd.private, CLIENTS, "iid", 0), crowd.description, 0)


WORKLOADS = (
    Workload(
        "100 clients, 12 batches of 32 x 105, paper's step",
        PAPER,
        lambda root: synthetic_store(root, CLIENTS, ROWS),
        {"clients": CLIENTS, "federation": {"batch_size": 32}},
        peers=True,
    ),
    Workload(
        "Adult, 100 clients, a round of tiprdc+",
        PLUS,
        adult_store,
        # without the adversary's closing steps, which make the last rounds longer than the others
        {"clients": CLIENTS, "method": {"tiprdc+": {"closing_steps": 0}}},
    ),
    Workload(
        "Adult, 100 clients, an epoch of coded",
        CODES,
        adult_store,
        {"clients": CLIENTS, "method": {"coded": {"local_rounds": 1}}},
    ),
)
