"""Anybody's table: a CSV or Parquet file, with some columns to hide and some to predict."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.attributes import drawn_rows
from fl_tiprdc.data.class_spellings import spelled_alike, unite_spellings
from fl_tiprdc.data.column_encoding import require_columns
from fl_tiprdc.data.column_values import WORDS_FOR_NOTHING, as_number, as_text, is_number, stand_in, without_words
from fl_tiprdc.data.crowd import Ints, Population
from fl_tiprdc.data.identifiers import matches_people, may_be_identifier, why_identifier
from fl_tiprdc.data.number_texts import has_codes, number_columns, read_numbers
from fl_tiprdc.data.population import encode_private, hold_out
from fl_tiprdc.data.table import Table, encode
from fl_tiprdc.data.table_file import read_table
from fl_tiprdc.data.telling_columns import is_copy, leave_out_copies
from fl_tiprdc.errors import InputError
from fl_tiprdc.notices import count_rows, give_notice

MANY = 100  # values of a category that takes part without being asked for
MOST_VALUES = 1000  # values of any category: each takes a column of x
FEW = 10  # numbers with at most that many values are classes as labels; others are split at the median


def feature_columns(
    frame: pd.DataFrame,
    kinds: Mapping[str, str],
    known: np.ndarray,
    people: Ints | None = None,
    unite: bool = False,
    keep: str = 'set data.columns.NAME to "category" or "number"',
) -> pd.DataFrame:
    """Return the columns that become x: float64 numbers and texts; what cannot be used is left out with a notice.

    Args:
        frame: the columns.
        kinds: kinds of columns, where their values don't tell them.
        known: [n] bool, true for contributors.
        people: [n] whose record a row is; None: every row is a person.
        unite: whether categories that differ in case, spaces or a final dot only are one.
        keep: how to keep a column that would be left out, in the words of the notice.

    Raises:
        InputError: a column that must be numbers has something else, or a category too many values.
    """
    people = np.arange(len(frame)) if people is None else people
    texts = {
        str(name): without_words(as_text(frame[name]))
        for name in frame.columns
        if kinds.get(name, "") != "number" and (kinds.get(name) == "category" or not is_number(frame[name]))
    }
    numbers = number_columns({name: text for name, text in texts.items() if name not in kinds})
    kept: dict[str, pd.Series] = {}
    crowded: list[str] = []
    doubtful: list[str] = []
    standing: list[str] = []
    for name in frame.columns:
        values, kind = numbers.get(name, frame[name]), kinds.get(name, "")
        if kind == "ignore":
            continue
        if kind == "number" or (not kind and is_number(values)):
            why = "" if kind else why_identifier(name, values, people)
            if why:
                crowded.append(f"'{name}' ({why})")
            else:
                kept[name] = as_number(name, values)
                doubtful += [f"'{name}'"] if not kind and may_be_identifier(values) else []
                if not kind and (found := stand_in(kept[name][known])):
                    standing.append(f"'{name}' ({found[0]:.0f} in {count_rows(found[1])})")
            continue
        text = unite_spellings(texts[name], known) if unite else texts[name]
        count = text[known].nunique()
        if kind == "category" and count > MOST_VALUES:
            raise InputError(
                f"column '{name}' has {count} values: a category may have {MOST_VALUES}; ignore it instead"
            )
        if not kind and (count > MANY or count > known.sum() / 2 or matches_people(text, people)):
            crowded.append(f"'{name}' ({count} values)")
        else:
            kept[name] = text
    if crowded:
        give_notice(f"left out, as identifiers or free text: {', '.join(crowded)}; to keep one, {keep}")
    if doubtful:
        give_notice(
            f"whole numbers that differ in all or nearly all rows: {', '.join(doubtful)}; if one is an identifier, set "
            'data.columns.NAME to "ignore"'
        )
    if standing:
        give_notice(f"numbers that may mean missing: {', '.join(standing)}; if they do, list them in data.missing")
    return pd.DataFrame(kept, index=frame.index)


def classes_of(values: pd.Series) -> pd.Series:
    """Return labels as `hold_out` takes them: texts are classes, and so are few numbers."""
    return values if is_number(values) and values.nunique() > FEW else as_text(values)


def label_values(
    name: str, values: pd.Series, kind: str, known: np.ndarray, what: str, unite: bool = False
) -> pd.Series:
    """Return a private attribute or a task, without missing values: text for classes, numbers to split at the median.

    A word that means nothing elsewhere, such as None, is a class here, and nobody who has it is left out; a notice
    says so, and names classes that are spelled in several ways.

    Args:
        name: of the column.
        values: [n], none of them missing.
        kind: "number", "category", or "", which leaves it to the values.
        known: [n] bool, true for contributors.
        what: "private attribute" or "task".
        unite: whether classes that differ in case, spaces or a final dot only are one.

    Raises:
        InputError: there is a single value, more classes than can be told apart, or many numbers beside other values.
    """
    strays = ""
    if not kind and not is_number(values) and not has_codes(as_text(values)):
        reading = read_numbers(as_text(values))
        if reading.forms and not len(reading.strays):
            give_notice(f"{what} '{name}' is read as numbers: {reading.told}")
            values = reading.values
        elif reading.are_most and len(reading.strays):
            strays = f"numbers, and {reading.told} rows"
            if reading.values.nunique() > FEW:
                raise InputError(
                    f"{what} '{name}' has {strays}: list the words that mean missing in data.missing, such as "
                    'missing = ["?"], or leave these cells empty; with data.columns.NAME = "category" all are classes'
                )
    number = kind == "number" or (not kind and is_number(values))
    count = values[known].astype(str).nunique()
    if count < 2:
        raise InputError(f"{what} '{name}' has a single value, '{values[known].iloc[0]}': nothing to learn")
    if not number or (count <= FEW and kind != "number"):
        return _class_names(f"{what} '{name}'", as_text(values), known, unite, strays)
    numbers = as_number(name, values)
    if count > 2:
        middle = numbers[known].median()
        if not (numbers[known] > middle).any():
            raise InputError(f"{what} '{name}' cannot be split: most of its values are {middle:g}, the largest")
        give_notice(f"{what} '{name}' has {count} different numbers: split at the median, {middle:g}")
    return numbers


def _class_names(what: str, text: pd.Series, known: np.ndarray, unite: bool, strays: str) -> pd.Series:
    """Return the class of each row, with notices of classes that may be meant otherwise."""
    alike = spelled_alike(text, known)
    text = unite_spellings(text, known) if unite else text
    count = text[known].nunique()
    if count > MANY:
        raise InputError(f"{what} has {count} values: at most {MANY} classes can be told apart")
    if count < 2:
        raise InputError(f"{what} has a single value, '{text.iloc[0]}', in several spellings: nothing to learn")
    if strays:
        give_notice(f"{what} has {strays}: all are classes; list words that mean missing in data.missing")
    for word in WORDS_FOR_NOTHING:
        rows = int((text == word).sum())
        if rows:
            give_notice(
                f"'{word}' is a class of {what}, of {count_rows(rows)}; if it means missing, set "
                f'data.missing = ["{word}"]'
            )
    if alike and not unite:
        told = "; ".join(", ".join(f"'{value}'" for value in group) for group in alike.values())
        give_notice(
            f"classes of {what} that differ in case, spaces or a final dot only: {told}; to unite them, set "
            "data.unite_spellings = true"
        )
    return text


def _check_roles(frame: pd.DataFrame, config: DataConfig, private: Sequence[str]) -> None:
    """Check that each column that is named exists and is named for one thing only."""
    if not private:
        raise InputError("name what to hide: --private COLUMN")
    if not config.tasks:
        raise InputError("name what to predict: --tasks COLUMN")
    require_columns(frame, private, "private attribute")
    require_columns(frame, config.tasks, "task")
    require_columns(frame, list(config.columns), "column in data.columns")
    owner = [config.participant] if config.participant else []
    require_columns(frame, owner, "participant column")
    roles = [*private, *config.tasks, *owner]
    for name in roles:
        if roles.count(name) > 1:
            raise InputError(f"column '{name}' is named twice: it can be hidden, a task or the participant, or none")
        if config.columns.get(name) == "ignore":
            raise InputError(f"column '{name}' is ignored in data.columns: it can't be hidden, a task or participant")


def load_table(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load a table: x [n, columns] float32 of all columns that are neither private, nor tasks, nor the participant.

    Columns of numbers are standardized, all others are categories, one-hot. What a column is, its values tell;
    docs/data.md has the rules with their thresholds, and `config.columns` overrides them, column by column.
    Whatever is left out or read in another way is named by a `DataNotice`.

    Args:
        config: `file`, `tasks`, `participant` (empty: every row is a person), `columns`, `missing`,
            `unite_spellings`, `records`.
        private: columns to hide.
        held_out: share of the people who contribute nothing.

    Raises:
        InputError: no file or an unreadable one, nothing to hide or to predict, a column that is unknown or named
            for two things, a label of one value or of too many, or no column left for x.
    """
    if config.file is None:
        raise InputError("name a table: --data FILE, a .csv or .parquet file")
    owner = [config.participant] if config.participant else []
    needed = [*private, *config.tasks, *owner]
    categories = [name for name, kind in config.columns.items() if kind == "category"]
    frame = read_table(config.file, config.missing, (*needed, *config.columns), categories)
    _check_roles(frame, config, private)
    frame = frame.iloc[drawn_rows(len(frame), config)]
    for name in owner:
        frame = frame.assign(**{name: frame[name].mask(frame[name].isin(WORDS_FOR_NOTHING))})
    frame = _complete(frame, needed)
    participant = np.arange(len(frame))
    if owner:
        participant = np.asarray(pd.factorize(frame[owner[0]].astype(str))[0], dtype=np.int64)
    if participant.max() < 1:
        raise InputError("the table has fewer than two people: nobody could be held out")
    tested = hold_out(participant, held_out, [classes_of(frame[name]) for name in (*private, *config.tasks)])
    known = ~tested
    labels: dict[str, Any] = {
        name: label_values(name, frame[name], config.columns.get(name, ""), known, what, config.unite_spellings)
        for what, names in (("private attribute", private), ("task", config.tasks))
        for name in names
    }
    hidden = pd.DataFrame({name: labels[name] for name in private})
    predicted = pd.DataFrame({name: labels[name] for name in config.tasks})
    for task, name in itertools.product(config.tasks, private):
        if is_copy(predicted[task][known], hidden[name][known]):
            give_notice(f"task '{task}' says what '{name}' says, which is hidden: no release can keep it")
    codes, attributes = encode_private(predicted, known)
    features = feature_columns(
        frame.drop(columns=needed), config.columns, known, participant, unite=config.unite_spellings
    )
    features = leave_out_copies(features, hidden, predicted, known, config.columns)
    tasks = {name: codes[:, i] for i, name in enumerate(config.tasks)}
    population = encode(Table(features, hidden, tasks, participant, tested), held_out)
    names = {attribute.name: attribute.classes for attribute in attributes}
    return Population(*(replace(crowd, task_classes=names) for crowd in (population.contributors, population.held_out)))


def _complete(frame: pd.DataFrame, needed: Sequence[str]) -> pd.DataFrame:
    """Return the rows that have a value in all columns `needed`, numbered anew."""
    missing = frame[list(needed)].isna()
    rows = missing.any(axis=1)
    if rows.all():
        worst = missing.sum().idxmax()
        raise InputError(f"no row has a value in each of {', '.join(needed)}; most are missing in '{worst}'")
    if rows.any():
        where = ", ".join(f"'{name}' ({count})" for name, count in missing.sum().items() if count)
        give_notice(f"left out {rows.sum()} of {len(frame)} rows, where a value is missing: {where}")
    return frame[~rows].reset_index(drop=True)
