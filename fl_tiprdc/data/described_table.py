"""A client's own table as records, by a description that others have made: nothing is learned from the table."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fl_tiprdc.data.column_encoding import encode_frame, require_columns
from fl_tiprdc.data.column_values import as_number, as_text, is_number, without_words
from fl_tiprdc.data.crowd import Attribute, Description, Ints, Records
from fl_tiprdc.data.number_texts import number_columns
from fl_tiprdc.data.population import OTHER
from fl_tiprdc.errors import InputError

SPLIT = r"<= (\S+)"  # the lower class of numbers that were split at a median, as `encode_private` names it


def records_of(frame: pd.DataFrame, description: Description) -> Records:
    """Return the rows with all private values, as records; numbers are read as `load_table` reads them, with a notice.

    Raises:
        InputError: the description is not of a table, a column is missing, no row is left, or a private value is none
            of the description's; it names the row and not the value.
    """
    if description.modality != "table":
        raise InputError(f"the description is of a {description.modality}, not of a table")
    names = [attribute.name for attribute in description.attributes]
    require_columns(frame, names, "private attribute")
    numeric = [column.name for column in description.columns if column.kind == "numeric"]
    texts = {
        name: without_words(as_text(frame[name]))
        for name in numeric
        if name in frame.columns and not is_number(frame[name])
    }
    frame = frame.assign(**number_columns(texts))
    whole = frame[frame[names].notna().all(axis=1)].reset_index(drop=True)
    if whole.empty:
        raise InputError(f"no row has a value in each of {', '.join(names)}")
    return Records(encode_frame(whole, description.columns), private_positions(whole, description.attributes))


def private_positions(whole: pd.DataFrame, attributes: Sequence[Attribute]) -> Ints:
    """Return private labels [n, attributes] as positions in the classes.

    Args:
        whole: has a column for each attribute, without missing values: names of classes, or the numbers of an attribute
            that was split at a median.
        attributes: the private attributes.

    Raises:
        InputError: a value is none of the classes'; it names the row and not the value.
    """
    return np.stack([_labels(whole[attribute.name], attribute) for attribute in attributes], axis=1)


def _labels(values: pd.Series, attribute: Attribute) -> Ints:
    lower = re.fullmatch(SPLIT, attribute.classes[0])
    if lower and len(attribute.classes) == 2 and not set(values.astype(str)) <= set(attribute.classes):
        number = as_number(attribute.name, values).to_numpy()
        return (number > float(lower[1])).astype(np.int64)
    return _positions(as_text(values).tolist(), attribute)


def _positions(text: Sequence[str], attribute: Attribute) -> Ints:
    known = {name: place for place, name in enumerate(attribute.classes)}
    other = known.get(OTHER)
    codes = [known.get(value, other) for value in text]
    if None in codes:
        row, allowed = codes.index(None) + 1, ", ".join(attribute.classes)
        raise InputError(f"column '{attribute.name}', row {row} of those that are complete: is none of {allowed}")
    return np.array(codes, dtype=np.int64)
