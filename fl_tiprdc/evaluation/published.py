"""Audit of representations that anybody published: files on a disk, joined with a table of labels.

A publication is a folder of Parquet parts (this project's, or any with columns of numbers), a folder of .npz parts, or
one such file. Whatever numbers it holds are taken as released, so a column that gives the private attribute away is
found and not left out.
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

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.column_encoding import require_columns
from fl_tiprdc.data.crowd import Attribute, Floats, Ints
from fl_tiprdc.data.own_table import DataNotice, feature_columns, label_values, read_table
from fl_tiprdc.data.population import encode_private, hold_out
from fl_tiprdc.data.raw_features import raw_features
from fl_tiprdc.data.table import Table, encode
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.audit import Release, Truth, audit
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, MAJORITY
from fl_tiprdc.evaluation.frontier import best_models
from fl_tiprdc.federated.publication import MANIFEST, whole_parts

PAIR, ID = ["client", "record"], ["id"]  # what rows are joined by, the first that both sides have
KEYS = [*PAIR, *ID]
ROW_ORDER = "row order"
KINDS = (".parquet", ".npz")
SETTING = "publication"  # in metrics.csv
NUMBERS = "biuf"  # kinds of numpy type that are numbers


@dataclass(frozen=True)
class Publication:
    """Published representations.

    Attributes:
        z: [n, d] float32, finite.
        keys: [n] rows with those of the columns client, record and id that the files have; no column if none.
        lam: λ that the publisher states in release.json, 0 where there is none.
    """

    z: Floats
    keys: pd.DataFrame
    lam: float = 0.0


@dataclass(frozen=True)
class Audited:
    """What an audit of a publication is made of.

    Attributes:
        releases: the publication, preceded by raw features if there are some.
        known: labels of the contributors' rows.
        unknown: labels of the held-out people's rows.
        attributes: private attributes and tasks with their classes, by name.
        joined: how labels were matched to representations.
    """

    releases: tuple[Release, ...]
    known: Truth
    unknown: Truth
    attributes: dict[str, Attribute]
    joined: str


# ---- reading


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
    _check_release(path)
    kept: list[tuple[Floats, pd.DataFrame]] = []
    names: list[str] | None = None
    for count, part in enumerate(parts, 1):
        read = _read_npz if part.suffix.lower() == ".npz" else _read_parquet
        found = read(part)
        if found is not None:
            z, keys, columns = found
            if names is not None and names != columns:
                raise InputError(
                    f"'{part}' does not fit the parts before it: it has {_listed(columns)}, they have {_listed(names)}"
                )
            names = columns
            if not np.isfinite(z).all():
                raise InputError(f"'{part}' has numbers that are missing, infinite or too large for float32")
            kept.append((z, keys))
        if on_part is not None:
            on_part(count, len(parts))
    if not kept:
        raise InputError(f"'{path}' has no published record")
    keys = pd.concat([keys for _, keys in kept], ignore_index=True)
    _check_keys(keys, "publication")
    return Publication(np.concatenate([z for z, _ in kept]), keys, _stated_lam(path))


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


def _check_release(path: Path) -> None:
    """Of a release that has a manifest with checksums, as ours have: whether it is as it was published."""
    try:
        manifest = json.loads((path / MANIFEST).read_text()) if path.is_dir() else None
    except (OSError, ValueError):
        return  # somebody else's publication
    if isinstance(manifest, dict) and "parts" in manifest:
        deque(whole_parts(path), maxlen=0)


def _read_parquet(part: Path) -> tuple[Floats, pd.DataFrame, list[str]] | None:
    """Representations, keys and names of all columns; None of a part without rows: a client without records."""
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
    if not usable:
        raise InputError(f"'{part}' has no column of numbers beside {', '.join(KEYS)}")
    if left := [name for name in others.columns if name not in usable]:
        warnings.warn(f"left out of the publication, as no numbers: {', '.join(left)}", DataNotice, stacklevel=2)
    return _as_floats(others[usable].to_numpy(np.float64, na_value=np.nan)), keys, list(frame.columns)


def _read_npz(part: Path) -> tuple[Floats, pd.DataFrame, list[str]] | None:
    try:
        with np.load(part, allow_pickle=False) as file:  # a pickle runs code of whoever wrote it
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"'{part}' is no .npz archive")
            arrays = {name: np.asarray(file[name]) for name in ("z", *KEYS) if name in file.files}
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
    if "z" not in arrays:
        raise InputError(f"'{part}' has no array 'z': it has {names}")
    z = arrays.pop("z")
    if z.ndim != 2 or z.shape[1] == 0:
        raise InputError(f"array 'z' of '{part}' has shape {z.shape}: expected (records, numbers)")
    if z.dtype.kind not in NUMBERS:
        raise InputError(f"array 'z' of '{part}' has type {z.dtype}: expected numbers")
    for name, values in arrays.items():
        if values.shape != z.shape[:1]:
            raise InputError(f"array '{name}' of '{part}' has shape {values.shape}: expected ({len(z)},)")
        if values.dtype.kind not in "iufU":
            raise InputError(f"array '{name}' of '{part}' has type {values.dtype}: expected numbers or text")
    if not len(z):
        return None
    return (
        _as_floats(z),
        pd.DataFrame(arrays, index=range(len(z))),
        [*arrays, *(f"z{i:03d}" for i in range(z.shape[1]))],
    )


def _as_floats(z: npt.NDArray[np.generic]) -> Floats:
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
        return np.ascontiguousarray(z, dtype=np.float32)


def _stated_lam(path: Path) -> float:
    try:
        lam = float(json.loads((path / MANIFEST).read_text())["lam"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0  # somebody else's publication
    return lam if math.isfinite(lam) else 0.0


# ---- joining


def _key(values: pd.Series) -> pd.Series:
    """Keys as text, so that 7, 7.0 and "7" are the same."""
    if pd.api.types.is_float_dtype(values) and ((values == values.round()) & (values.abs() < 2**53)).all():
        values = values.astype(np.int64)
    return values.astype(str).str.strip()


def _shared_keys(keys: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    for names in (PAIR, ID):
        if all(name in side.columns for name in names for side in (keys, table)):
            return names
    return []


def _named(names: Sequence[str], values: Sequence[object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _check_keys(keys: pd.DataFrame, what: str) -> None:
    """Every row has a key, and one of its own. A client's number alone is no key."""
    for name in keys.columns:
        if keys[name].isna().any():
            raise InputError(f"the {what}'s column '{name}' has no value in {keys[name].isna().sum()} rows")
    for names in (PAIR, ID):
        if set(names) <= set(keys.columns):
            text = keys[names].apply(_key)
            twice = text.duplicated()
            if twice.any():
                raise InputError(
                    f"the {what} has {_named(names, text[twice].iloc[0].tolist())} twice: a record has one row"
                )


