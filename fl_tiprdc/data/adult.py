"""The Adult data set (Becker & Kohavi 1996, UCI, DOI 10.24432/C5XW20, CC BY 4.0): package data, see adult.md."""

from collections.abc import Sequence
from importlib import resources

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.column_encoding import require_columns
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.table import Table, encode
from fl_tiprdc.errors import InputError, require_known

WHITE_COLLAR = ("Prof-specialty", "Exec-managerial", "Tech-support", "Sales", "Adm-clerical")

# task -> the source columns that define it; a task goes when its column is the private attribute
TASK_SOURCES = {
    "income": ("income",),
    "married": ("marital-status",),
    "college": ("education", "education-num"),
    "white-collar": ("occupation",),
}
TWINS = {"education": "education-num", "education-num": "education"}  # one column in two spellings
WEIGHT = "fnlwgt"  # the census bureau's sampling weight: not a property of the person


def load_adult(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load Adult.

    Args:
        config: its tasks; the data comes with the package.
        private: the columns to hide; `sex` in the papers. They and `income` are no part of x.
        held_out: share of the people who contribute nothing.

    Raises:
        InputError: a private column or a task is unknown.
    """
    with resources.as_file(resources.files("fl_tiprdc.data") / "adult.parquet") as path:
        frame = pd.read_parquet(path)
    frame = frame.drop(columns=WEIGHT)
    require_columns(frame, private, "private attribute of adult")
    hidden = {*private, *(TWINS[name] for name in private if name in TWINS)}
    labels = {
        "income": frame["income"].astype(str).str.startswith(">50K"),
        "married": frame["marital-status"].astype(str).str.startswith("Married"),
        "college": frame["education-num"] >= 10,
        "white-collar": frame["occupation"].isin(WHITE_COLLAR),
    }
    tasks = {
        name: label.to_numpy().astype(np.int64)
        for name, label in labels.items()
        if hidden.isdisjoint(TASK_SOURCES[name])
    }
    require_known("task", config.tasks, labels)
    for name in config.tasks:
        if name not in tasks:
            raise InputError(f"task '{name}' is told by a private attribute: name another")
    tasks = {name: label for name, label in tasks.items() if not config.tasks or name in config.tasks}
    if not tasks:
        raise InputError("hiding these columns leaves no task to audit")
    features = frame.drop(columns=list({*hidden, "income"}))
    return encode(Table(features, frame[list(private)], tasks), held_out)
