"""The choice of attributes to hide and of tasks, in data sets where every attribute may be either."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.errors import InputError, require_known
from fl_tiprdc.seeding import numpy_generator


@dataclass(frozen=True)
class Attributes:
    """Hold what is known of each record, apart from x.

    Attributes:
        frame: one column an attribute: texts are classes, numbers are split at the contributors' median.
        tasks: those that are tasks when nothing is named.
        tied: attribute -> those that it determines or that determine it. No task is tied to a private attribute.
    """

    frame: pd.DataFrame
    tasks: tuple[str, ...]
    tied: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def columns(self) -> list[pd.Series]:
        """Return all attributes, each of which may be private or a task."""
        return [self.frame[name] for name in self.frame.columns]

    def private(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the private columns.

        Raises:
            InputError: none is named, or one is unknown.
        """
        if not names:
            raise InputError("name what to hide: --private COLUMN")
        require_known("private attribute", names, self.frame.columns)
        return self.frame[list(names)]

    def labels(self, private: Sequence[str], config: DataConfig, known: np.ndarray) -> dict[str, Ints]:
        """Return the tasks: those of `config`, or the data set's own less what the private attributes rule out.

        Args:
            private: names of the private attributes.
            config: may name the tasks.
            known: [n] bool, true for contributors; numbers are split at their median.

        Raises:
            InputError: a task that is named is unknown or ruled out, or no task is left.
        """
        ruled_out = {*private, *(other for name in private for other in self.tied.get(name, ()))}
        require_known("task", config.tasks, self.frame.columns)
        for name in config.tasks:
            if name in ruled_out:
                allowed = ", ".join(column for column in self.frame.columns if column not in ruled_out)
                raise InputError(f"task '{name}' is tied to what is hidden: choose from {allowed or '(none is left)'}")
        names = config.tasks or [name for name in self.tasks if name not in ruled_out]
        if not names:
            raise InputError("hiding these attributes leaves no task to audit")
        return {name: _codes(self.frame[name], known) for name in names}


def _codes(values: pd.Series, known: np.ndarray) -> Ints:
    if pd.api.types.is_numeric_dtype(values):
        return (values > values[known].median()).to_numpy().astype(np.int64)
    return np.unique(values.to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)


def drawn_rows(n: int, config: DataConfig) -> Ints:
    """Return which of `n` records to read, [m] in order: all, or `config.records` of them, always the same ones."""
    if not 0 < config.records < n:
        return np.arange(n)
    return np.sort(numpy_generator(0, "records").permutation(n)[: config.records])