def join(keys: pd.DataFrame, table: pd.DataFrame, what: str) -> tuple[pd.DataFrame, str]:
    """The table's rows in the order of the published records.

    Args:
        keys: [n] as a publication has them.
        table: [m] rows; may have more records than were published.
        what: the table is, in messages.

    Returns:
        [n] rows of the table without the columns they were joined by, and what these were.

    Raises:
        InputError: records without a row, a key twice, or neither keys that both have nor as many rows.
    """
    names = _shared_keys(keys, table)
    if not names:
        if len(keys) != len(table):
            raise InputError(
                f"cannot join the {what} of {len(table)} rows to {len(keys)} published records: both need columns"
                " client and record, or a column id, or as many rows"
            )
        return table.reset_index(drop=True), ROW_ORDER
    _check_keys(table[names], what)
    position = pd.Series(np.arange(len(table)), index=pd.MultiIndex.from_frame(table[names].apply(_key)))
    wanted = pd.MultiIndex.from_frame(keys[names].apply(_key))
    rows = position.reindex(wanted)
    missing = rows.isna().to_numpy()
    if missing.any():
        raise InputError(
            f"the {what} has no row for {missing.sum()} of {len(keys)} published records, such as"
            f" {_named(names, wanted[missing][0])}"
        )
    joined = table.drop(columns=names).iloc[rows.to_numpy().astype(np.int64)]
    return joined.reset_index(drop=True), " and ".join(names)


def _participants(keys: pd.DataFrame, labels: pd.DataFrame, column: str) -> Ints:
    """[n] the person a record belongs to; without a column, every record is a person."""
    if not column:
        return np.arange(len(keys), dtype=np.int64)
    sides = labels.drop(columns=[name for name in keys.columns if name in labels.columns])
    values = pd.concat([keys, sides], axis=1)
    require_columns(values, [column], "participant column")
    if values[column].isna().any():
        raise InputError(f"participant column '{column}' has no value for {values[column].isna().sum()} records")
    return np.asarray(pd.factorize(_key(values[column]))[0], dtype=np.int64)


# ---- putting the audit together


