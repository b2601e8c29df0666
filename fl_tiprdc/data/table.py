"""From a table of mixed columns to a population of scaled, one-hot encoded records."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.data.column_encoding import encode_frame, fit_columns
from fl_tiprdc.data.crowd import Column, Floats, Ints, Population
from fl_tiprdc.data.population import build_population


@dataclass(frozen=True)
class Table:
    """Raw columns, before any scaling.

    Attributes:
        features: the columns that become x; numbers are standardized, everything else is one-hot encoded. Missing
            numbers become the contributors' median, beside a column "NAME missing"; missing texts are a category.
        private: the private columns; numeric ones are split at the contributors' median.
        tasks: name -> [n] integer labels.
        participant: [n] the person a row belongs to; None: every row is a person.
        tested: [n] true for rows of held-out people; None: they are drawn.
    """

    features: pd.DataFrame
    private: pd.DataFrame
    tasks: Mapping[str, Ints]
    participant: Ints | None = None
    tested: npt.NDArray[np.bool_] | None = None


def encode(table: Table, held_out: float) -> Population:
    """Split by people, then scale and encode with statistics of the contributors only.

    Raises:
        InputError: no feature is left, a number is infinite, or a private attribute has a single value.
    """

    def encode_features(known: np.ndarray) -> tuple[Floats, tuple[Column, ...]]:
        columns = fit_columns(table.features, known)
        return encode_frame(table.features, columns), columns

    return build_population(
        encode_features,
        table.private,
        table.tasks,
        table.participant,
        held_out,
        "table",
        tested=table.tested,
    )
