"""Clients' updates as a server sees them: as they are, clipped and with noise, or in sums of several clients.

All of this is the same in any orthonormal basis, so updates of 100,000 numbers are first written in a basis of their
own span, once and without loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.wire.update_rows import clip_factors

Values = npt.NDArray[np.float64]

SETS = 4  # sums in which each real client is attacked
SHADOW_SUMS = 600  # the least number of sums to learn from


@dataclass(frozen=True)
class Updates:
    """Updates of some clients in one exchange, and what the attacker wants to know.

    Attributes:
        groups: what the clients sent: group -> [n, numbers], the same groups and numbers for everybody.
        share: [n] share of the private value in a client's records: 0 or 1 for a client with one value.
        records: [n] number of records; servers are told.
    """

    groups: Mapping[str, Floats]
    share: Values
    records: Ints


@dataclass(frozen=True)
class Defence:
    """Say what happens to updates before the server sees them.

    Attributes:
        name: "none"; "noise": every client's update is clipped to the median norm of the shadows' and gets Gaussian
            noise; "sum": secure aggregation, the server sees sums of several clients' updates alone.
        level: "noise": the multiplier, standard deviation of each number in units of the clipping norm (0: clipping
            alone); "sum": number of clients in a sum.
    """

    name: Literal["none", "noise", "sum"]
    level: float = 0.0


NONE = Defence("none")


@dataclass(frozen=True)
class Sketch:
    """Updates in an orthonormal basis of their own span.

    Attributes:
        shadow: [shadows, r].
        real: [clients, r].
        numbers: in an update; Gaussian noise fills all of them, not r alone.
    """

    shadow: Values
    real: Values
    numbers: int


def sketch(shadow: Floats, real: Floats) -> Sketch:
    """Write updates [n, numbers] in a basis of their span; inner products, norms and sums stay what they are."""
    mean = shadow.mean(0, dtype=np.float64).astype(np.float32)
    # deviations apart from the mean they share, which would drown them in single precision
    rows = np.concatenate([mean[None], shadow - mean, real - mean])
    values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    kept = values > values.max(initial=0.0) * 1e-10
    coordinates = vectors[:, kept] * np.sqrt(values[kept])
    coordinates = coordinates[1:] + coordinates[0]
    return Sketch(coordinates[: len(shadow)], coordinates[len(shadow) :], shadow.shape[1])


def with_noise(x: Values, deviation: float, numbers: int, generator: np.random.Generator) -> Values:
    """Return rows [n, r] with noise in all `numbers` dimensions; one more column has its length outside the span."""
    inside, outside, rest = x, np.zeros(len(x)), numbers - x.shape[1]
    if deviation:
        inside = x + deviation * generator.standard_normal(x.shape)
    if deviation and rest > 0:
        outside = deviation * np.sqrt(generator.chisquare(rest, len(x)))
    return np.concatenate([inside, outside[:, None]], axis=1)


def draw_sets(clients: int, size: int, each: int, generator: np.random.Generator) -> Values:
    """Draw `each` sets of `size` clients around each client: [clients · each, clients], 1 for a member."""
    keys = generator.random((clients * each, clients))
    keys[np.arange(len(keys)), np.repeat(np.arange(clients), each)] = -1  # the target is in all of its sets
    member = np.zeros_like(keys)
    np.put_along_axis(member, np.argsort(keys, axis=1)[:, :size], 1, axis=1)
    return member


@dataclass(frozen=True)
class Seen:
    """Represent clients as the server sees them under a defence.

    Attributes:
        groups: by group, rows [n, r + 1] in the basis of a sketch, with the length outside it.
        client: [n] whose row it is.
        exact: [n] true share of the value in a row's sum; None: rows are single clients'.
    """

    groups: Mapping[str, Values]
    client: Ints
    exact: Values | None = None


def _in_sums(
    updates: Mapping[str, Values], clients: Updates, size: int, each: int, unit: float, generator: np.random.Generator
) -> Seen:
    """Return sums of `size` clients, `each` around every client.

    `unit` is what clients divide their records by to weight themselves, which leaves sums of the same order; 0: all
    count alike.
    """
    member = draw_sets(len(clients.share), size, each, generator)
    if unit:
        member = member * clients.records / unit
    groups = {name: with_noise(member @ rows, 0, rows.shape[1], generator) for name, rows in updates.items()}
    return Seen(groups, np.repeat(np.arange(len(clients.share)), each), member @ clients.share)


def _norms(updates: Mapping[str, Values]) -> Values:
    """Return the norms [n] of clients' whole messages, all groups together."""
    norms: Values = np.sqrt(sum((rows**2).sum(1) for rows in updates.values()))
    return norms


def see(
    sketches: Mapping[str, Sketch], shadow: Updates, real: Updates, defence: Defence, weighted: bool, seed: int
) -> tuple[Seen, Seen]:
    """Return the server's view of shadows and of real clients under a defence."""
    generator = numpy_generator(seed, "update-defence", defence.name, str(defence.level))
    sides = {name: s.shadow for name, s in sketches.items()}, {name: s.real for name, s in sketches.items()}
    if defence.name == "sum":
        size, unit = int(defence.level), real.records.mean() if weighted else 0.0
        each = max(SETS, -(-SHADOW_SUMS // len(shadow.share)))
        return (
            _in_sums(sides[0], shadow, size, each, unit, generator),
            _in_sums(sides[1], real, size, SETS, unit, generator),
        )
    bound = float(np.median(_norms(sides[0]))) if defence.name == "noise" else None

    def alone(updates: Mapping[str, Values]) -> Seen:
        scale = 1.0 if bound is None else clip_factors(_norms(updates), bound)[:, None]
        groups = {
            name: with_noise(rows * scale, defence.level * (bound or 0.0), sketches[name].numbers, generator)
            for name, rows in updates.items()
        }
        return Seen(groups, np.arange(len(next(iter(updates.values())))))

    return alone(sides[0]), alone(sides[1])
