"""A run's folder read back: its tables, summary, configuration and pictures, as far as they are there."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.frontier import POINT, retention_of_tasks, summarize_points
from fl_tiprdc.evaluation.metric_rows import COLUMNS, MAY_BE_EMPTY
from fl_tiprdc.evaluation.posterior_risk import ATTRIBUTE, RISK_COLUMNS
from fl_tiprdc.report.captions import pictures

CODE_MAP = "code-map.json"  # where each code lies, and what it stands for
MANIFEST = "release.json"  # of a publication
TEXT = ("setting", "method", "kind", "target", "model", "metric", "phase", "class", *MAY_BE_EMPTY)  # of tables
# what metrics.csv had to 0.1: levels and groups were in the names of models and metrics
COLUMNS_BEFORE = (*("setting", "method", "lam", "seed", "kind", "target", "model", "metric", "value", "low", "high"),)
RISK = (*POINT, ATTRIBUTE, *RISK_COLUMNS)
ROUNDS = ("setting", "method", "lam", "seed", "round", "phase", "privacy", "information", "adversary")


@dataclass(frozen=True)
class RunTables:
    """Hold what a page is made of.

    Attributes:
        name: short, to tell runs apart.
        metrics: as metrics.csv.
        points: `summarize_points` of it.
        tasks: `retention_of_tasks` of it.
        rounds: as rounds.csv; empty where the folder has none.
        summary: as summary.json; empty where the folder has none.
        config: config.toml as text; empty where the folder has none.
        pictures: name of a figure -> PNG.
        risk: as risk.csv; empty where the folder has none.
        code_maps: as code-map.json; empty where the folder has none.
        releases: one row a publication: setting, method, lam, seed, clients, records, numbers, noise, bytes.
    """

    name: str
    metrics: pd.DataFrame
    points: pd.DataFrame
    tasks: pd.DataFrame
    rounds: pd.DataFrame = field(default_factory=pd.DataFrame)
    summary: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    releases: pd.DataFrame = field(default_factory=pd.DataFrame)
    risk: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(RISK)))
    code_maps: Sequence[Mapping[str, Any]] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Return the configuration as a nested dictionary."""
        return tomllib.loads(self.config)

    @property
    def title(self) -> str:
        """Return what the run is about; its name where there is no configuration."""
        if not {"dataset", "private", "clients"} <= set(self.settings):
            return f"Federated TIPRDC: {self.name}"
        dataset, private, clients = (self.settings[name] for name in ("dataset", "private", "clients"))
        return f"Federated TIPRDC: {dataset}, hiding {', '.join(private)}, {clients:,} clients"


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:  # names stay names: null, 1 and True too
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(TEXT, str))
    except (OSError, ValueError) as error:  # pandas' and Unicode's errors are ValueErrors
        raise InputError(f"cannot read '{path}': {getattr(error, 'strerror', None) or error}") from None
    missing = [name for name in columns if name not in frame]
    if missing and set(COLUMNS_BEFORE) <= set(frame):
        raise InputError(
            f"'{path}' is of an earlier version of fl-tiprdc: it has no column {missing[0]}; run it again, by its "
            "config.toml (fl-tiprdc run --config), or compare it with that version"
        )
    if missing:
        raise InputError(f"'{path}' is no table of a run: it has no column {missing[0]}")
    return frame


def _read_risk(path: Path) -> pd.DataFrame:
    """Return the rows of risk.csv; none where there is no such file, or one of an audit, which names no points."""
    table = _read_table(path, ()) if path.is_file() else pd.DataFrame()
    return table if {*RISK} <= {*table.columns} else pd.DataFrame(columns=list(RISK))


def _releases(folder: Path) -> pd.DataFrame:
    """Return what publication/ holds, from its manifests: publication/SETTING/METHOD/lam-LAM/seed-SEED/release.json."""
    rows: list[dict[str, Any]] = []
    for path in sorted((folder / "publication").rglob(MANIFEST)):
        setting, method, lam, seed = path.parent.relative_to(folder / "publication").parts
        try:
            release = json.loads(path.read_text(encoding="utf-8"))
            rows.append(
                {
                    "setting": setting,
                    "method": method,
                    "lam": float(lam.removeprefix("lam-")),
                    "seed": int(seed.removeprefix("seed-")),
                    "clients": len(release["parts"]),
                    "records": sum(part["rows"] for part in release["parts"].values()),
                    "numbers": release["d"],
                    "noise": release["sigma"],
                    "bytes": sum((path.parent / part).stat().st_size for part in release["parts"]),
                }
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"'{path}' is no manifest of a publication, or parts of it are missing") from None
    return pd.DataFrame(rows)


def read_run(folder: Path, name: str = "") -> RunTables:
    """Read a run's folder.

    Args:
        folder: with metrics.csv at least; rounds.csv, summary.json, config.toml, figures/ (or PNG files beside the
            tables) and publication/ are taken where they are.
        name: of the run; empty: the folder's.

    Raises:
        InputError: there is no such table, or a file that isn't what its name says.
    """
    metrics = _read_table(folder / "metrics.csv", tuple(COLUMNS))
    metrics = metrics.fillna(dict.fromkeys(MAY_BE_EMPTY, ""))
    audited = metrics[metrics["metric"] == "auc"]
    if not {("raw", "task"), ("raw", "attack")} <= set(zip(audited["setting"], audited["kind"], strict=True)):
        raise InputError(f"'{folder / 'metrics.csv'}' has no audit of raw data, which runs are compared with")
    rounds, summary, config = folder / "rounds.csv", folder / "summary.json", folder / "config.toml"
    maps = folder / CODE_MAP
    try:
        facts = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
        text = config.read_text(encoding="utf-8") if config.is_file() else ""
        tomllib.loads(text)
        code_maps = json.loads(maps.read_text(encoding="utf-8")) if maps.is_file() else []
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read '{folder}': {error}") from None
    if not isinstance(facts, dict):
        raise InputError(f"'{summary}' is no summary of a run")
    if not isinstance(code_maps, list):
        raise InputError(f"'{maps}' is no map of codes")
    places = {figure: [folder / "figures" / f"{figure}.png", folder / f"{figure}.png"] for figure in pictures()}
    return RunTables(
        name or folder.resolve().name,
        metrics,
        summarize_points(metrics),
        retention_of_tasks(metrics),
        _read_table(rounds, ROUNDS) if rounds.is_file() and rounds.stat().st_size > 2 else pd.DataFrame(),
        facts,
        text,
        {figure: path.read_bytes() for figure, paths in places.items() for path in paths if path.is_file()},
        _releases(folder),
        _read_risk(folder / "risk.csv"),
        code_maps,
    )
