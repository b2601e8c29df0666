"""Bank Marketing (Moro et al. 2014, UCI, DOI 10.24432/C5K306, CC BY 4.0): package data, see bank-marketing.md."""

from collections.abc import Sequence

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.packaged_table import Derived, PackagedTable

BANK_MARKETING = PackagedTable(
    "bank-marketing",
    {
        "deposit": Derived(("y",), lambda rows: rows["y"] == "yes"),
        "housing-loan": Derived(("housing",), lambda rows: rows["housing"] == "yes"),
        "tertiary": Derived(("education",), lambda rows: rows["education"] == "tertiary"),
    },
    outcomes=("y",),
    left_out=("duration",),  # of the call in which the deposit was agreed: known only when the outcome is
    attributes={"over-40": Derived(("age",), lambda rows: rows["age"] > 40)},
)


def load_bank_marketing(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load Bank Marketing; see `PackagedTable.load`."""
    return BANK_MARKETING.load(config, private, held_out)
