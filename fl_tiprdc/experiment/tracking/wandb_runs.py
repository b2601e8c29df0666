"""Weights & Biases: one run with all curves; offline unless WANDB_MODE says otherwise."""

import os
from collections.abc import Mapping
from typing import Any

import pandas as pd

from fl_tiprdc.config import Experiment
from fl_tiprdc.experiment.tracking.tracker import PROJECT, Place, Tracker, curves, plain, point_metrics, settings


class WeightsAndBiases(Tracker):
    """Settings, curves, and a table of points.

    In results/wandb, from where `wandb sync` sends it; nothing about this machine or its code is noted.
    """

    def started(self, experiment: Experiment, place: Place) -> None:
        """Open the run."""
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project=PROJECT,
            name=place.name,
            dir=str(place.home.resolve()),
            config=settings(experiment),
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )

    def progress(self, stage: str, done: int, total: int) -> None:
        """Log the share of the stage that is done."""
        self._run.log({f"progress/{plain(stage)}": done / max(1, total)})

    def stage_ended(self, stage: str, seconds: float) -> None:
        """Log the seconds of the stage."""
        self._run.log({f"seconds/{plain(stage)}": seconds})

    def exchanges(self, rounds: pd.DataFrame) -> None:
        """Log the curves of each training, over its own steps."""
        for curve in curves(rounds):
            steps = f"{curve.name}/step"
            self._run.define_metric(f"{curve.name}/*", step_metric=steps)
            for i, step in enumerate(curve.steps):
                values = {f"{curve.name}/{name}": v[i] for name, v in curve.values.items() if pd.notna(v[i])}
                self._run.log({steps: step, **values})

    def points(self, points: pd.DataFrame, tasks: pd.DataFrame) -> None:
        """Log a table of points."""
        rows = [
            {name: row[name] for name in ("setting", "method", "lam", "seed", "attacker")} | point_metrics(row, tasks)
            for row in points.to_dict("records")
        ]
        self._run.log({"points": self._wandb.Table(dataframe=pd.DataFrame(rows))})

    def finished(self, summary: Mapping[str, Any]) -> None:
        """Log frontier areas; then close the run."""
        for row in summary["frontier_areas"]:
            self._run.summary[f"frontier area/{row['setting']}/{row['method']}"] = row["area"]
        self._run.finish()
        self._wandb.teardown()  # its process has written all that it was told

    def failed(self) -> None:
        """Close the run as failed."""
        self._run.finish(exit_code=1)
        self._wandb.teardown()
