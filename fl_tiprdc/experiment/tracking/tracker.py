"""The messages of a run to a tracker, and its tables as curves and numbers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fl_tiprdc.config import Experiment
from fl_tiprdc.evaluation.frontier import POINT

WATCHED = ("privacy", "information", "adversary", "seconds", "clients", "failures", "bytes_down", "bytes_up")
PROJECT = "fl-tiprdc"


@dataclass(frozen=True)
class Place:
    """Say where a run is.

    Attributes:
        name: of the run, as its folder is called.
        folder: in which it is put together.
        home: folder of all results; what trackers keep of all runs goes there.
    """

    name: str
    folder: Path
    home: Path


class Tracker:
    """Is told what a run does. This one keeps nothing: it is what a run without tracking tells.

    Others override what they have a use for. Nothing that they are told has a record or a person's label in it.
    """

    def started(self, experiment: Experiment, place: Place) -> None:
        """Note that the run begins."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Note that so many of a stage's steps are done; told at most once in a few seconds."""

    def stage_ended(self, stage: str, seconds: float) -> None:
        """Note that a stage took so long."""

    def exchanges(self, rounds: pd.DataFrame) -> None:
        """Note that training is over; rows of rounds.csv."""

    def points(self, points: pd.DataFrame, tasks: pd.DataFrame) -> None:
        """Note that the audit is over; each point's worst attack and mean retention, and the retention of each task."""

    def finished(self, summary: Mapping[str, Any]) -> None:
        """Note that all files of the run's folder are there; what summary.json holds."""

    def failed(self) -> None:
        """Note that the run ends without a result."""


class Curve(NamedTuple):
    """Hold one training: values by name over steps."""

    name: str
    point: dict[str, Any]
    steps: list[int]
    values: dict[str, list[float]]


def point_name(point: Mapping[Any, Any]) -> str:
    """Return SETTING/METHOD/lam-X/seed-Y, as folders are called."""
    return f"{point['setting']}/{point['method']}/lam-{point['lam']:g}/seed-{point['seed']}"


def curves(rounds: pd.DataFrame) -> Iterator[Curve]:
    """Yield the trainings in rows of rounds.csv; steps are exchanges, or updates of the centralized trainer."""
    if rounds.empty:
        return
    for values, rows in rounds.groupby(POINT, sort=False):
        point = dict(zip(POINT, values, strict=True))
        steps = rows["exchange"].fillna(rows["round"]) if "exchange" in rows else rows["round"]
        watched = {name: rows[name].astype(float) for name in WATCHED if name in rows and rows[name].notna().any()}
        yield Curve(
            point_name(point),
            point,
            steps.astype(int).tolist(),
            {name: column.tolist() for name, column in watched.items()},
        )


def point_metrics(row: Mapping[Any, Any], tasks: pd.DataFrame) -> dict[str, float]:
    """Return the numbers of a point: attack, its interval, retention in all and of each task."""
    names = [name for name in row if str(name).startswith(("attack", "retention")) and name != "attacker"]
    own = tasks[(tasks[POINT] == [row[name] for name in POINT]).all(axis=1)]
    of_tasks = {f"retention_{task}": value for task, value in zip(own["task"], own["retention"], strict=True)}
    numbers = {str(name): row[name] for name in names} | of_tasks
    return {plain(name): float(value) for name, value in numbers.items() if pd.notna(value)}


def plain(name: str) -> str:
    """Return a name with nothing but what trackers allow in one."""
    return re.sub(r"[^\w.\- /]", "_", name)


def settings(experiment: Experiment) -> dict[str, str]:
    """Return every setting by its name with dots."""
    return dict(_flat("", experiment.model_dump(mode="json", exclude_none=True)))


def _flat(before: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{before}{key}.", value)
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            yield plain(before + key), text
