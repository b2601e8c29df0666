"""Tables that come with the package: which columns may be hidden, what is predicted, and what is no part of x."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.column_encoding import require_columns
from fl_tiprdc.data.crowd import Ints, Population
from fl_tiprdc.data.table import Table, encode
from fl_tiprdc.errors import InputError, require_known


@dataclass(frozen=True)
class Derived:
    """Describe a yes-or-no attribute of a record, made from columns.

    Attributes:
        sources: the columns; where one is hidden, the attribute is no task, and where it is hidden, they are no part
            of x.
        of: from the whole table to [n] bool.
    """

    sources: tuple[str, ...]
    of: Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True)
class PackagedTable:
    """Describe a table of the package.

    Attributes:
        dataset: name of the data set; the file has the same one.
        tasks: what tasks predict, by name.
        outcomes: columns that are no part of x, whatever is hidden.
        left_out: columns that take no part at all.
        twins: column -> another that tells it, and is hidden with it.
        attributes: further attributes that may be hidden, by name.
        participant: column that says whose record a row is; empty: every row is a person.
    """

    dataset: str
    tasks: Mapping[str, Derived]
    outcomes: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    twins: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Derived] = field(default_factory=dict)
    participant: str = ""

    def load(self, config: DataConfig, private: Sequence[str], held_out: float) -> Population:
        """Load the table.

        Args:
            config: its tasks; the data comes with the package.
            private: the columns, or attributes, to hide. They and the outcomes are no part of x.
            held_out: share of the people who contribute nothing.

        Raises:
            InputError: a private column or a task is unknown, or tells another.
        """
        with resources.as_file(resources.files("fl_tiprdc.data") / f"{self.dataset}.parquet") as path:
            frame = pd.read_parquet(path)
        people = None
        if self.participant:
            people = np.asarray(pd.factorize(frame[self.participant])[0], dtype=np.int64)
        frame = frame.drop(columns=[*self.left_out, *([self.participant] if self.participant else [])])
        choices = frame.assign(
            **{name: attribute.of(frame).map({True: "yes", False: "no"}) for name, attribute in self.attributes.items()}
        )
        require_columns(choices, private, f"private attribute of {self.dataset}")
        sources = [source for name in private for source in self._sources(name)]
        hidden = {*private, *sources, *(self.twins[name] for name in sources if name in self.twins)}
        tasks = self._tasks(frame, config, hidden)
        features = frame.drop(columns=[name for name in frame.columns if name in {*hidden, *self.outcomes}])
        return encode(Table(features, choices[list(private)], tasks, people), held_out)

    def _sources(self, name: str) -> tuple[str, ...]:
        return self.attributes[name].sources if name in self.attributes else (name,)

    def _tasks(self, frame: pd.DataFrame, config: DataConfig, hidden: set[str]) -> dict[str, Ints]:
        """Return the labels of the tasks that are asked for, or of all that no hidden column tells."""
        require_known("task", config.tasks, self.tasks)
        free = [name for name, task in self.tasks.items() if hidden.isdisjoint(task.sources)]
        for name in config.tasks:
            if name not in free:
                raise InputError(f"task '{name}' is told by a private attribute: name another")
        names = [name for name in free if not config.tasks or name in config.tasks]
        if not names:
            raise InputError("hiding these columns leaves no task to audit")
        return {name: self.tasks[name].of(frame).to_numpy().astype(np.int64) for name in names}
