"""Sums over a client's records from which a codebook is made: the only thing that leaves a client on the way to it.

Every request is answered by sums of fixed shape, so that any number of clients can be added, by secure aggregation too.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.release.codes import Codes

Arrays = dict[str, npt.NDArray[np.float32]]
Sums = Mapping[str, npt.NDArray[Any]]
PIECE = 4096
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One question to all clients.

    Attributes:
        name: a key of `STATISTICS`.
        arrays: what a client needs to answer.
        shapes: of the sums that come back, by name.
    """

    name: str
    arrays: Arrays
    shapes: Mapping[str, tuple[int, ...]]

    def zeros(self) -> Arrays:
        """Return the answer of a client without records."""
        return {name: np.zeros(shape, dtype=np.float32) for name, shape in self.shapes.items()}


def ask_all(questions: Generator[Request, Sums, T], answer: Callable[[Request], Sums]) -> T:
    """Carry a fit to its end; `answer` gets the sums over the crowd for a request."""
    request = next(questions)
    while True:
        try:
            request = questions.send(answer(request))
        except StopIteration as ended:
            fit: T = ended.value
            return fit


@dataclass(frozen=True)
class Coded:
    """A client's records as the representation space has them.

    Attributes:
        z: [n, d] points.
        joint: [n] joint private classes.
        certifying: [n] bool, records that have no part in any fit and certify what was fitted.
        draw: from codes to the codes [n] that these records publish.
    """

    z: Floats
    joint: Ints
    certifying: npt.NDArray[np.bool_]
    draw: Callable[[Codes], Ints]


def count_classes(records: Coded, arrays: Arrays) -> Sums:
    """Count joint classes among fitting and among certifying records: counts [2, joint classes]."""
    size = int(arrays["classes"].prod())
    return {
        "counts": np.stack(
            [np.bincount(records.joint[side], minlength=size) for side in (~records.certifying, records.certifying)]
        )
    }


def assign_cells(records: Coded, arrays: Arrays) -> Sums:
    """Sum up the fitting records nearest to each cell of their group: one Lloyd step of k-means.

    Arrays: cells [groups, M, d], or [1, M, d] for all; group [joint classes]. Sums: counts [groups or 1, M],
    points [groups or 1, M, d].
    """
    cells, fitting = arrays["cells"], ~records.certifying
    z, group = records.z[fitting], np.rint(arrays["group"]).astype(np.int64)[records.joint[fitting]]
    group = group if len(cells) > 1 else np.zeros_like(group)
    counts = np.zeros(cells.shape[:2])
    points = np.zeros(cells.shape)
    for g, own in enumerate(cells):
        mine = z[group == g]
        distance = (own.astype(np.float64) ** 2).sum(1) - 2 * mine.astype(np.float64) @ own.T
        nearest = distance.argmin(1)
        counts[g] = np.bincount(nearest, minlength=len(own))
        np.add.at(points[g], nearest, mine)
    return {"counts": counts, "points": points}


def add_up_shares(records: Coded, arrays: Arrays) -> Sums:
    """Add up P(code | z, group) over the fitting records of each group, for several couplings at a time.

    Arrays: cells [M, d], potentials [couplings, groups, M], temperature, group [joint classes]. Sums: shares
    [couplings, groups, M].
    """
    cells, potentials, fitting = arrays["cells"], arrays["potentials"].astype(np.float64), ~records.certifying
    z, group = records.z[fitting], np.rint(arrays["group"]).astype(np.int64)[records.joint[fitting]]
    shares = np.zeros(potentials.shape)
    for g in range(potentials.shape[1]):
        mine = z[group == g]
        for begin in range(0, len(mine), PIECE):
            part = mine[begin : begin + PIECE].astype(np.float64)
            distance = (cells.astype(np.float64) ** 2).sum(1) - 2 * part @ cells.T
            for i, own in enumerate(potentials[:, g]):
                shares[i, g] += softmax((own - distance) / float(arrays["temperature"]), axis=1).sum(0)
    return {"shares": shares}


def count_codes(records: Coded, arrays: Arrays) -> Sums:
    """Count the published codes of certifying records by joint class: counts [couplings, joint classes, K].

    Arrays: those of `Codes.arrays` of each coupling, as "0/codewords" and so on; and classes.
    """
    size, tables = int(arrays["classes"].prod()), []
    for codes in couplings_in(arrays):
        drawn = records.draw(codes)[records.certifying]
        flat = records.joint[records.certifying] * len(codes) + drawn
        tables.append(np.bincount(flat, minlength=size * len(codes)).reshape(size, len(codes)))
    return {"counts": np.stack(tables)}


def couplings_in(arrays: Arrays) -> list[Codes]:
    """Return the codes of each coupling that `couplings_as_arrays` packed."""
    packed: dict[int, Arrays] = {}
    for name, value in arrays.items():
        number, _, field = name.partition("/")
        if field:
            packed.setdefault(int(number), {})[field] = value
    return [Codes.of_arrays(packed[number]) for number in sorted(packed)]


def couplings_as_arrays(couplings: list[Codes]) -> Arrays:
    """Return the arrays of several couplings under one roof."""
    return {f"{i}/{name}": value for i, codes in enumerate(couplings) for name, value in codes.arrays().items()}


STATISTICS: Mapping[str, Callable[[Coded, Arrays], Sums]] = {
    "class-counts": count_classes,
    "cells": assign_cells,
    "shares": add_up_shares,
    "code-counts": count_codes,
}


def answer(name: str, records: Coded, arrays: Arrays) -> Sums:
    """Return a client's sums for one request."""
    return STATISTICS[name](records, arrays)
