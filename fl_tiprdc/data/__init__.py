"""Crowds: loaders, the one record type, partitioning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fl_tiprdc.data.datasets import DATASETS, load_population

__all__ = ["DATASETS", "load_population"]


def __getattr__(name: str) -> Any:
    """Import the loaders, and pandas with them, when they are asked for: a federation's clients need neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fl_tiprdc.data import datasets

    return getattr(datasets, name)
