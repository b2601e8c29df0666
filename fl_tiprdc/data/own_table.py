"""Anybody's table: a CSV or Parquet file, with some columns to hide and some to predict."""

import csv
import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.attributes import drawn_rows
from fl_tiprdc.data.class_spellings import spelled_alike, unite_spellings
from fl_tiprdc.data.column_encoding import require_columns
from fl_tiprdc.data.column_values import WORDS_FOR_NOTHING, as_number, as_text, is_number, stand_in, without_words
from fl_tiprdc.data.crowd import Ints, Population
from fl_tiprdc.data.csv_file import NAMELESS, read_csv, unrepeated
from fl_tiprdc.data.number_texts import has_codes, number_columns, read_numbers
from fl_tiprdc.data.population import encode_private, hold_out
from fl_tiprdc.data.table import Table, encode
from fl_tiprdc.data.telling_columns import is_copy, leave_out_copies
from fl_tiprdc.errors import InputError
from fl_tiprdc.notices import count_rows, give_notice

MANY = 100  # values of a category that takes part without being asked for
DIGITS = 15  # of a number that float64 holds as it is written
MOST_VALUES = 1000  # values of any category: each takes a column of x
FEW = 10  # numbers with at most that many values are classes as labels; others are split at the median
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


# ---- reading


def _read_parquet(
    path: Path, missing: Collection[str], wanted: Collection[str] | None, categories: Collection[str]
) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    schema = parquet.read_schema(path)
    names = [str(name) for name in schema.names]
    kept = unrepeated(path, names, wanted)
    frame = (
        pd.read_parquet(path) if len(kept) == len(names) else parquet.ParquetFile(path).read().select(kept).to_pandas()
    )
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()  # a named index is a column like others
    elif not (pd.api.types.is_integer_dtype(frame.index) and frame.index.is_monotonic_increasing):
        give_notice(
            f"table '{path.name}': the index of its rows, which has no name, is not used: rows are taken in the order"
            " in which they stand"
        )
    frame.columns = frame.columns.map(str)
    frame = frame.reset_index(drop=True)
    for field in schema:
        if pa.types.is_decimal(field.type) and field.name in frame:  # Python's decimals, which nothing computes with
            long = field.type.precision > DIGITS
            frame[field.name] = as_text(frame[field.name]) if long else as_number(field.name, frame[field.name])
    for name in frame.columns:
        if frame[name].dtype == object or isinstance(frame[name].dtype, pd.StringDtype):
            blank = np.array([isinstance(value, str) and not value.strip() for value in frame[name]])
            frame[name] = frame[name].mask(blank, None)  # as an empty cell of a CSV file
    for name in frame.columns if missing else ():
        frame[name] = _without_words(frame[name], missing, as_numbers=name not in categories)
    return frame


def _without_words(values: pd.Series, missing: Collection[str], as_numbers: bool) -> pd.Series:
    """Return texts without the words that mean missing, as numbers if numbers are left; other columns as they are."""
    text = as_text(values)
    words = text.isin(list(missing))
    if not words.any():
        return values
    left = text.mask(words, None)
    reading = read_numbers(left)
    return reading.values if as_numbers and not len(reading.strays) and not has_codes(left) else left


Reader = Callable[[Path, Collection[str], Collection[str] | None, Collection[str]], pd.DataFrame]
READERS: Mapping[str, Reader] = {".csv": read_csv, ".parquet": _read_parquet, ".tsv": read_csv, ".txt": read_csv}


