"""Crowds: loaders, the one record type, partitioning."""

from collections.abc import Callable, Mapping, Sequence

from fl_tiprdc.data.adult import load_adult
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.errors import choose

# name -> loader(private attributes, held-out share)
DATASETS: Mapping[str, Callable[[Sequence[str], float], Population]] = {"adult": load_adult}


def load_population(dataset: str, private: Sequence[str], held_out: float) -> Population:
    """Load a data set by name.

    Raises:
        InputError: unknown data set or private attribute.
    """
    if dataset not in DATASETS:
        raise choose("data set", dataset, DATASETS)
    return DATASETS[dataset](private, held_out)
