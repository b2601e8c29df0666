"""MLflow: a run of ours with a run below it for each point; on a server, or in a file beside the results."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import pandas as pd

from fl_tiprdc.config import Experiment
from fl_tiprdc.experiment.tracking.tracker import (
    PROJECT,
    Place,
    Tracker,
    curves,
    plain,
    point_metrics,
    point_name,
    settings,
)

STORE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"
AT_A_TIME = 1000  # metrics in a call, MLflow's limit
KEPT = ("config.toml", "metrics.csv", "rounds.csv", "summary.json", "report.html", "figures")


class MLflow(Tracker):
    """Settings, curves, points and files, in the experiment `fl-tiprdc`.

    Where MLFLOW_TRACKING_URI says, else in results/mlflow.db and results/mlflow-artifacts.
    """

    def started(self, experiment: Experiment, place: Place) -> None:
        """Open the run."""
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
        self._Metric, self._Param, self._RunTag, self._place = Metric, Param, RunTag, place
        own = "MLFLOW_TRACKING_URI" not in os.environ
        home = place.home.resolve()
        self._client = MlflowClient(tracking_uri=f"sqlite:///{home / STORE}" if own else None)
        existing = self._client.get_experiment_by_name(PROJECT)
        if existing is None:
            location = (home / ARTIFACTS).as_uri() if own else None
            self._experiment = self._client.create_experiment(PROJECT, artifact_location=location)
        else:
            self._experiment = existing.experiment_id
        self._run: str = self._client.create_run(self._experiment, run_name=place.name).info.run_id
        self._below: dict[str, str] = {}
        params = [Param(key, value[:6000]) for key, value in settings(experiment).items()]
        for part in _parts(params, 100):
            self._client.log_batch(self._run, params=part)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Log the share of the stage that is done."""
        self._client.log_metric(self._run, plain(f"progress/{stage}"), done / max(1, total), step=done)

    def stage_ended(self, stage: str, seconds: float) -> None:
        """Log the seconds of the stage."""
        self._client.log_metric(self._run, plain(f"seconds/{stage}"), seconds)

    def _of_point(self, point: Mapping[Any, Any]) -> str:
        """Return the run below ours for a point."""
        name = point_name(point)
        if name not in self._below:
            tags = {"mlflow.parentRunId": self._run}
            made = self._client.create_run(self._experiment, tags=tags, run_name=name)
            self._below[name] = made.info.run_id
            params = [self._Param(key, str(point[key])) for key in ("setting", "method", "lam", "seed")]
            self._client.log_batch(self._below[name], params=params)
        return self._below[name]

    def exchanges(self, rounds: pd.DataFrame) -> None:
        """Log the curves of each training."""
        now = int(time.time() * 1000)
        for curve in curves(rounds):
            run = self._of_point(curve.point)
            metrics = [
                self._Metric(name, value, now, step)
                for name, values in curve.values.items()
                for step, value in zip(curve.steps, values, strict=True)
                if pd.notna(value)
            ]
            for part in _parts(metrics, AT_A_TIME):
                self._client.log_batch(run, metrics=part)

    def points(self, points: pd.DataFrame, tasks: pd.DataFrame) -> None:
        """Log what the audit found of each point."""
        now = int(time.time() * 1000)
        for row in points.to_dict("records"):
            metrics = [self._Metric(name, value, now, 0) for name, value in point_metrics(row, tasks).items()]
            tags = [self._RunTag("attacker", str(row["attacker"]))]
            self._client.log_batch(self._of_point(row), metrics=metrics, tags=tags)

    def finished(self, summary: Mapping[str, Any]) -> None:
        """Log frontier areas, and the run's files."""
        for row in summary["frontier_areas"]:
            self._client.log_metric(self._run, plain(f"frontier area/{row['setting']}/{row['method']}"), row["area"])
        self._client.set_tag(self._run, "commit", summary["commit"])
        for name in KEPT:
            path = self._place.folder / name
            if path.is_dir():
                self._client.log_artifacts(self._run, str(path), name)
            elif path.is_file():
                self._client.log_artifact(self._run, str(path))
        self._end("FINISHED")

    def failed(self) -> None:
        """Mark the run as failed."""
        self._end("FAILED")

    def _end(self, status: str) -> None:
        for run in (*self._below.values(), self._run):
            self._client.set_terminated(run, status)


def _parts(values: list[Any], size: int) -> list[list[Any]]:
    return [values[begin : begin + size] for begin in range(0, len(values), size)]