def read_table(
    path: Path, missing: Collection[str] = (), wanted: Collection[str] | None = None, categories: Collection[str] = ()
) -> pd.DataFrame:
    """Read a file as it is, infinite numbers as missing; see `read_csv` for what is done about a CSV file.

    Names of columns lose outer blanks, and line breaks become blanks, unless two were the same then.

    Args:
        path: the file.
        missing: words that mean missing, besides empty cells and what programs write for no number (NaN, #N/A, ...).
        wanted: columns that will be used, each of which must be there once; None: all. Others that share a name are
            left out with a notice.
        categories: columns that are no numbers, whatever their values are.

    Raises:
        InputError: the file is missing, unreadable, empty, of an unknown kind, or repeats the name of a wanted column.
    """
    if path.suffix.lower() not in READERS:
        raise InputError(f"table '{path}' is of an unknown kind: name a file that ends in {' or '.join(READERS)}")
    try:
        path.open("rb").close()  # so that all readers fail in the same words
        frame = READERS[path.suffix.lower()](path, missing, wanted, categories)
    except InputError:
        raise
    except pd.errors.EmptyDataError:
        raise InputError(f"table '{path}' is empty") from None
    except OSError as error:
        why = error.strerror or str(error).splitlines()[0]  # those of pyarrow have no strerror
        raise InputError(f"cannot read table '{path}': {why}") from None
    except (ValueError, csv.Error) as error:  # parsers' errors; pyarrow's are ValueErrors
        why = str(error).strip().splitlines()[0]
        raise InputError(f"cannot read table '{path}': {why}") from None
    if frame.empty:
        raise InputError(f"table '{path}' has no rows")
    on_one_line = [re.sub(r"\s*[\r\n]+\s*", " ", name).strip() for name in frame.columns]
    if len(set(on_one_line)) == len(on_one_line):
        frame.columns = pd.Index(on_one_line)  # as a command line can name them
    infinite = {name: np.isinf(frame[name]) for name in frame.columns if frame[name].dtype.kind == "f"}
    infinite = {name: rows for name, rows in infinite.items() if rows.any()}
    if infinite:
        told = ", ".join(f"'{name}' ({count_rows(int(rows.sum()))})" for name, rows in infinite.items())
        give_notice(f"table '{path.name}': numbers that are infinite or too large are missing: {told}")
    return frame.assign(**{name: frame[name].mask(rows) for name, rows in infinite.items()})


# ---- kinds of columns


def _matches_people(values: pd.Series, people: Ints) -> bool:
    """Return whether each of more than `FEW` people has one value, which nobody else has."""
    pairs = pd.DataFrame({"value": values.to_numpy(), "person": people}).drop_duplicates()
    return bool(len(pairs) == len(np.unique(people)) > FEW and pairs["value"].is_unique)


def _identifier(name: str, values: pd.Series, people: Ints) -> str:
    """Return why whole numbers, different in all rows or for all people, are an identifier; "": they are none."""
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() < 3 or (values.dropna() % 1 != 0).any():
        return ""
    if not values.dropna().is_unique and not _matches_people(values, people):
        return ""
    gapless = int(values.max()) - int(values.min()) == values.nunique() - 1
    if (gapless and not values.hasnans) or name.startswith(NAMELESS):
        return "numbers the rows"
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    if CALLED_IDENTIFIER & {word.lower() for word in words}:
        return "different for all"
    return ""


def _maybe_identifier(values: pd.Series) -> bool:
    """Return whether whole numbers differ in so many rows that they may be identifiers."""
    present = values.dropna()
    if not pd.api.types.is_numeric_dtype(present) or (present % 1 != 0).any():
        return False
    different = present.nunique()
    return bool(different == len(present) >= ALL_OF or (len(present) >= OF and different >= NEARLY_ALL * len(present)))


# ---- the parts of the table


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
            why = "" if kind else _identifier(name, values, people)
            if why:
                crowded.append(f"'{name}' ({why})")
            else:
                kept[name] = as_number(name, values)
                doubtful += [f"'{name}'"] if not kind and _maybe_identifier(values) else []
                if not kind and (found := stand_in(kept[name][known])):
                    standing.append(f"'{name}' ({found[0]:.0f} in {count_rows(found[1])})")
            continue
        text = unite_spellings(texts[name], known) if unite else texts[name]
        count = text[known].nunique()
        if kind == "category" and count > MOST_VALUES:
            raise InputError(
                f"column '{name}' has {count} values: a category may have {MOST_VALUES}; ignore it instead"
            )
        if not kind and (count > MANY or count > known.sum() / 2 or _matches_people(text, people)):
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
