"""Codes: a finite release, in which a record's private class and its place in the representation space decide its code.

    c ~ Σ_m P(m | z, u) · plan(c | m, u),     P(m | z, u) ∝ exp((potential_u[m] - ‖z - cell_m‖²) / temperature)

Potentials are those of optimal transport with an entropy term (Cuturi 2013), fitted so that every class of people uses
the codes in wanted shares; `keep` and `fill` correct what is left. `release.codebook` fits them.
"""

from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.errors import InputError
from fl_tiprdc.release.arrays import digest_of

Values = npt.NDArray[np.float64]

RECORDS_AT_ONCE = 4096  # records whose distances to all cells are in memory at a time
LARGEST_CODEBOOK = 65535  # a published code is a uint16
ROUNDING = 1e-3  # by how much the sum of shares may differ from 1


def joint_classes(private: Ints, classes: tuple[int, ...]) -> Ints:
    """Return the joint class [n] of private labels [n, attributes], the last attribute varying fastest."""
    joint: Ints = np.ravel_multi_index(tuple(private.T), classes).astype(np.int64)
    return joint


def softmax_rows(logits: Values) -> Values:
    """Turn logits [n, K] into probabilities and return them, in place: SciPy's has the same bits in twice the time."""
    logits -= logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    return logits


@dataclass(frozen=True)
class Codes:
    """Hold a codebook and the coupling of one λ.

    Attributes:
        codewords: [K, d] the point of the representation space that stands for each code.
        cells: [M, d] the points to which records are assigned first; the codewords, if the private class is seen.
        potentials: [groups, M] how strongly a cell attracts the records of a group; equal ones have no effect.
        temperature: softness of the assignment, in squared distance; near 0 a record goes to the nearest cell.
        plan: [M, K] P(code | cell) of a release that doesn't see the private class; empty if the cell is the code.
        keep: [groups, K] share of a group's records that keep their code.
        fill: [groups, K] shares in which the others are spread over the codes; rows sum to 1.
        group: [joint classes * levels] the group of each joint private class, and level of the known columns, the level
            varying fastest; rare classes share one.
        known: [columns, 3] columns that attackers are taken to know, see `known_levels`; none in most releases.
    """

    codewords: Floats
    cells: Floats
    potentials: Floats
    temperature: float
    plan: Floats
    keep: Floats
    fill: Floats
    group: Ints
    known: Floats = field(default_factory=lambda: np.zeros((0, 3), dtype=np.float32))

    def __post_init__(self) -> None:
        if self.codewords.ndim != 2 or self.cells.ndim != 2 or self.codewords.shape[1] != self.cells.shape[1]:
            raise InputError("the arrays of a codebook don't fit each other")
        groups, cells, codes = len(self.potentials), len(self.cells), len(self.codewords)
        shapes = (self.potentials.shape, self.keep.shape, self.fill.shape)
        plans = ((cells, codes), (0, codes)) if cells == codes else ((cells, codes),)
        if shapes != ((groups, cells), (groups, codes), (groups, codes)) or self.plan.shape not in plans:
            raise InputError("the arrays of a codebook don't fit each other")
        if self.known.ndim != 2 or self.known.shape[1] != 3:
            raise InputError("the known columns of a codebook are not three numbers each")
        if not 0 < codes <= LARGEST_CODEBOOK:
            raise InputError(f"a codebook has {codes} codes: allowed are 1 to {LARGEST_CODEBOOK}")
        if not (self.temperature > 0 and self.group.ndim == 1 and len(self.group)):
            raise InputError("a codebook has a temperature above 0, and a group for each private class")
        outside = any((shares < 0).any() or (shares > 1).any() for shares in (self.keep, self.fill, self.plan))
        if outside or any((np.abs(shares.sum(1) - 1) > ROUNDING).any() for shares in (self.fill, self.plan)):
            raise InputError("a codebook has shares of people that are none")

    def __len__(self) -> int:
        return len(self.codewords)

    @property
    def sees_private(self) -> bool:
        """Return whether a record's code depends on its private class."""
        return not len(self.plan)

    def probabilities(self, z: Floats, group: Ints) -> Values:
        """Return P(c | z, group) [n, K] for representations z [n, d] and groups [n]."""
        potentials = self.potentials.astype(np.float64)
        distance = (self.cells.astype(np.float64) ** 2).sum(1) - 2 * z.astype(np.float64) @ self.cells.T
        chances = softmax_rows((potentials[group] - distance) / self.temperature)
        if len(self.plan):
            chances = chances @ self.plan
        chances *= self.keep[group]
        chances += (1 - chances.sum(1, keepdims=True)) * self.fill[group]
        return chances

    def draw(self, z: Floats, joint: Ints, normal: Floats) -> Ints:
        """Return the codes [n] of records.

        Args:
            z: [n, d] representations.
            joint: [n] joint private classes, with the level where columns are known (`known_levels.with_level`);
                without effect where the release doesn't see them.
            normal: [n, 1] a draw from N(0, 1) for each record; the same draw gives the same code.
        """
        codes = np.empty(len(z), dtype=np.int64)
        group = self.group[joint] if self.sees_private else np.zeros(len(z), dtype=np.int64)
        for begin in range(0, len(z), RECORDS_AT_ONCE):
            part = slice(begin, begin + RECORDS_AT_ONCE)
            reached = self.probabilities(z[part], group[part]).cumsum(1)
            uniform = ndtr(normal[part, 0].astype(np.float64))[:, None] * reached[:, -1:]
            codes[part] = np.minimum((reached <= uniform).sum(1), len(self) - 1)
        return codes

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return all attributes as float32 arrays by name, for a message or a file; known columns where there are."""
        names = [f.name for f in fields(self) if f.name != "known" or len(self.known)]
        return {name: np.asarray(getattr(self, name), dtype=np.float32) for name in names}

    @classmethod
    def of_arrays(cls, arrays: dict[str, npt.NDArray[np.float32]]) -> "Codes":
        """Return the codes whose attributes are `arrays`.

        Raises:
            InputError: an array is missing, has values that are not finite, or doesn't fit the others.
        """
        names = {f.name for f in fields(cls)} - {"known"}
        if (
            set(arrays) - {"known"} != names
            or arrays["temperature"].ndim
            or not all(np.isfinite(value).all() for value in arrays.values())
        ):
            raise InputError(f"a codebook has the finite arrays {', '.join(sorted(names))}")
        rest = {name: value for name, value in arrays.items() if name not in ("temperature", "group")}
        group = np.rint(arrays["group"]).astype(np.int64)
        if len(group) and not (group.min() >= 0 and group.max() < len(arrays["potentials"])):
            raise InputError("a codebook names a group of people that it doesn't have")
        return cls(temperature=float(arrays["temperature"]), group=group, **rest)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of all arrays. A release's draws derive from it, so that no two releases share draws."""
        return digest_of(self.arrays())

    @cached_property
    def bits(self) -> float:
        """Return the bits in one code, the most that a release can tell anyone of its record."""
        return float(np.log2(len(self)))
