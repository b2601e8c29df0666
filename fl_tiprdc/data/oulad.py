"""The Open University's students (Kuzilek et al. 2017, CC BY 4.0): package data, see oulad.md."""

from collections.abc import Sequence

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.packaged_table import Derived, PackagedTable

A_LEVEL_OR_MORE = ("A Level or Equivalent", "HE Qualification", "Post Graduate Qualification")

OULAD = PackagedTable(
    "oulad",
    {
        "pass": Derived(("final_result",), lambda rows: rows["final_result"] == "Pass"),
        "a-level": Derived(("highest_education",), lambda rows: rows["highest_education"].isin(A_LEVEL_OR_MORE)),
        "over-35": Derived(("age_band",), lambda rows: rows["age_band"] != "0-35"),
    },
    outcomes=("final_result",),
    participant="id_student",
)


def load_oulad(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load the Open University's students; see `PackagedTable.load`."""
    return OULAD.load(config, private, held_out)
