"""Groups of people who are coupled: joint classes of all private attributes, with rare ones merged."""

from collections.abc import Sequence

import numpy as np

from fl_tiprdc.data.crowd import Attribute, Ints
from fl_tiprdc.errors import TooFewPeopleError

FEWEST_FITTED = 200  # people of a group below whom its shares of codes can't be estimated


def group_classes(counts: Ints) -> Ints:
    """Return the group of each joint class [joint classes], groups counted from 0.

    Classes with fewer than `FEWEST_FITTED` fitting people form a group. If that is too small as well, they join
    the largest class.

    Args:
        counts: [joint classes] fitting people of each class.
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
    places = np.unravel_index(joint, [len(attribute.classes) for attribute in attributes])
    return ", ".join(attribute.classes[int(place)] for attribute, place in zip(attributes, places, strict=True))


def merged_note(attributes: Sequence[Attribute], counts: Ints) -> str:
    """Return a note that names the classes which share a group with others; empty if none does."""
    names = [class_name(attributes, int(j)) for j in np.flatnonzero((counts < FEWEST_FITTED) & (counts > 0))]
    if not names:
        return ""
    return (
        f"{len(names)} private classes have fewer than {FEWEST_FITTED} people to fit a coupling and are hidden only "
        f"together with others: {', '.join(names)}"
    )


def check_fitted(fitted: Ints, attributes: Sequence[Attribute]) -> None:
    """Check that codes can be fitted on these people.

    Args:
        fitted: [classes] people of each joint private class, without those who certify.
        attributes: the private attributes.

    Raises:
        TooFewPeopleError: there are too few, or all of them but a few are of one private class.
    """
    if fitted.sum() < 2 * FEWEST_FITTED:
        raise TooFewPeopleError(
            f"{fitted.sum()} people are too few to fit codes on: coded methods need {2 * FEWEST_FITTED} besides "
            "those who certify"
        )
    if (group_classes(fitted) == 0).all():
        largest = int(fitted.argmax())
        raise TooFewPeopleError(
            f"{fitted.sum() - fitted[largest]} people are not {class_name(attributes, largest)}: that is too few to "
            f"fit a coupling on, and nothing would hide them; coded methods need {FEWEST_FITTED} of a second private "
            "class besides those who certify"
        )
