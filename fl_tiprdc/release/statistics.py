"""Sums over a client's records, of which a codebook is made: nothing else leaves the client for it.

Every request is answered by sums of fixed shape, so that clients' answers can be added up, by secure aggregation too.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Floats, Ints, X
from fl_tiprdc.release.arrays import Arrays
from fl_tiprdc.release.codes import Codes, softmax_rows
from fl_tiprdc.release.known_levels import NOTHING_KNOWN, count_levels, with_level

Sums = Mapping[str, npt.NDArray[Any]]
RECORDS_AT_ONCE = 4096
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """Ask the crowd one question.

    Attributes:
        name: a key of `STATISTICS`.
        arrays: arguments of the statistic.
        shapes: shapes of the sums that come back, by name.
        everybody: asks all clients, even where a codebook is made of a sample's records.
        codebook: name of the array that later requests have as well; it is sent once.
    """

    name: str
    arrays: Arrays
    shapes: Mapping[str, tuple[int, ...]]
    everybody: bool = False
    codebook: str = ""

    def zeros(self) -> Arrays:
        """Return the answer of a client without records."""
        return {name: np.zeros(shape, dtype=np.float32) for name, shape in self.shapes.items()}


def ask_all(questions: Generator[Request, Sums, T], answer: Callable[[Request], Sums]) -> T:
    """Return the result of a fit whose questions are answered by `answer`, with sums over the crowd."""
    request = next(questions)
    while True:
        try:
            request = questions.send(answer(request))
        except StopIteration as ended:
            fit: T = ended.value
            return fit


@dataclass(frozen=True)
class Coded:
    """Hold a client's records as points of the representation space.

    Attributes:
        z: [n, d] points.
        joint: [n] joint private classes.
        certifying: [n] bool, True for records that have no part in the fit and certify its result.
        draw: from a codebook to the codes [n] that these records publish.
        x: the records, where a fit looks at columns that attackers know.
    """

    z: Floats
    joint: Ints
    certifying: npt.NDArray[np.bool_]
    draw: Callable[[Codes], Ints]
    x: X | None = None

    def group(self, arrays: Arrays) -> Ints:
        """Return the group [n] that a request's arrays give each record, by joint class and level."""
        known = arrays.get("known", NOTHING_KNOWN)
        groups: Ints = np.rint(arrays["group"]).astype(np.int64)[with_level(self.joint, known, self.x)]
        return groups


def count_classes(records: Coded, arrays: Arrays) -> Sums:
    """Return counts [2, joint classes * levels] of the fitting and of the certifying records.

    Arrays are classes and known columns, see `known_levels.known_columns`; without those there is one level. Of
    certifying records nobody needs the level: all count in the first.
    """
    known = arrays.get("known", NOTHING_KNOWN)
    levels = count_levels(known)
    size, place = int(arrays["classes"].prod()) * levels, with_level(records.joint, known, records.x)
    fitting = np.bincount(place[~records.certifying], minlength=size)
    certifying = np.bincount(records.joint[records.certifying] * levels, minlength=size)
    return {"counts": np.stack([fitting, certifying])}


def assign_cells(records: Coded, arrays: Arrays) -> Sums:
    """Return sums over the fitting records nearest to each cell of their group, for one Lloyd step of k-means.

    Arrays are cells [groups, M, d], or [1, M, d] for all groups, and group [joint classes * levels]. Sums are counts
    [groups or 1, M] of the records and points [groups or 1, M, d], their sum.
    """
    cells, fitting = arrays["cells"], ~records.certifying
    z, group = records.z[fitting], records.group(arrays)[fitting]
    group = group if len(cells) > 1 else np.zeros_like(group)
    counts = np.zeros(cells.shape[:2])
    points = np.zeros(cells.shape)
    for g, centers in enumerate(cells):
        of_group = z[group == g]
        nearest = np.zeros(len(of_group), dtype=np.int64)
        for begin in range(0, len(of_group), RECORDS_AT_ONCE):
            part = of_group[begin : begin + RECORDS_AT_ONCE]
            distance = (centers.astype(np.float64) ** 2).sum(1) - 2 * part.astype(np.float64) @ centers.T
            nearest[begin : begin + RECORDS_AT_ONCE] = distance.argmin(1)
        counts[g] = np.bincount(nearest, minlength=len(centers))
        for i, values in enumerate(of_group.T):
            points[g, :, i] = np.bincount(nearest, values, len(centers))
    return {"counts": counts, "points": points}


def add_up_shares(records: Coded, arrays: Arrays) -> Sums:
    """Return sums of P(code | z, group) over the fitting records of each group, for several couplings at a time.

    Arrays are codewords [K, d], potentials [couplings, groups, K], temperature and group [joint classes * levels]. The
    sums are shares [couplings, groups, K].
    """
    cells, potentials, fitting = arrays["codewords"], arrays["potentials"].astype(np.float64), ~records.certifying
    z, group = records.z[fitting], records.group(arrays)[fitting]
    shares = np.zeros(potentials.shape)
    for g in range(potentials.shape[1]):
        of_group = z[group == g]
        for begin in range(0, len(of_group), RECORDS_AT_ONCE):
            part = of_group[begin : begin + RECORDS_AT_ONCE].astype(np.float64)
            distance = (cells.astype(np.float64) ** 2).sum(1) - 2 * part @ cells.T
            for i, of_coupling in enumerate(potentials[:, g]):
                shares[i, g] += softmax_rows((of_coupling - distance) / float(arrays["temperature"])).sum(0)
    return {"shares": shares}


def count_codes(records: Coded, arrays: Arrays) -> Sums:
    """Return counts [couplings, joint classes, K] of the codes that certifying records publish.

    Arrays are those of `couplings_as_arrays`, and classes.
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
    shared: Arrays = {name: arrays["codewords"] for name in ("codewords", "cells") if "codewords" in arrays}
    couplings: list[Codes] = []
    for _, own in sorted(packed.items()):
        shared = shared | own
        couplings.append(Codes.of_arrays(shared))
    return couplings


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Tell whether arrays are the same bit by bit, as draws derive from bits: 0 isn't -0."""
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def couplings_as_arrays(couplings: Sequence[Codes]) -> Arrays:
    """Return the arrays of a fit's couplings in one dictionary: their codewords, "0/potentials" and so on.

    Left out are arrays that the coupling before has as well, and the first one's cells if they are its codewords; the
    temperature is there for each, so that none is lost.
    """
    packed: Arrays = {"codewords": couplings[0].codewords}
    before: Arrays = {"codewords": couplings[0].codewords, "cells": couplings[0].codewords}
    for i, codes in enumerate(couplings):
        arrays = codes.arrays()
        packed |= {
            f"{i}/{name}": value
            for name, value in arrays.items()
            if name == "temperature" or name not in before or not _same(before[name], value)
        }
        before = arrays
    return packed


COUNTED_LAST = "code-counts"  # the question that a fit ends with: it names all codes that are published
STATISTICS: Mapping[str, Callable[[Coded, Arrays], Sums]] = {
    "class-counts": count_classes,
    "cells": assign_cells,
    "shares": add_up_shares,
    COUNTED_LAST: count_codes,
}


def answer(name: str, records: Coded, arrays: Arrays) -> Sums:
    """Return a client's sums for one request."""
    return STATISTICS[name](records, arrays)
