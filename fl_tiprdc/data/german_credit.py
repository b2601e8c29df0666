"""German Credit (Hofmann 1994, UCI, DOI 10.24432/C5NC77, CC BY 4.0): package data, see german-credit.md."""

from collections.abc import Sequence

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.packaged_table import Derived, PackagedTable

GERMAN_CREDIT = PackagedTable(
    "german-credit",
    {
        "good-risk": Derived(("class-label",), lambda rows: rows["class-label"] == 1),
        "owns-home": Derived(("housing",), lambda rows: rows["housing"] == "own"),
        "telephone": Derived(("telephone",), lambda rows: rows["telephone"] == "yes"),
    },
    outcomes=("class-label",),
    twins={"sex": "marital-status", "marital-status": "sex"},  # both are parts of one column of the source
    attributes={"over-25": Derived(("age",), lambda rows: rows["age"] > 25)},
)


def load_german_credit(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load German Credit; see `PackagedTable.load`."""
    return GERMAN_CREDIT.load(config, private, held_out)
