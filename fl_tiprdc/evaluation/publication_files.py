"""Representations that anybody published, as files on a disk.

A publication is a folder of Parquet parts (this project's, or any with columns of numbers), a folder of .npz parts, or
one such file. Whatever numbers it holds are taken as released, so a column that gives the private attribute away is
found and not left out. So are columns of text with few values, codes of a finite release among them: each value is a
number then.
"""

import json
import math
import warnings
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as parquet

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.data.own_table import DataNotice, read_table
from fl_tiprdc.data.publication_store import CODEBOOK, MANIFEST, whole_parts
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.finite_codes import MOST_CODES, RECORDS_PER_INTEGER
from fl_tiprdc.evaluation.record_keys import KEYS, check_keys

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
    """

    z: Floats
    keys: pd.DataFrame
    lam: float = 0.0
    values: tuple[tuple[str, ...], ...] = ()
    code: int | None = None

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
    """What a part holds: numbers [n, d] and their names, columns of text, keys, and the names of all its columns."""

    numbers: Floats
    names: list[str]
    texts: pd.DataFrame
    keys: pd.DataFrame
    columns: list[str]


def read_publication(path: Path, on_part: Callable[[int, int], None] | None = None) -> Publication:
    """Read a folder of parts, or one file.

    Args:
        path: of the folder or of a .parquet or .npz file.
        on_part: told how many parts of how many are read.

    Raises:
        InputError: nothing there, no part or an unreadable one, no number, numbers that are not finite, parts that
            don't fit each other, a record published twice, or a release of ours that isn't as it was published.
    """
    parts = _parts(path)
    if _check_release(path):
        parts = [part for part in parts if part.name != CODEBOOK]  # says what codes stand for, and nothing of records
    kept: list[_Part] = []
    for count, part in enumerate(parts, 1):
        read = _read_npz if part.suffix.lower() == ".npz" else _read_parquet
        found = read(part)
        if found is not None:
            before = kept[0].columns if kept else found.columns
            if before != found.columns:
                raise InputError(
                    f"'{part}' does not fit the parts before it: it has {_listed(found.columns)}, they have "
                    f"{_listed(before)}"
                )
            if not np.isfinite(found.numbers).all():
                raise InputError(f"'{part}' has numbers that are missing, infinite or too large for float32")
            kept.append(found)
        if on_part is not None:
            on_part(count, len(parts))
    if not kept:
        raise InputError(f"'{path}' has no published record")
    keys = pd.concat([part.keys for part in kept], ignore_index=True)
    check_keys(keys, "publication")
    z = np.concatenate([part.numbers for part in kept])
    texts = pd.concat([part.texts for part in kept], ignore_index=True)
    values, left_out = _numbered(texts)
    if not z.shape[1] and not values:
        raise InputError(f"'{path}' has no column of numbers beside {', '.join(KEYS)}, and no text with few values")
    if left_out:
        told = ", ".join(f"{name} ({count:,} value{'s' if count > 1 else ''})" for name, count in left_out.items())
        warnings.warn(f"left out of the publication, as no numbers: {told}", DataNotice, stacklevel=2)
    if values:
        z = np.column_stack([z, *(number for number, _ in values.values())])
    names = [*kept[0].names, *values]
    code = names.index(CODE) if CODE in names else 0 if len(names) == 1 else None
    return Publication(z, keys, _stated_lam(path), tuple(present for _, present in values.values()), code)


def _numbered(texts: pd.DataFrame) -> tuple[dict[str, tuple[Floats, tuple[str, ...]]], dict[str, int]]:
    """Number the values of columns of text from 0, a missing one as the text "".

    Returns:
        Of each column its numbers [n] and what they stand for; and of columns that are no codes, since they have a
        single value or very many, how many.
    """
    most = min(MOST_CODES, len(texts) // RECORDS_PER_INTEGER)
    values: dict[str, tuple[Floats, tuple[str, ...]]] = {}
    left_out: dict[str, int] = {}
    for name in texts:
        present, number = np.unique(texts[name].astype(object).fillna("").astype(str), return_inverse=True)
        if 2 <= len(present) <= most:
            values[str(name)] = number.reshape(-1).astype(np.float32), tuple(present.tolist())
        else:
            left_out[str(name)] = len(present)
    return values, left_out


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
    found = {kind: [part for part in files if part.suffix.lower() == kind] for kind in KINDS}
    if all(found.values()):
        raise InputError(f"'{path}' has both .parquet and .npz parts: name one of its files")
    parts = [part for kind in KINDS for part in found[kind]]
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
        empty = parquet.read_metadata(part).num_rows == 0
    except (OSError, ValueError):
        empty = False  # `read_table` says what is wrong with it
    if empty:
        return None
    frame = read_table(part)
    keys = frame[[name for name in KEYS if name in frame.columns]]
    others = frame.drop(columns=keys.columns)
    usable = [name for name in others.columns if pd.api.types.is_numeric_dtype(others[name])]
    numbers = _as_floats(others[usable].to_numpy(np.float64, na_value=np.nan))
    return _Part(numbers, usable, others.drop(columns=usable), keys, list(frame.columns))


def _read_npz(part: Path) -> _Part | None:
    try:
        with np.load(part, allow_pickle=False) as file:  # a pickle runs code of whoever wrote it
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"'{part}' is no .npz archive")
            arrays = {name: np.asarray(file[name]) for name in ("z", CODE, *KEYS) if name in file.files}
            names = ", ".join(file.files) or "nothing"
    except InputError:
        raise
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise InputError(f"'{part}' has pickled objects, which are never loaded: save arrays of numbers") from None
        raise InputError(f"cannot read '{part}': {error}") from None
    except OSError as error:
        raise InputError(f"cannot read '{part}': {error.strerror or 'damaged'}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise InputError(f"cannot read '{part}': it is no .npz archive, or damaged") from None
    if not {"z", CODE} & set(arrays):
        raise InputError(f"'{part}' has no array 'z': it has {names}")
    code = arrays.pop(CODE, None)
    if code is not None and code.ndim != 1:
        raise InputError(f"array '{CODE}' of '{part}' has shape {code.shape}: expected (records,)")
    z = np.empty((code.size, 0), np.float32) if "z" not in arrays and code is not None else arrays.pop("z")
    if z.ndim != 2 or (z.shape[1] == 0 and code is None):
        raise InputError(f"array 'z' of '{part}' has shape {z.shape}: expected (records, numbers)")
    if z.dtype.kind not in NUMBERS:
        raise InputError(f"array 'z' of '{part}' has type {z.dtype}: expected numbers")
    columns = [*([] if code is None else [CODE]), *arrays, *(f"z{i:03d}" for i in range(z.shape[1]))]
    for name, values in (arrays if code is None else {CODE: code, **arrays}).items():
        if values.shape != z.shape[:1]:
            raise InputError(f"array '{name}' of '{part}' has shape {values.shape}: expected ({len(z)},)")
        if values.dtype.kind not in "iufU":
            raise InputError(f"array '{name}' of '{part}' has type {values.dtype}: expected numbers or text")
    if not len(z):
        return None
    numbers, texts = _as_floats(z), pd.DataFrame(index=range(len(z)))
    number_names = [f"z{i:03d}" for i in range(z.shape[1])]
    if code is not None and code.dtype.kind == "U":
        texts[CODE] = code
    elif code is not None:
        numbers, number_names = np.column_stack([_as_floats(code), numbers]), [CODE, *number_names]
    return _Part(numbers, number_names, texts, pd.DataFrame(arrays, index=range(len(z))), columns)


def _as_floats(z: npt.NDArray[np.generic]) -> Floats:
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
        return np.ascontiguousarray(z, dtype=np.float32)


def _stated_lam(path: Path) -> float:
    try:
        lam = float(json.loads((path / MANIFEST).read_text())["lam"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0  # somebody else's publication
    return lam if math.isfinite(lam) else 0.0
