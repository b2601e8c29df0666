"""The fit of a codebook and its couplings, by a sequence of questions to the crowd that are answered by sums.

The same sequence serves a trainer that has all records and a server that has none: `fit_codes` is a generator that
yields each `Request` and receives the sums over all records. Its steps:

1. count the private classes; merge rare ones; choose the number of codes;
2. k-means in the representation space, a codebook for each class (splitting as Linde, Buzo & Gray 1980, then Lloyd);
3. codewords that all classes can share: a barycenter (`coupling.common_codewords`);
4. potentials by which each class uses the codes in the shares that λ allows, fitted on records by Sinkhorn's updates;
5. counts of the codes of people who had no part in any of this, from which the certificate is computed.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Description, Floats, Ints
from fl_tiprdc.errors import InputError
from fl_tiprdc.methods import CodesConfig
from fl_tiprdc.release.arrays import Arrays
from fl_tiprdc.release.codes import Codes, Values
from fl_tiprdc.release.coupling import (
    better_potentials,
    class_free_plan,
    common_codewords,
    leftovers,
    squared_distances,
)
from fl_tiprdc.release.groups import check_fitted, group_classes, merged_note
from fl_tiprdc.release.known_levels import (
    across_levels,
    count_levels,
    group_levels,
    joined_note,
    known_columns,
    level_shares,
)
from fl_tiprdc.release.statistics import COUNTED_LAST, Request, Sums, couplings_as_arrays
from fl_tiprdc.seeding import derive, numpy_generator

Bears = Callable[[Sequence[int], Sequence[int]], int]  # from certifying and fitting people of classes to codes

MOST_CODES, FEWEST_CODES = 1024, 2
MOST_CLASS_FREE = 128  # codes of a release that doesn't see the private class: its linear program grows with K²
LARGE = 0.1  # share of all people below which a class has no say in the number of codes: it would allow none
CELLS = 4  # cells of a class for each code: the finer they are, the better potentials fit records
FEWEST_IN_CELL = 8  # people of the smallest class in a cell on average, so that no sum is about a few of them
DIMENSIONS = 8  # assumed dimension of the records, by which the spread of codes follows from that of finer cells
NEAR = 0.1  # distance by which halves of a split cell are moved apart, in units of the cells' spread


@dataclass(frozen=True)
class CodeFit:
    """Result of a fit.

    Attributes:
        couplings: the codes of each λ, in order.
        counts: [λ, joint classes, K] certifying people by joint class and published code.
        fitted: [joint classes] people on whom codes were fitted.
        distances: [λ] largest total variation between two groups' codes, among fitting people.
        note: names the private classes that were merged, and known columns whose levels were; empty if none were.
    """

    couplings: tuple[Codes, ...]
    counts: Ints
    fitted: Ints
    distances: tuple[float, ...]
    note: str


Questions = Generator[Request, Sums, CodeFit]


def questions_in(config: CodesConfig) -> int:
    """Return roughly the number of questions in a fit; how often cells are split depends on the crowd."""
    return 4 + 10 + config.lloyd_rounds + (config.coupling_rounds + 1 if config.sees_private else 0)


def fit_codes(
    config: CodesConfig,
    description: Description,
    d: int,
    lambdas: Sequence[float],
    seed: int,
    bears: Bears,
    sampled: bool = False,
) -> Questions:
    """Ask for sums over the crowd until codes are fitted and counted.

    Args:
        config: number of codes, rounds, whether the private class is seen.
        description: the private attributes, and the columns of a table.
        d: numbers in a representation.
        lambdas: values of λ, from 0 (no coupling) to 1 (all classes use codes alike); they share the codebook.
        seed: the experiment's seed.
        bears: returns how many codes a number of people can certify.
        sampled: whether the codebook is made of a sample's records: of whom requests ask that aren't for everybody.

    Raises:
        InputError: there are too few people to fit codes on, or all of them but a few are of one private class, or of
            one level of the known columns.
    """
    attributes = description.attributes
    classes = np.array(description.classes, dtype=np.float32)
    joint, known = int(classes.prod()), known_columns(config.known, description.columns)
    arrays = {"classes": classes, **_known_arrays(known)}
    shape = {"counts": (2, joint * count_levels(known))}
    sums = yield Request("class-counts", arrays, shape, everybody=True)
    in_levels, certifying = np.rint(np.asarray(sums["counts"])).astype(np.int64).reshape(2, joint, -1)
    fitted = in_levels.sum(1)
    check_fitted(fitted, attributes)
    group, levels = group_levels(in_levels)
    groups = int(group.max()) + 1
    people = np.bincount(group, weights=in_levels.reshape(-1), minlength=groups)
    codes = choose_codes(config, fitted, certifying.sum(1), group_classes(fitted), bears)
    shared = not config.sees_private
    in_sample = people
    if sampled:
        sums = yield Request("class-counts", arrays, shape)
        in_sample = np.bincount(group, weights=np.asarray(sums["counts"])[0], minlength=groups)
        codes = _borne_by(in_sample.sum(keepdims=True) if shared else in_sample, codes, bool(config.codes))
    of_a_class = codes if shared else cells_for(codes, in_sample)
    asked = _Asked(group, known)
    cells, counts = yield from _cells(1 if shared else groups, of_a_class, d, asked, seed, config.lloyd_rounds)
    spread = _spread(cells, counts, d) * (of_a_class / codes) ** (2 / DIMENSIONS)
    temperature = max(config.temperature * spread, 1e-6)
    if shared:
        codewords, start = cells[0].astype(np.float32), np.zeros((groups, codes))
    else:
        shares = [of_group / of_group.sum() for of_group in counts]
        codewords, start = common_codewords(list(cells), shares, codes, temperature, derive(seed, "codewords"))
    ask = _Shares(codewords, temperature, asked, groups)
    free = (yield ask.request(np.zeros((1, groups, codes))))["shares"][0]
    uncoupled = free / free.sum(1, keepdims=True)
    in_level, of_level = uncoupled.reshape(-1, levels, codes), people.reshape(-1, levels)
    if shared:
        couplings = _class_free(codewords, temperature, uncoupled, free.sum(0), lambdas, joint)
    else:
        alike = np.tile(level_shares(in_level, of_level, codes), (groups // levels, 1))
        couplings = yield from _coupled(ask, start, uncoupled, alike, lambdas, cells, np.stack(shares), config)
    sums = yield Request(
        COUNTED_LAST,
        {"classes": classes, **couplings_as_arrays(couplings)},
        {"counts": (len(couplings), joint, codes)},
        everybody=True,
        codebook="codewords",
    )
    published = np.rint(np.asarray(sums["counts"])).astype(np.int64)
    apart = tuple(float((1 - lam) * _distance(across_levels(in_level, of_level))) for lam in lambdas)
    notes = (merged_note(attributes, fitted), joined_note(config.known, int(in_levels.any(0).sum()), levels))
    return CodeFit(tuple(couplings), published, fitted, apart, "; ".join(filter(None, notes)))


def cells_for(codes: int, fitted: npt.NDArray[np.number]) -> int:
    """Return the number of k-means cells of each class, for so many codes and fitting people [groups]."""
    return max(2, min(CELLS * codes, int(fitted.min()) // FEWEST_IN_CELL))


def choose_codes(config: CodesConfig, fitted: Ints, certifying: Ints, group: Ints, bears: Bears) -> int:
    """Return the number of codes in the settings, or with none there the number that the crowd can certify.

    Raises:
        InputError: the settings ask for more codes than the people can fit.
    """
    groups = int(group.max()) + 1
    of_groups = [np.bincount(group, weights=people, minlength=groups) for people in (fitted, certifying)]
    most = int(of_groups[0].min()) // 4
    if config.codes:
        if config.codes > most:
            raise InputError(
                f"codes is {config.codes}: the smallest class has {int(of_groups[0].min())} people to fit them on, "
                f"which bears {most} at most"
            )
        return config.codes
    large = of_groups[0] >= LARGE * of_groups[0].sum()
    if large.sum() < 2:
        large = of_groups[0] >= np.sort(of_groups[0])[-min(2, groups)]
    chosen = bears([int(n) for n in of_groups[1][large]], [int(n) for n in of_groups[0][large]])
    limit = MOST_CODES if config.sees_private else MOST_CLASS_FREE
    return max(FEWEST_CODES, min(max(chosen, config.fewest), most, limit))


def _borne_by(people: npt.NDArray[np.number], codes: int, asked: bool) -> int:
    """Return the number of codes for which a sample's people [groups] make cells enough, at most `codes`.

    Raises:
        InputError: it is fewer than two, or than the settings asked for.
    """
    most = int(people.min()) // FEWEST_IN_CELL
    if most < (codes if asked else FEWEST_CODES):
        raise InputError(
            f"the clients of whose records the codebook is made have {int(people.min())} people of the smallest class, "
            f"which bears {most} codes; ask more of them (federation.codebook_clients)"
        )
    return min(codes, most)


def _distance(shares: Values) -> float:
    """Return the largest total variation between two groups' shares [groups, K]."""
    return float(max((0.5 * np.abs(a - b).sum() for a in shares for b in shares), default=0.0))