def prepare_audit(
    publication: Publication,
    labels: pd.DataFrame,
    private: Sequence[str] = (),
    tasks: Sequence[str] = (),
    participant: str = "",
    held_out: float = 0.2,
    raw: pd.DataFrame | None = None,
) -> Audited:
    """Join labels, split by people, encode labels; everything that can be wrong is found here.

    Args:
        publication: what was published.
        labels: a table of labels, see `join`.
        private: columns of it to attack; none: all that are neither keys, nor tasks, nor the participant.
        tasks: columns of it to predict; none: no task.
        participant: column, of either side, with the person a record belongs to; empty: every record is a person.
        held_out: share of the people that attackers are tested on.
        raw: raw features of the same records, to set the publication against; a table, joined as labels are. Label
            columns in it are left out.

    Raises:
        InputError: naming the column and what is wrong with it.
    """
    joined, how = join(publication.keys, labels, "label table")
    people = _participants(publication.keys, joined, participant)
    if len(np.unique(people)) < 2:
        raise InputError("the publication has fewer than two people: nobody could be held out")
    tested = hold_out(people, held_out)
    private = list(private) or [str(name) for name in joined.columns if name not in (*tasks, participant, *KEYS)]
    _check_names(joined, private, tasks, participant)
    attributes: dict[str, Attribute] = {}
    codes: dict[str, Ints] = {}
    texts: dict[str, pd.Series] = {}
    for what, names in (("private attribute", private), ("task", tasks)):
        for name in names:
            texts[name] = _label(joined[name], name, what, ~tested)
            code, (attributes[name],) = encode_private(texts[name].to_frame(name), ~tested)
            codes[name] = code[:, 0]
            if len(np.unique(codes[name][tested])) < 2:
                raise InputError(
                    f"{what} '{name}' has a single value among the {len(np.unique(people[tested]))} held-out people:"
                    " hold out a larger share"
                )

    def truth(rows: npt.NDArray[np.bool_]) -> Truth:
        return Truth(
            {name: codes[name][rows] for name in private},
            {name: codes[name][rows] for name in tasks},
            {name: len(attribute.classes) for name, attribute in attributes.items()},
            people[rows],
        )

    releases = [Release(SETTING, "published", publication.lam, 0, publication.z[~tested], publication.z[tested])]
    if raw is not None:
        frame, _ = join(publication.keys, raw, "table of raw features")
        frame = frame.drop(columns=[n for n in (*private, *tasks, participant, *KEYS) if n in frame.columns])
        table = Table(
            feature_columns(frame, {}, ~tested), pd.DataFrame({n: texts[n] for n in private}), {}, people
        )  # encoded with the contributors' statistics, and split as above: `hold_out` depends on the people alone
        population = encode(table, held_out)
        sides = raw_features(population.contributors), raw_features(population.held_out)
        releases.insert(0, Release("raw", "raw", 0.0, 0, *sides))
    return Audited(tuple(releases), truth(~tested), truth(tested), attributes, how)


def _check_names(labels: pd.DataFrame, private: Sequence[str], tasks: Sequence[str], participant: str) -> None:
    require_columns(labels, private, "private attribute")
    require_columns(labels, tasks, "task")
    if not private:
        raise InputError("no column of the label table is left to attack: name one, --private COLUMN")
    roles = [*private, *tasks, *([participant] if participant else [])]
    for name in roles:
        if roles.count(name) > 1:
            raise InputError(f"column '{name}' is named twice: it can be private, a task or the participant, or none")


def _label(values: pd.Series, name: str, what: str, known: npt.NDArray[np.bool_]) -> pd.Series:
    missing = int(values.isna().sum())
    if missing:
        raise InputError(f"{what} '{name}' has no label for {missing} of {len(values)} published records")
    return label_values(name, values, "", known, what)


# ---- auditing


def audit_published(audited: Audited, config: AuditConfig, on_model: Callable[[], None] | None = None) -> pd.DataFrame:
    """Rows of metrics.csv: the panel on every release, one model after the other.

    Args:
        audited: releases and labels.
        config: the panel.
        on_model: told when an attacker and probe of one kind have answered: for each release as often as `panel` has
            names.
    """
    tables: list[pd.DataFrame] = []
    for release in audited.releases:
        for number, name in enumerate(panel(config)):
            chosen = {
                "attackers": tuple(n for n in config.attackers if n == name),
                "probes": tuple(n for n in config.probes if n == name),
            }
            table = audit(release, audited.known, audited.unknown, config.model_copy(update=chosen))
            tables.append(table if number == 0 else table[table["model"] != MAJORITY])
            if on_model is not None:
                on_model()
    return pd.concat(tables, ignore_index=True)


def panel(config: AuditConfig) -> list[str]:
    """Names of attackers and probes, each once; none in the white box: nobody knows how the release was made."""
    return [name for name in dict.fromkeys((*config.attackers, *config.probes)) if name in CLASSIFIERS]


def summarize_published(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row a private attribute and task: its best model by AUC, beside chance and, if audited, raw features.

    Columns: kind, target, model, auc, low, high (95 % interval), chance (AUC of the majority), accuracy and
    chance_accuracy; with raw features also raw_auc and, of tasks, retention = (AUC - ½) / (AUC(raw) - ½).
    """
    keys = ["kind", "target"]
    own = metrics[metrics["setting"] == SETTING]
    chance = own[own["model"] == MAJORITY].pivot(index=keys, columns="metric", values="value").reset_index()
    models = own[own["model"] != MAJORITY]
    best = best_models(own)[[*keys, "model", "value", "low", "high"]]
    right = models[models["metric"] == "accuracy"][[*keys, "model", "value"]]
    table = (
        best.rename(columns={"value": "auc"})
        .merge(
            chance[[*keys, "auc", "accuracy"]].rename(columns={"auc": "chance", "accuracy": "chance_accuracy"}), on=keys
        )
        .merge(right.rename(columns={"value": "accuracy"}), on=[*keys, "model"])
    )
    raw = metrics[metrics["setting"] == "raw"]
    if len(raw):
        table = table.merge(best_models(raw)[[*keys, "value"]].rename(columns={"value": "raw_auc"}), on=keys)
        retained = (table["auc"] - 0.5) / (table["raw_auc"] - 0.5)
        # a task that raw features can't tell has nothing to retain
        table["retention"] = retained.where((table["kind"] == "task") & (table["raw_auc"] > 0.5))
    return table
