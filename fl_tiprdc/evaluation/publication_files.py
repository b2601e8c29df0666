"""Representations that anybody published, as files on a disk.

A publication is a folder of Parquet parts (this project's, or any with columns of numbers), a folder of .npz parts, or
one such file. Whatever numbers it holds are taken as released, also in lists and arrays of any number of dimensions, so
a column that gives the private attribute away is found and not left out. So are columns of text with few values, codes
of a finite release among them: each value is a number then. What can't be read as numbers is refused.
"""

import json
import math
import warnings
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as parquet

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.data.publication_store import CODEBOOK, MANIFEST, whole_parts
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.finite_codes import MOST_CODES, RECORDS_PER_INTEGER
from fl_tiprdc.evaluation.record_keys import KEYS, check_keys, with_keys
from fl_tiprdc.evaluation.scores import Values
from fl_tiprdc.evaluation.spread_columns import is_index, spread, text_numbers
from fl_tiprdc.notices import DataNotice

KINDS = (".parquet", ".npz")
NUMBERS = "biuf"  # kinds of numpy type that are numbers
CODE = "code"  # array of an .npz file, as well as z or in its place


@dataclass(frozen=True)
class Publication:
    """Published representations.

    Attributes:
        z: [n, d] float32, finite. Columns of text are numbers at the end, from 0, in the order of their values.
        keys: [n] rows with those of the columns client, record and id that the files have; no column if none.
        lam: λ that the publisher states in release.json, 0 where there is none.
        values: of columns of text, from the first of them: the text that each number stands for.
        code: the column of z that is called "code", or is the only one; None: there is no such column.
        marks: [n] rows with the columns of whole numbers that differ in all rows, and may name records.
    """

    z: Floats
    keys: pd.DataFrame
    lam: float = 0.0
    values: tuple[tuple[str, ...], ...] = ()
    code: int | None = None
    marks: pd.DataFrame = field(default_factory=pd.DataFrame)

    def names(self, rows: Floats) -> list[str]:
        """Return what whoever published them calls these rows, their codes; numbers from 0 where these don't tell them.

        Args:
            rows: [k, d] different rows of `z`.
        """
        numbers = [str(i) for i in range(len(rows))]
        if self.code is None:
            return numbers
        text = self.code - (rows.shape[1] - len(self.values))  # among the columns of text
        codes = [self.values[text][int(code)] if text >= 0 else f"{code:.9g}" for code in rows[:, self.code]]
        return codes if len(set(codes)) == len(codes) else numbers


@dataclass(frozen=True)
class _Part:
    """Hold a published part.

    Attributes:
        numbers: [n, d] float64.
        names: of the numbers.
        texts: columns of text.
        keys: columns that name a record.
        columns: names of all these.
        indices: columns left out, which number the rows.
    """

    numbers: Values
    names: list[str]
    texts: pd.DataFrame
    keys: pd.DataFrame
    columns: list[str]
    indices: list[str]


def read_publication(path: Path, on_part: Callable[[int, int], None] | None = None) -> Publication:
    """Read a folder of parts, or one file.

    Args:
        path: of the folder or of a .parquet or .npz file.
        on_part: told how many parts of how many are read.

    Raises:
        InputError: nothing there, no part or an unreadable one, no number, numbers that are not finite, a column that
            can't be read as numbers, parts that don't fit each other, a record published twice, or a release of ours
            that isn't as it was published.
    """
    parts = _parts(path)
    if _check_release(path):
        parts = [part for part in parts if part.name != CODEBOOK]  # says what codes stand for, and nothing of records
    kept: list[_Part] = []
    indices: dict[str, None] = {}
    for count, part in enumerate(parts, 1):
        read = _read_npz if part.suffix.lower() == ".npz" else _read_parquet
        content = read(part)
        if content is not None:
            indices |= dict.fromkeys(content.indices)
            before = kept[0] if kept else content
            if before.columns != content.columns:
                raise InputError(
                    f"'{part}' does not fit the parts before it: it has {_listed(content.columns)}, they have "
                    f"{_listed(before.columns)}"
                )
            if changed := sorted(set(before.names) ^ set(content.names)):
                raise InputError(
                    f"'{part}' does not fit the parts before it: column '{changed[0]}' is numbers in one of them and "
                    "text in the other"
                )
            if not (np.abs(content.numbers) <= np.finfo(np.float32).max).all():
                raise InputError(f"'{part}' has numbers that are missing, infinite or too large for float32")
            kept.append(content)
        if on_part is not None:
            on_part(count, len(parts))
    if not kept:
        raise InputError(f"'{path}' has no published record")
    keys = pd.concat([part.keys for part in kept], ignore_index=True)
    check_keys(keys, "publication")
    numbers = np.concatenate([part.numbers for part in kept])
    z = _as_floats(numbers)
    texts = pd.concat([part.texts for part in kept], ignore_index=True)
    coded = _number_texts(texts, path)
    left_out = [*coded.constant, *(f"{name} (numbers the rows)" for name in indices)]
    if not z.shape[1] and not coded.numbers and not coded.values:
        alone = f": it has {', '.join(left_out)}" if left_out else ""
        raise InputError(
            f"'{path}' has no column of numbers beside {', '.join(KEYS)}, and no text with few values{alone}"
        )
    if left_out:
        warnings.warn(f"left out of the publication, as no numbers: {', '.join(left_out)}", DataNotice, stacklevel=2)
    values = coded.values
    z = np.column_stack([z, *coded.numbers.values(), *(number for number, _ in values.values())])
    if not np.isfinite(z).all():
        raise InputError(f"'{path}' has numbers that are missing, infinite or too large for float32")
    names = [*kept[0].names, *coded.numbers, *values]
    code = names.index(CODE) if CODE in names else 0 if len(names) == 1 else None
    texts_of = tuple(present for _, present in values.values())
    return Publication(z, keys, _stated_lam(path), texts_of, code, _marks(numbers, kept[0].names))