def _cells(
    books: int, codes: int, d: int, asked: "_Asked", seed: int, rounds: int
) -> Generator[Request, Sums, tuple[Values, Values]]:
    """Ask for Lloyd steps until every codebook has `codes` cells and settles; return cells [books, M, d] and counts."""
    cells = np.zeros((books, 1, d))
    generator = numpy_generator(seed, "split-cells")
    settled = 0
    while True:
        sums = yield Request(
            "cells",
            {"cells": cells.astype(np.float32), **asked.arrays()},
            {"counts": cells.shape[:2], "points": cells.shape},
        )
        counts, points = np.asarray(sums["counts"], np.float64), np.asarray(sums["points"], np.float64)
        cells = np.where(counts[:, :, None] > 0, points / np.maximum(counts, 1)[:, :, None], cells)
        settled += int(cells.shape[1] == codes)
        if settled > rounds:
            return cells, counts
        cells = np.stack([_grown(*book, codes, generator) for book in zip(cells, counts, strict=True)])


def _grown(cells: Values, counts: Values, codes: int, generator: np.random.Generator) -> Values:
    """Split the fullest cells in two, until there are twice as many or `codes`; move empty ones beside the fullest."""
    radius = float(np.sqrt(max(1e-6, cells.shape[1] - (counts @ (cells**2).sum(1)) / max(counts.sum(), 1))))
    jump = lambda: NEAR * radius * generator.standard_normal(cells.shape[1]) / np.sqrt(cells.shape[1])  # noqa: E731
    order = np.argsort(-counts, kind="stable")
    grown = cells.copy()
    for place, empty in enumerate(np.flatnonzero(counts == 0)):
        grown[empty] = cells[order[place % max(1, int((counts > 0).sum()))]] + jump()
    more = min(codes, 2 * len(cells)) - len(cells)
    if not more:
        return grown
    moves = np.array([jump() for _ in range(more)])
    halves = grown[order[:more]] + moves
    grown[order[:more]] -= moves
    return np.concatenate([grown, halves])


