"""The Adult data set (Becker & Kohavi 1996, UCI, DOI 10.24432/C5XW20, CC BY 4.0): package data, see adult.md."""

from collections.abc import Sequence

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.packaged_table import Derived, PackagedTable

WHITE_COLLAR = ("Prof-specialty", "Exec-managerial", "Tech-support", "Sales", "Adm-clerical")

ADULT = PackagedTable(
    "adult",
    {
        "income": Derived(("income",), lambda rows: rows["income"].astype(str).str.startswith(">50K")),
        "married": Derived(
            ("marital-status",), lambda rows: rows["marital-status"].astype(str).str.startswith("Married")
        ),
        "college": Derived(("education", "education-num"), lambda rows: rows["education-num"] >= 10),
        "white-collar": Derived(("occupation",), lambda rows: rows["occupation"].isin(WHITE_COLLAR)),
    },
    outcomes=("income",),
    left_out=("fnlwgt",),  # the census bureau's sampling weight: not a property of the person
    twins={"education": "education-num", "education-num": "education"},  # one column in two spellings
)


def load_adult(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load Adult; see `PackagedTable.load`."""
    return ADULT.load(config, private, held_out)
