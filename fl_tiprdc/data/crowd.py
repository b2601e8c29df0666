"""The record type: what a crowd knows about itself, and the part of it that training may see."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.lazy_images import LazyImages
from fl_tiprdc.errors import InputError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
X = npt.NDArray[Any] | LazyImages  # float32 (tables), uint8 (images) or int32 (texts)

Modality = Literal["table", "image", "text"]
TYPES: Mapping[str, type] = {"table": np.float32, "image": np.uint8, "text": np.int32}  # of x, by modality
PADDING = 0  # the token that fills a text up


@dataclass(frozen=True)
class Column:
    """Describe one source column and its place in x.

    Attributes:
        name: name in the source.
        kind: "numeric" takes one column of x (standardized), "categorical" one per category (one-hot).
        start: first column of x.
        categories: the values of a categorical column, in the order of its columns of x.
        uncertainty: what the best constant prediction leaves unexplained, on contributors: the entropy in nats
            (categorical) or half the mean squared error (numeric; ½ for a standardized column).
        mean, deviation: numeric: of the contributors' values, by which x is standardized.
        middle: numeric: the contributors' median, which stands for a missing value.
        missing_in: the column whose missing values this one tells; empty: it has values of its own.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    start: int
    categories: tuple[str, ...] = ()
    uncertainty: float = 0.5
    mean: float = 0.0
    deviation: float = 1.0
    middle: float = 0.0
    missing_in: str = ""

    @property
    def width(self) -> int:
        """Return the number of columns of x."""
        return max(1, len(self.categories))

    @property
    def span(self) -> slice:
        """Return the columns of x."""
        return slice(self.start, self.start + self.width)


@dataclass(frozen=True)
class Attribute:
    """Describe a private attribute: its name and its classes; records hold positions in `classes`."""

    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """Describe x and the private labels: all that is needed to build networks, and no record.

    Attributes:
        attributes: the private attributes, in the order of the columns of the private labels.
        marginals: per attribute the share of each class among the contributors. Taken as public knowledge (a
            census has it), so that no client has to tell how many records of each class it holds.
        shape: of one record in x: (columns,), (channels, height, width) or (tokens,).
        modality: table (scaled numbers), image (pixels 0 to 255) or text (token ids, `PADDING` at the end).
        uncertainty: what the best constant prediction leaves unexplained of a whole record, on contributors: in
            nats, or half the squared error (of pixels from 0 to 1; of standardized numbers).
        columns: tables: the columns of x, in order.
        vocabulary: texts: number of token ids.
    """

    attributes: tuple[Attribute, ...]
    marginals: tuple[tuple[float, ...], ...]
    shape: tuple[int, ...]
    modality: Modality = "table"
    uncertainty: float = 1.0
    columns: tuple[Column, ...] = ()
    vocabulary: int = 0

    @classmethod
    def of_table(
        cls,
        columns: tuple[Column, ...],
        attributes: tuple[Attribute, ...],
        marginals: tuple[tuple[float, ...], ...],
    ) -> "Description":
        """Return the description of a table with these columns."""
        shape = (sum(column.width for column in columns),)
        return cls(attributes, marginals, shape, "table", sum(column.uncertainty for column in columns), columns)

    @property
    def width(self) -> int:
        """Return how many numbers one record of x has."""
        return math.prod(self.shape)

    @property
    def classes(self) -> tuple[int, ...]:
        """Return the number of classes of each private attribute."""
        return tuple(len(attribute.classes) for attribute in self.attributes)


@dataclass(frozen=True)
class Records:
    """Hold what training sees of some records: x and the private labels, and no task label.

    Attributes:
        x: [n, *shape].
        private: [n, attributes] int64, positions in the classes.
    """

    x: X
    private: Ints

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Crowd:
    """Records of a crowd, immutable.

    Attributes:
        x: [n, *shape], raw; holds no private attribute as a column. Its type follows from the modality, see `TYPES`.
        private: [n, attributes] int64.
        tasks: name of an unknown task -> [n] int64 labels; only the audit reads them.
        participant: [n] int64, the person a record belongs to.
        description: meaning of x and of the private labels.
        task_classes: task -> names of its classes, where they are known.

    Raises:
        InputError: shape or type of x is not what its description says, lengths differ, a value is not finite or
            no token, or a label is out of range.
    """

    x: X
    private: Ints
    tasks: Mapping[str, Ints]
    participant: Ints
    description: Description
    task_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.x)
        if self.x.shape[1:] != self.description.shape:
            raise InputError(f"x has shape {self.x.shape}, its description says (n, *{self.description.shape})")
        wanted = TYPES[self.description.modality]
        if self.x.dtype != wanted:
            raise InputError(f"x is {self.x.dtype}; of a {self.description.modality} it must be {wanted.__name__}")
        if self.private.shape != (n, len(self.description.attributes)):
            raise InputError(f"private labels have shape {self.private.shape}, expected one row a record")
        for name, labels in {**self.tasks, "participant": self.participant}.items():
            if labels.shape != (n,):
                raise InputError(f"'{name}' has {len(labels)} labels for {n} records")
        if not isinstance(self.x, LazyImages):
            if not np.isfinite(self.x).all():
                raise InputError("x has values that are not finite")
            top = self.description.vocabulary
            if self.description.modality == "text" and not ((self.x >= 0) & (self.x < top)).all():
                raise InputError(f"x has tokens that are not in 0..{top - 1}")
            self.x.setflags(write=False)
        for name, labels in self.tasks.items():
            if n and labels.min() < 0:
                raise InputError(f"labels of '{name}' are not 0 or more")
        for a, k in enumerate(self.description.classes):
            if n and not (self.private[:, a].min() >= 0 and self.private[:, a].max() < k):
                raise InputError(f"labels of '{self.description.attributes[a].name}' are not in 0..{k - 1}")
        arrays: tuple[npt.NDArray[np.generic], ...] = (self.private, self.participant, *self.tasks.values())
        for array in arrays:
            array.setflags(write=False)
        object.__setattr__(self, "tasks", MappingProxyType(dict(self.tasks)))

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Ints) -> "Crowd":
        """Return the records at `index`, in that order."""
        return Crowd(
            self.x.subset(index) if isinstance(self.x, LazyImages) else self.x[index],
            self.private[index],
            {name: labels[index] for name, labels in self.tasks.items()},
            self.participant[index],
            self.description,
            self.task_classes,
        )

    def records(self) -> Records:
        """Return the part that training may see."""
        return Records(self.x, self.private)


@dataclass(frozen=True)
class Population:
    """Hold a crowd, split by people: `contributors` train and publish, `held_out` do neither."""

    contributors: Crowd
    held_out: Crowd