def _marks(numbers: Values, names: Sequence[str]) -> pd.DataFrame:
    """Return the columns of whole numbers that differ in all rows."""
    whole = [i for i in range(len(names)) if (numbers[:, i] == np.round(numbers[:, i])).all()]
    different = [i for i in whole if len(np.unique(numbers[:, i])) == len(numbers)]
    return pd.DataFrame({names[i]: numbers[:, i] for i in different}, index=range(len(numbers)))


@dataclass(frozen=True)
class _Texts:
    """Hold what columns of text stand for.

    Attributes:
        numbers: name -> [n], of columns whose texts are numbers, or lists of them.
        values: name -> numbers from 0 [n] in the order of the values, and the values; a missing one is the text "".
        constant: columns of one value, in words.
    """

    numbers: dict[str, Floats]
    values: dict[str, tuple[Floats, tuple[str, ...]]]
    constant: list[str]


def _number_texts(texts: pd.DataFrame, path: Path) -> _Texts:
    """Number columns of text.

    Raises:
        InputError: a column has too many values for codes, and these are no numbers.
    """
    most = min(MOST_CODES, len(texts) // RECORDS_PER_INTEGER)
    texts_read = _Texts({}, {}, [])
    unreadable: dict[str, int] = {}
    for name in map(str, texts.columns):
        present, number = np.unique(texts[name].astype(object).fillna("").astype(str), return_inverse=True)
        if len(present) == 1:
            texts_read.constant.append(f"{name} (1 value)")
        elif len(present) <= most:
            texts_read.values[name] = number.reshape(-1).astype(np.float32), tuple(present.tolist())
        elif (numbers := text_numbers(name, texts[name])) is not None:
            texts_read.numbers.update({part: _as_floats(values[:, None])[:, 0] for part, values in numbers.items()})
        else:
            unreadable[name] = len(present)
    if unreadable:
        told = ", ".join(f"'{name}' ({count:,} different texts)" for name, count in unreadable.items())
        raise InputError(
            f"'{path}' has text that can't be read as numbers, and is too varied for codes: {told}; leave it out of"
            " the file, or call it id if it names the records"
        )
    return texts_read


def _listed(columns: Sequence[str]) -> str:
    return f"{len(columns)} columns ({', '.join(columns[:4])}{', ...' if len(columns) > 4 else ''})"


def _parts(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix.lower() not in KINDS:
            raise InputError(
                f"publication '{path}' is of an unknown kind: name a folder or a {' or '.join(KINDS)} file"
            )
        return [path]
    if not path.is_dir():
        raise InputError(f"no publication at '{path}': no such folder or file")
    try:
        files = sorted(path.iterdir())
    except OSError as error:
        raise InputError(f"cannot read publication '{path}': {error.strerror}") from None
    by_kind = {kind: [part for part in files if part.suffix.lower() == kind] for kind in KINDS}
    if all(by_kind.values()):
        raise InputError(f"'{path}' has both .parquet and .npz parts: name one of its files")
    parts = [part for kind in KINDS for part in by_kind[kind]]
    if not parts:
        deeper = sorted({part.parent for kind in KINDS for part in path.rglob(f"*{kind}")})
        hint = f"; there are some in '{deeper[0]}'" if deeper else ""
        raise InputError(f"'{path}' has no published part ({' or '.join('*' + kind for kind in KINDS)}){hint}")
    return parts


def _check_release(path: Path) -> bool:
    """Check a release that has a manifest with checksums, as ours have, and say whether it has.

    Raises:
        InputError: it isn't as it was published.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text()) if path.is_dir() else None
    except (OSError, ValueError):
        return False  # somebody else's publication
    if not isinstance(manifest, dict) or "parts" not in manifest:
        return False
    deque(whole_parts(path), maxlen=0)
    return True


def _read_parquet(part: Path) -> _Part | None:
    """Read a part; None: it has no rows, as of a client without records."""
    try:
        table = parquet.ParquetFile(part).read()
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
        raise InputError(f"cannot read table '{part}': {str(error).strip().splitlines()[0]}") from None
    if not table.num_rows:
        return None
    return _part(spread(table, f"'{part}'"))


def _part(frame: pd.DataFrame) -> _Part:
    """Sort columns of numbers and text into what a part has."""
    frame = with_keys(frame)
    keys = frame[[name for name in KEYS if name in frame.columns]]
    others = frame.drop(columns=keys.columns)
    indices = [name for name in others.columns if is_index(str(name), others[name])]
    others = others.drop(columns=indices)
    numeric = [name for name in others.columns if pd.api.types.is_numeric_dtype(others[name])]
    numbers = others[numeric].to_numpy(np.float64, na_value=np.nan)
    texts = others.drop(columns=numeric)
    return _Part(numbers, numeric, texts, keys, [name for name in frame.columns if name not in indices], indices)


def _read_npz(part: Path) -> _Part | None:
    """Read a part; None: it has no records."""
    arrays = _load_npz(part)
    if not {"z", CODE} & set(arrays):
        raise InputError(f"'{part}' has no array 'z': it has {', '.join(arrays) or 'nothing'}")
    if CODE in arrays and arrays[CODE].ndim != 1:
        raise InputError(f"array '{CODE}' of '{part}' has shape {arrays[CODE].shape}: expected (records,)")
    main = arrays.get("z", arrays.get(CODE))
    assert main is not None
    if main.ndim == 0 or (main.size == 0 and len(main) and CODE not in arrays):
        raise InputError(f"array 'z' of '{part}' has shape {main.shape}: expected (records, numbers)")
    if main.dtype.kind not in NUMBERS and "z" in arrays:
        raise InputError(f"array 'z' of '{part}' has type {main.dtype}: expected numbers")
    if not len(main):
        return None
    single = [name for name, values in arrays.items() if values.ndim == 0]
    if single:
        warnings.warn(
            f"left out of the publication, as the same for all records: {', '.join(single)}", DataNotice, stacklevel=3
        )
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for name in [*(name for name in (CODE, *KEYS, "z") if name in arrays), *arrays]:
        values = arrays[name]
        if name in columns or name in single or (name == "z" and "z000" in columns):
            continue
        if values.shape[:1] != main.shape[:1] or (name in KEYS and values.ndim != 1):
            raise InputError(f"array '{name}' of '{part}' has shape {values.shape}: expected ({len(main)},)")
        if values.dtype.kind not in (NUMBERS + "U" if name not in KEYS else "iufU"):
            raise InputError(f"array '{name}' of '{part}' has type {values.dtype}: expected numbers or text")
        rows = values.reshape(len(values), -1)
        if name == "z":
            columns |= {f"z{i:03d}": column for i, column in enumerate(rows.T)}
        elif values.ndim == 1:
            columns[name] = values
        else:
            columns |= {f"{name}[{i}]": column for i, column in enumerate(rows.T)}
    return _part(pd.DataFrame(columns, index=range(len(main))))


def _load_npz(part: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return all arrays of an archive.

    Raises:
        InputError: it is none, is damaged, or has objects.
    """
    name = ""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    try:
        with np.load(part, allow_pickle=False) as file:  # a pickle runs code of whoever wrote it
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"'{part}' is no .npz archive")
            for name in file.files:
                arrays[name] = np.asarray(file[name])
    except InputError:
        raise
    except ValueError as error:
        if "pickle" in str(error).lower():
            where = f"array '{name}' of '{part}'" if name else f"'{part}'"
            raise InputError(f"{where} has pickled objects, which are never loaded: save arrays of numbers") from None
        raise InputError(f"cannot read '{part}': {error}") from None
    except OSError as error:
        raise InputError(f"cannot read '{part}': {error.strerror or 'damaged'}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise InputError(f"cannot read '{part}': it is no .npz archive, or damaged") from None
    return arrays


def _as_floats(z: Values) -> Floats:
    """Return numbers [n, d] as float32; a column whose values would fall together, as seconds do, from its median on.

    Attackers standardize what they see, so that nothing else changes for them.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is infinite, and refused as such
        small = np.ascontiguousarray(z, dtype=np.float32)
        for i, column in enumerate(z.T if not np.array_equal(small, z) else ()):
            if len(np.unique(small[:, i])) < len(np.unique(column)):
                small[:, i] = column - np.median(column)
    return small


def _stated_lam(path: Path) -> float:
    try:
        lam = float(json.loads((path / MANIFEST).read_text())["lam"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0  # somebody else's publication
    return lam if math.isfinite(lam) else 0.0
