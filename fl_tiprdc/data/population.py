"""From raw labels and encoded records to a population: split by people, private classes, statistics of contributors."""

import decimal
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.data.column_values import as_number, is_number
from fl_tiprdc.data.crowd import Attribute, Column, Crowd, Description, Ints, Modality, Population, X
from fl_tiprdc.errors import InputError
from fl_tiprdc.seeding import numpy_generator

RARE = 0.005  # private classes below this share of the contributors are merged: too few to train or test on
OTHER = "(other)"
SAMPLE = 5000  # images from which pixel statistics are taken


def hold_out(participant: Ints, share: float, labels: Iterable[pd.Series] = ()) -> npt.NDArray[np.bool_]:
    """Return which records belong to held-out people, [n].

    The same people are held out for every experiment seed, so that nothing is ever chosen on them.

    Args:
        participant: [n] the person a record belongs to.
        share: of the people.
        labels: [n] each, private columns and tasks as they are. Where the plain draw would leave a class out among the
            held-out people or the others, people change places until each class of two people or more is on both sides.
    """
    people = len(np.unique(participant))
    count = min(max(1, round(share * people)), people - 1)
    return draw_people(participant, count, numpy_generator(0, "held-out"), [_strata(values) for values in labels])


def draw_people(
    participant: Ints,
    count: int,
    generator: np.random.Generator,
    strata: Sequence[Ints] = (),
    keep_single: bool = False,
) -> npt.NDArray[np.bool_]:
    """Return the records of people drawn at random, [n].

    Args:
        participant: [n] the person a record belongs to.
        count: people to draw.
        generator: draws them.
        strata: [n] classes each, from 0. Where the plain draw would leave a class out on one side, people change
            places until that class is on both sides in about the same share; who has several records is moved whole.
        keep_single: a class of one person is wanted among those who aren't drawn.
    """
    people, person = np.unique(participant, return_inverse=True)
    order = generator.permutation(len(people))
    plain = np.isin(participant, people[order[:count]])
    if all(np.array_equal(np.unique(codes[plain]), np.unique(codes[~plain])) for codes in strata):
        return plain
    columns = [np.zeros((len(people), 0), dtype=np.int64)]
    for codes in strata:
        members = np.zeros((len(people), int(codes.max(initial=0)) + 1), dtype=np.int64)
        members[person, codes] = 1
        columns.append(members)
    drawn = _with_all_classes(order, count, np.concatenate(columns, axis=1), keep_single)
    return np.isin(participant, people[drawn])


def _with_all_classes(order: Ints, count: int, members: Ints, keep_single: bool) -> Ints:
    """Return the first `count` of `order`, with people exchanged where a class would be missing on one side.

    Args:
        order: [people].
        count: people to draw.
        members: [people, classes] 1 for who has a record of the class.
        keep_single: see `draw_people`.
    """
    drawn, others = order[:count], order[count:]
    total, inside = members.sum(0), members[drawn].sum(0)
    split = total >= 2  # one person can't be on both sides
    wanted = np.clip(np.rint(total * count / len(order)).astype(np.int64), 1, np.maximum(total - 1, 1))
    least = np.where(split & (inside == 0), wanted, split.astype(np.int64))
    outside = np.where(split & (inside == total), total - wanted, split.astype(np.int64))
    if keep_single:
        outside = np.where(total == 1, 1, outside)

    def lack(counts: Ints) -> Ints:
        """Return how many people each side lacks, for counts [..., classes] of those who are drawn."""
        return np.asarray((np.maximum(least - counts, 0) + np.maximum(outside - (total - counts), 0)).sum(-1))

    while lack(inside) > 0:
        exchange = next(
            (
                (leaving, joining)
                for joining in range(len(others))
                for lacks in [lack(inside - members[drawn] + members[others[joining]])]
                for leaving in [len(drawn) - 1 - int(lacks[::-1].argmin())]
                if lacks[leaving] < lack(inside)
            ),
            None,
        )
        if exchange is None:
            break  # as good as it gets: so few people can't have all classes
        leaving, joining = exchange
        inside = inside - members[drawn[leaving]] + members[others[joining]]
        drawn, others = drawn.copy(), others.copy()
        drawn[leaving], others[joining] = others[joining], drawn[leaving]
    return drawn


