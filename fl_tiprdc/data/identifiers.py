"""Columns that say who somebody is, and nothing about them: numbers of rows, and what each person has alone."""

import re

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.data.csv_file import NAMELESS

FEWEST = 10  # people whose values must all differ before that says something
# whole numbers may be identifiers if all of that many are different, or that share of that many
ALL_OF, NEARLY_ALL, OF = 20, 0.9, 200
CALLED_IDENTIFIER = {
    "id",
    "ids",
    "uid",
    "uuid",
    "guid",
    "key",
    "identifier",
    "nr",
    "no",
    "number",
    "index",
    "row",
    "ssn",
}


def matches_people(values: pd.Series, people: Ints) -> bool:
    """Return whether each of more than `FEWEST` people has one value, which nobody else has."""
    pairs = pd.DataFrame({"value": values.to_numpy(), "person": people}).drop_duplicates()
    return bool(len(pairs) == len(np.unique(people)) > FEWEST and pairs["value"].is_unique)


def why_identifier(name: str, values: pd.Series, people: Ints) -> str:
    """Return why whole numbers, different in all rows or for all people, are an identifier; "": they are none."""
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() < 3 or (values.dropna() % 1 != 0).any():
        return ""
    if not values.dropna().is_unique and not matches_people(values, people):
        return ""
    gapless = int(values.max()) - int(values.min()) == values.nunique() - 1
    if (gapless and not values.hasnans) or name.startswith(NAMELESS):
        return "numbers the rows"
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    if CALLED_IDENTIFIER & {word.lower() for word in words}:
        return "different for all"
    return ""


def may_be_identifier(values: pd.Series) -> bool:
    """Return whether whole numbers differ in so many rows that they may be identifiers."""
    present = values.dropna()
    if not pd.api.types.is_numeric_dtype(present) or (present % 1 != 0).any():
        return False
    different = present.nunique()
    return bool(different == len(present) >= ALL_OF or (len(present) >= OF and different >= NEARLY_ALL * len(present)))
