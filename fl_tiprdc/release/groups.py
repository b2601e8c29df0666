"""Private classes as groups of people who are coupled: joint classes of all attributes, rare ones merged."""

from collections.abc import Sequence

import numpy as np

from fl_tiprdc.data.crowd import Attribute, Ints

FEWEST_FITTED = 200  # people of a group on whom a coupling is fitted: fewer don't tell shares of codes


def group_classes(counts: Ints) -> Ints:
    """Say to which group each joint class belongs: [joint classes], groups counted from 0.

    A class with fewer than `FEWEST_FITTED` fitting people doesn't tell how often it would use which code. Such classes
    form a group together; if that is too small as well, they join the largest class.

    Args:
        counts: [joint classes] fitting people of each.
    """
    rare = counts < FEWEST_FITTED
    group = np.cumsum(~rare) - 1
    if not (~rare).any():
        return np.zeros(len(counts), dtype=np.int64)
    together = counts[rare].sum() >= FEWEST_FITTED
    group[rare] = (~rare).sum() if together else group[int(counts.argmax())]
    return group.astype(np.int64)


def class_name(attributes: Sequence[Attribute], joint: int) -> str:
    """Return the name of a joint class, such as "Female, White"."""
    places = np.unravel_index(joint, [len(one.classes) for one in attributes])
    return ", ".join(one.classes[int(place)] for one, place in zip(attributes, places, strict=True))


def merged_note(attributes: Sequence[Attribute], counts: Ints) -> str:
    """Return a note on classes that share a group with others, empty if none does."""
    names = [class_name(attributes, int(j)) for j in np.flatnonzero((counts < FEWEST_FITTED) & (counts > 0))]
    if not names:
        return ""
    return (
        f"{len(names)} private classes have fewer than {FEWEST_FITTED} people to fit a coupling and are hidden only "
        f"together with others: {', '.join(names)}"
    )
