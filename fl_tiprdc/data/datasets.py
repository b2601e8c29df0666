"""Data sets by name, and what loads each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.adult import load_adult
from fl_tiprdc.data.avatars import load_avatars
from fl_tiprdc.data.bank_marketing import load_bank_marketing
from fl_tiprdc.data.celeba import load_celeba
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.dial import load_dial
from fl_tiprdc.data.digits import load_digits
from fl_tiprdc.data.german_credit import load_german_credit
from fl_tiprdc.data.lfw import load_lfw
from fl_tiprdc.data.names import load_names
from fl_tiprdc.data.oulad import load_oulad
from fl_tiprdc.data.own_table import load_table
from fl_tiprdc.data.utkface import load_utkface
from fl_tiprdc.errors import choose


@dataclass(frozen=True)
class Source:
    """Describe a data set.

    Attributes:
        load: from (settings, private attributes, held-out share) to the population.
        private: what is hidden when nothing is named; empty: the user must say.
    """

    load: Callable[[DataConfig, Sequence[str], float], Population]
    private: tuple[str, ...]


DATASETS: dict[str, Source] = {
    "adult": Source(load_adult, ("sex",)),
    "german-credit": Source(load_german_credit, ("sex",)),
    "bank-marketing": Source(load_bank_marketing, ("marital",)),
    "oulad": Source(load_oulad, ("gender",)),
    "celeba": Source(load_celeba, ("Male",)),
    "lfw": Source(load_lfw, ("Male",)),
    "utkface": Source(load_utkface, ("gender",)),
    "dial": Source(load_dial, ("race",)),
    "digits": Source(load_digits, ("slant",)),
    "names": Source(load_names, ("gender",)),
    "table": Source(load_table, ()),
    "avatars": Source(load_avatars, ("shape",)),
}


def load_population(
    dataset: str, private: Sequence[str], held_out: float, config: DataConfig | None = None
) -> Population:
    """Load a data set by name.

    Args:
        dataset: a key of `DATASETS`.
        private: attributes to hide; none: the data set's own.
        held_out: share of the people who contribute nothing.
        config: where files are and how to read them; None: defaults.

    Raises:
        InputError: unknown data set or private attribute, or files that are missing or wrong.
    """
    if dataset not in DATASETS:
        raise choose("data set", dataset, DATASETS)
    return DATASETS[dataset].load(config or DataConfig(), private or DATASETS[dataset].private, held_out)
