"""From raw labels and encoded records to a population: split by people, private classes, statistics of contributors."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Attribute, Column, Crowd, Description, Ints, Modality, Population, X
from fl_tiprdc.errors import InputError
from fl_tiprdc.seeding import numpy_generator

RARE = 0.005  # private classes below this share of the contributors are merged: too few to train or test on
OTHER = "(other)"
SAMPLE = 5000  # images from which pixel statistics are taken


def hold_out(participant: Ints, share: float) -> np.ndarray:
    """Which records belong to held-out people: [n] bool.

    The same people are held out for every experiment seed, so that nothing is ever chosen on them.
    """
    people = np.unique(participant)
    count = min(max(1, round(share * len(people))), len(people) - 1)
    out = numpy_generator(0, "held-out").permutation(len(people))[:count]
    return np.isin(participant, people[out])


def build_population(
    encode: Callable[[np.ndarray], tuple[X, tuple[Column, ...]]],
    private: pd.DataFrame,
    tasks: Mapping[str, Ints],
    participant: Ints | None,
    held_out: float,
    modality: Modality,
    vocabulary: int = 0,
) -> Population:
    """Put a population together.

    Args:
        encode: from [n] bool, true for contributors, to x [n, *shape] and the columns of a table. It may look at
            the contributors' values only.
        private: the private columns, raw; numeric ones with more than two values are split at the contributors' median.
        tasks: name -> [n] integer labels from 0.
        participant: [n] the person a record belongs to; None: every record is a person.
        held_out: share of the people who contribute nothing.
        modality: of x.
        vocabulary: texts: number of token ids.

    Raises:
        InputError: a private attribute has a single value, or nobody is left to contribute.
    """
    n = len(private)
    if participant is None:
        participant = np.arange(n, dtype=np.int64)
    if len(np.unique(participant)) < 2:
        raise InputError("the data has fewer than two people: nobody could be held out")
    known = ~hold_out(participant, held_out)
    labels, attributes = encode_private(private, known)
    x, columns = encode(known)
    marginals = tuple(
        tuple((np.bincount(labels[known, a], minlength=len(attribute.classes)) / known.sum()).tolist())
        for a, attribute in enumerate(attributes)
    )
    if modality == "table":
        description = Description.of_table(columns, attributes, marginals)
    else:
        uncertainty = UNCERTAINTY[modality](x, np.flatnonzero(known), vocabulary)
        description = Description(attributes, marginals, tuple(x.shape[1:]), modality, uncertainty, (), vocabulary)
    crowd = Crowd(x, labels, tasks, participant, description)
    return Population(crowd.take(np.flatnonzero(known)), crowd.take(np.flatnonzero(~known)))


def _pixel_uncertainty(x: X, known: Ints, vocabulary: int) -> float:
    """Half the squared error of the mean image, pixels from 0 to 1, summed over pixels."""
    rows = known if len(known) <= SAMPLE else numpy_generator(0, "pixels").choice(known, SAMPLE, replace=False)
    total = square = np.zeros(x.shape[1:])
    for part in np.array_split(rows, -(-len(rows) // 500)):  # decoded a few at a time
        pixels = x[part].astype(np.float64) / 255
        total, square = total + pixels.sum(0), square + (pixels**2).sum(0)
    return max(0.5 * float((square / len(rows) - (total / len(rows)) ** 2).sum()), 1e-6)


def _token_uncertainty(x: X, known: Ints, vocabulary: int) -> float:
    """Entropy in nats of the token at each place, summed over places."""
    tokens = x[known]
    nats = 0.0
    for place in range(tokens.shape[1]):
        share = np.unique(tokens[:, place], return_counts=True)[1] / len(tokens)
        nats -= float((share * np.log(share)).sum())
    return max(nats, 1e-6)


UNCERTAINTY: Mapping[str, Callable[[X, Ints, int], float]] = {"image": _pixel_uncertainty, "text": _token_uncertainty}


def encode_private(private: pd.DataFrame, known: np.ndarray) -> tuple[Ints, tuple[Attribute, ...]]:
    """Private labels [n, attributes] and their classes; `known` [n] is true for contributors.

    Raises:
        InputError: an attribute has a single value.
    """
    labels, attributes = [], []
    for name in private.columns:
        values = private[name]
        if pd.api.types.is_numeric_dtype(values) and values[known].nunique() > 2:
            middle = values[known].median()
            text = np.where(values.to_numpy() > middle, f"> {middle:g}", f"<= {middle:g}")
        else:
            text = values.astype(str).to_numpy()
        names, counts = np.unique(text[known], return_counts=True)
        kept = names[counts >= RARE * known.sum()]
        text = np.where(np.isin(text, kept), text, OTHER)
        classes = tuple(np.unique(text[known]).tolist())
        if OTHER in text and OTHER not in classes:
            classes = (*classes, OTHER)
        if len(classes) < 2:
            raise InputError(f"private attribute '{name}' has a single value, '{classes[0]}': nothing to hide")
        position = {value: code for code, value in enumerate(classes)}
        labels.append(np.array([position[value] for value in text], dtype=np.int64))
        attributes.append(Attribute(str(name), classes))
    return np.stack(labels, axis=1), tuple(attributes)