def _spread(cells: Values, counts: Values, d: int) -> float:
    """Return the mean squared distance from points on the sphere of radius √d to their cell's mean."""
    total = counts.sum()
    return float(max(1e-6, (counts * (d - (cells**2).sum(2))).sum() / max(total, 1)))


@dataclass(frozen=True)
class _Asked:
    """Whom a request is about: the group of each joint class and level, and the columns that decide the level."""

    group: Ints
    known: Floats

    def arrays(self) -> Arrays:
        return {"group": self.group.astype(np.float32), **_known_arrays(self.known)}


def _known_arrays(known: Floats) -> Arrays:
    return {"known": known} if len(known) else {}


@dataclass(frozen=True)
class _Shares:
    """Ask how often each group uses each code, for several couplings."""

    codewords: Floats
    temperature: float
    asked: "_Asked"
    groups: int

    def request(self, potentials: npt.NDArray[np.floating]) -> Request:
        arrays: Arrays = {
            "codewords": self.codewords,
            "potentials": potentials.astype(np.float32),
            "temperature": np.array(self.temperature, dtype=np.float32),
            **self.asked.arrays(),
        }
        return Request("shares", arrays, {"shares": potentials.shape}, everybody=True, codebook="codewords")


def _coupled(
    ask: _Shares,
    start: Values,
    uncoupled: Values,
    alike: Values,
    lambdas: Sequence[float],
    cells: Values,
    weights: Values,
    config: CodesConfig,
) -> Generator[Request, Sums, list[Codes]]:
    """Fit the potentials of each λ, so that groups use the codes in shares (1-λ) · uncoupled + λ · alike / K."""
    codes = len(ask.codewords)
    wanted = np.stack([(1 - lam) * uncoupled + lam / codes * alike for lam in lambdas])
    wanted = np.maximum(wanted, 1e-9)
    potentials = np.stack([lam * start for lam in lambdas])
    for done in range(config.coupling_rounds + 1):
        sent = potentials.astype(np.float32)
        sums = np.asarray((yield ask.request(sent))["shares"], np.float64)
        shares = sums / np.maximum(sums.sum(2, keepdims=True), 1e-12)
        if done < config.coupling_rounds:
            for i, g in np.ndindex(*potentials.shape[:2]):
                potentials[i, g] = better_potentials(
                    potentials[i, g], shares[i, g], wanted[i, g], cells[g], weights[g], ask.codewords, ask.temperature
                )
    couplings = []
    for i in range(len(lambdas)):
        moves = [leftovers(shares[i, g], wanted[i, g]) for g in range(ask.groups)]
        couplings.append(
            Codes(
                ask.codewords,
                ask.codewords,
                sent[i],
                float(np.float32(ask.temperature)),
                np.zeros((0, codes), dtype=np.float32),
                np.stack([keep for keep, _ in moves]).astype(np.float32),
                np.stack([fill for _, fill in moves]).astype(np.float32),
                ask.asked.group,
                ask.asked.known,
            )
        )
    return couplings


def _class_free(
    codewords: Floats, temperature: float, uncoupled: Values, weights: Values, lambdas: Sequence[float], joint: int
) -> list[Codes]:
    """Return the codes of each λ that depend on x alone, changed until classes are as near as λ asks."""
    codes = len(codewords)
    distances = squared_distances(codewords, codewords)
    apart = 0.5 * np.abs(uncoupled - uncoupled.mean(0)).sum(1)
    fill = np.full((1, codes), 1 / codes, dtype=np.float32)
    return [
        Codes(
            codewords,
            codewords,
            np.zeros((1, codes), dtype=np.float32),
            temperature,
            class_free_plan(uncoupled, distances, weights / weights.sum(), (1 - lam) * apart).astype(np.float32),
            np.ones((1, codes), dtype=np.float32),
            fill,
            np.zeros(joint, dtype=np.int64),
        )
        for lam in lambdas
    ]