def _strata(values: pd.Series) -> Ints:
    """Return the classes [n] that a column of labels is expected to have, from 0, whoever is held out.

    As `encode_private` does it: numbers of more than two values are split at their median, and rare values are one
    class.
    """
    if is_number(values) and values.nunique() > 2:
        number = as_number(str(values.name), values)
        return (number > number.median()).to_numpy().astype(np.int64)
    _, codes, counts = np.unique(values.astype(str).to_numpy(dtype=str), return_inverse=True, return_counts=True)
    frequent = counts >= RARE * len(values)
    place = np.where(frequent, np.cumsum(frequent), 0)  # 0: all that are rare
    return np.asarray(place[codes.reshape(-1)], dtype=np.int64)


def build_population(
    encode: Callable[[np.ndarray], tuple[X, tuple[Column, ...]]],
    private: pd.DataFrame,
    tasks: Mapping[str, Ints],
    participant: Ints | None,
    held_out: float,
    modality: Modality,
    vocabulary: int = 0,
    tested: npt.NDArray[np.bool_] | None = None,
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
        tested: [n] which records belong to held-out people, as `hold_out` says; None: it is asked here.

    Raises:
        InputError: a private attribute has a single value, or nobody is left to contribute.
    """
    n = len(private)
    if participant is None:
        participant = np.arange(n, dtype=np.int64)
    if len(np.unique(participant)) < 2:
        raise InputError("the data has fewer than two people: nobody could be held out")
    if tested is None:
        tasks_as_text = [pd.Series(labels.astype(str), name=name) for name, labels in tasks.items()]
        tested = hold_out(participant, held_out, [*(private[name] for name in private.columns), *tasks_as_text])
    known = ~tested
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
    """Return half the squared error of the mean image, pixels from 0 to 1, summed over pixels."""
    rows = known if len(known) <= SAMPLE else numpy_generator(0, "pixels").choice(known, SAMPLE, replace=False)
    total = square = np.zeros(x.shape[1:])
    for part in np.array_split(rows, -(-len(rows) // 500)):  # decoded a few at a time
        pixels = x[part].astype(np.float64) / 255
        total, square = total + pixels.sum(0), square + (pixels**2).sum(0)
    return max(0.5 * float((square / len(rows) - (total / len(rows)) ** 2).sum()), 1e-6)


def _token_uncertainty(x: X, known: Ints, vocabulary: int) -> float:
    """Return the entropy in nats of the token at each place, summed over places."""
    tokens = x[known]
    nats = 0.0
    for place in range(tokens.shape[1]):
        share = np.unique(tokens[:, place], return_counts=True)[1] / len(tokens)
        nats -= float((share * np.log(share)).sum())
    return max(nats, 1e-6)


UNCERTAINTY: Mapping[str, Callable[[X, Ints, int], float]] = {"image": _pixel_uncertainty, "text": _token_uncertainty}


def _threshold(numbers: npt.NDArray[np.float64]) -> str:
    """Return the shortest number, of six digits or more, that splits numbers [n] as their median does.

    It is in the classes' names, and labels that come later are compared with it.
    """
    middle = float(np.median(numbers))
    above = numbers[numbers > middle].min(initial=np.inf)
    size = math.floor(math.log10(abs(middle))) if middle else 0
    for digits in range(6, 17):
        step = decimal.Decimal(1).scaleb(size - digits + 1)
        rounded = float((decimal.Decimal(middle) / step).to_integral_value(decimal.ROUND_CEILING) * step)
        text = f"{rounded:.{digits}g}"
        if middle <= float(text) < above:
            return text
    return repr(middle)


def encode_private(private: pd.DataFrame, known: np.ndarray) -> tuple[Ints, tuple[Attribute, ...]]:
    """Return private labels [n, attributes] and their classes; `known` [n] is true for contributors.

    Raises:
        InputError: an attribute has a single value among contributors.
    """
    labels, attributes = [], []
    for name in private.columns:
        values = private[name]
        if pd.api.types.is_numeric_dtype(values) and values[known].nunique() > 2:
            told = _threshold(values[known].to_numpy(np.float64))
            text = np.where(values.to_numpy(np.float64) > float(told), f"> {told}", f"<= {told}")
        else:
            text = values.astype(str).to_numpy()
        names, counts = np.unique(text[known], return_counts=True)
        kept = names[counts >= RARE * known.sum()]
        text = np.where(np.isin(text, kept), text, OTHER)
        classes = tuple(np.unique(text[known]).tolist())
        if OTHER in text and OTHER not in classes:
            classes = (*classes, OTHER)
        if len(np.unique(text[known])) < 2:
            raise InputError(f"private attribute '{name}' has a single value, '{classes[0]}': nothing to hide")
        position = {value: code for code, value in enumerate(classes)}
        labels.append(np.array([position[value] for value in text], dtype=np.int64))
        attributes.append(Attribute(str(name), classes))
    return np.stack(labels, axis=1), tuple(attributes)
