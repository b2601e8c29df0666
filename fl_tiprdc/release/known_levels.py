"""Levels of columns that attackers are taken to know, within which codes must not tell the private class either.

Codes that don't depend on u may still tell it to who knows another column s of the record. Within each level of s all
classes then use the codes in the same shares:

    P(c | u, s) = q_s(c)   and still   Σ_s P(s | u) q_s(c) = 1 / K   for every class u

Of a column with two levels that depends on u this leaves only codes that tell neither: for two classes u, v the second
line gives (P(1 | u) - P(1 | v)) (q_1(c) - q_0(c)) = 0. Several columns are one with joint levels: covered are those who
know all of them, or none.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Column, Floats, Ints, X
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.release.codes import Values
from fl_tiprdc.release.groups import group_classes

FEWEST_OF_LEVEL = 500  # fitting people of a class in a level below whom the level is joined with others
SHARE_OF_LEVEL = 0.1  # or this share of a class, of a class that is small itself
MOST_LEVELS = 1000  # of all known columns together
SECONDS = 60.0  # for the linear program
NOTHING_KNOWN: Floats = np.zeros((0, 3), dtype=np.float32)


def known_columns(names: Sequence[str], columns: Sequence[Column]) -> Floats:
    """Return where known columns stand in x, [columns, 3]: the first place, the number of places, and the median.

    Args:
        names: of the columns.
        columns: all columns of the table.

    Raises:
        InputError: one is no column of the table, or named twice, or all together have too many levels.
    """
    if names and not columns:
        raise InputError("the records are no table: there are no columns that attackers could know")
    by_name = {column.name: column for column in columns}
    require_known("column", names, by_name)
    require_once("column", names)
    chosen = [by_name[name] for name in names]
    rows = [(column.start, column.width, (column.middle - column.mean) / column.deviation) for column in chosen]
    known = np.array(rows, dtype=np.float32).reshape(-1, 3)
    if (levels := count_levels(known)) > MOST_LEVELS:
        raise InputError(f"known columns {', '.join(names)} have {levels} levels together: at most {MOST_LEVELS}")
    return known


def count_levels(known: Floats) -> int:
    """Return the number of joint levels.

    A column has its categories and a level for values that are none of them; a number has two, up to its median and
    above.
    """
    return math.prod(int(width) + 1 for width in known[:, 1])


def level_of(known: Floats, x: X) -> Ints:
    """Return the joint level [n] of records x [n, *shape] in the known columns, the last one varying fastest."""
    levels = np.zeros(len(x), dtype=np.int64)
    for start, width, middle in known.tolist():
        values = np.asarray(x[:, int(start) : int(start + width)])
        if width > 1:
            own = np.where(values.any(1), values.argmax(1), int(width))
        else:
            own = (values[:, 0] > middle).astype(np.int64)
        levels = levels * (int(width) + 1) + own
    return levels


def with_level(joint: Ints, known: Floats, x: X | None) -> Ints:
    """Return the joint class and level [n] of records with joint classes [n], the level varying fastest."""
    if not len(known):
        return joint
    if x is None:
        raise InputError("these codes look at columns of the record, and no record is given")
    place: Ints = joint * count_levels(known) + level_of(known, x)
    return place


def group_levels(counts: Ints) -> tuple[Ints, int]:
    """Return the group of each joint class and level [joint classes * levels], and the number of levels after joining.

    Groups are counted class by class, the level varying fastest.

    Rare classes share one, see `group_classes`. Levels in which a class has fewer than `FEWEST_OF_LEVEL` people, or
    `SHARE_OF_LEVEL` of its people if that is less, are joined to one level, which joins the largest if that is still
    too few: within it, who knows the level learns more.

    Args:
        counts: [joint classes, levels] fitting people.

    Raises:
        InputError: only one level is left of several, so that knowing it would be covered in name alone.
    """
    of_class = group_classes(counts.sum(1))
    groups = int(of_class.max()) + 1
    by_group = np.stack([counts[of_class == g].sum(0) for g in range(groups)])
    fewest = np.minimum(FEWEST_OF_LEVEL, SHARE_OF_LEVEL * by_group.sum(1))
    rare = (by_group < fewest[:, None]).any(0)
    joined = np.cumsum(~rare) - 1
    if rare.all():
        joined[:] = 0
    elif (by_group[:, rare].sum(1) < fewest).any():
        joined[rare] = joined[int(np.where(rare, -1, counts.sum(0)).argmax())]
    else:
        joined[rare] = (~rare).sum()
    levels = int(joined.max()) + 1
    if levels == 1 and counts.shape[1] > 1:
        raise InputError(
            "known columns: all levels but one have too few people of some private class to hide among, so that naming "
            "them would protect nobody; leave them out, or name columns with fuller levels (a number counts by its "
            'median, unless data.columns.NAME is "category")'
        )
    group: Ints = (of_class[:, None] * levels + joined).reshape(-1)
    return group, levels


def joined_note(names: Sequence[str], there_are: int, left: int) -> str:
    """Return a note if of the levels that anybody has in known columns some are joined; empty if none are."""
    if left == there_are:
        return ""
    return (
        f"of {there_are} levels of the known columns ({', '.join(names)}) {left} are told apart, the others joined: "
        "who knows those learns more"
    )


def level_shares(uncoupled: Values, people: npt.NDArray[np.number], codes: int) -> Values:
    """Choose how often the people of each level use each code, by a linear program.

        min Σ_s P(s) Σ_c |q_s(c) - r_s(c)|   subject to   Σ_c q_s(c) = 1,   Σ_s P(s | u) q_s(c) = 1 / K for every u

    r_s are the level's shares without a coupling: codes go on telling of s what doesn't tell of u.

    Args:
        uncoupled: [classes, levels, K] shares in which each class uses codes in each level without a coupling.
        people: [classes, levels] number of people.
        codes: K.

    Returns:
        K q [levels, K], 1 where a level uses a code as often as everybody; ones, if the program takes too long.
    """
    from scipy.optimize import linprog  # slow to import, and clients of a federation don't need it
    from scipy.sparse import csr_array, hstack, identity, kron, vstack

    classes, levels = people.shape
    if levels == 1:
        return np.ones((1, codes))
    weight = people.sum(0) / people.sum()
    own = (people[:, :, None] * uncoupled).sum(0) / np.maximum(people.sum(0), 1e-12)[:, None]
    size = levels * codes
    each = identity(size, format="csr")
    upper = vstack([hstack([each, -each]), hstack([-each, -each])], format="csr")
    limits = np.concatenate([own.reshape(-1), -own.reshape(-1)])
    of_class = people / people.sum(1, keepdims=True)
    equal = vstack([kron(identity(levels), np.ones((1, codes))), kron(csr_array(of_class), identity(codes))])
    wanted = np.concatenate([np.ones(levels), np.full(classes * codes, 1 / codes)])
    cost = np.concatenate([np.zeros(size), np.repeat(weight, codes)])
    both = hstack([equal, csr_array(equal.shape)], format="csr")
    solved = linprog(cost, upper, limits, both, wanted, options={"time_limit": SECONDS})
    if not solved.success:  # equal shares everywhere satisfy all of it
        return np.ones((levels, codes))
    shares = np.maximum(solved.x[:size].reshape(levels, codes), 0)
    relative: Values = codes * shares / shares.sum(1, keepdims=True)
    return relative


def across_levels(shares: Values, people: npt.NDArray[np.number]) -> Values:
    """Return shares [classes, K] of all people of a class, of those in each level [classes, levels, K]."""
    summed: Values = (people[:, :, None] * shares).sum(1) / people.sum(1)[:, None]
    return summed
