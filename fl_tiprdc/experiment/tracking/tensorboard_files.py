"""TensorBoard: event files in the run's folder, one series for each training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fl_tiprdc.config import Experiment
from fl_tiprdc.experiment.tracking.tracker import Place, Tracker, curves, point_metrics, point_name, settings

FOLDER = "tensorboard"


class TensorBoard(Tracker):
    """Curves, points as hyperparameters with metrics, the configuration and the frontier."""

    def started(self, experiment: Experiment, place: Place) -> None:
        """Open the run's own series."""
        from torch.utils.tensorboard import SummaryWriter  # takes a second

        self._open, self._place = SummaryWriter, place
        self._run = self._writer("run")
        table = "\n".join(f"| {name} | {value} |" for name, value in settings(experiment).items())
        self._run.add_text("settings", f"| setting | value |\n| --- | --- |\n{table}")
        self._run.flush()

    def _writer(self, series: str) -> Any:
        return self._open(str(self._place.folder / FOLDER / series))

    def progress(self, stage: str, done: int, total: int) -> None:
        """Log the share of the stage that is done."""
        self._run.add_scalar(f"progress/{stage}", done / max(1, total), done)
        self._run.flush()

    def stage_ended(self, stage: str, seconds: float) -> None:
        """Write the seconds of the stage."""
        self._run.add_scalar(f"seconds/{stage}", seconds)

    def exchanges(self, rounds: pd.DataFrame) -> None:
        """Write a series for each training."""
        for curve in curves(rounds):
            writer = self._writer(curve.name)
            for name, values in curve.values.items():
                for step, value in zip(curve.steps, values, strict=True):
                    if np.isfinite(value):
                        writer.add_scalar(f"training/{name}", value, step)
            writer.close()

    def points(self, points: pd.DataFrame, tasks: pd.DataFrame) -> None:
        """Write each point with its metrics, for the tab HPARAMS."""
        for row in points.to_dict("records"):
            writer = self._writer(point_name(row))
            about = {name: row[name] for name in ("setting", "method", "lam", "seed")}
            metrics = {f"audit/{name}": value for name, value in point_metrics(row, tasks).items()}
            writer.add_hparams(about, metrics, run_name=".")
            writer.close()

    def finished(self, summary: Mapping[str, Any]) -> None:
        """Write the figures; then close the files."""
        for picture in sorted((self._place.folder / "figures").glob("*.png")):
            with Image.open(picture) as image:
                self._run.add_image(picture.stem, np.asarray(image.convert("RGB")), dataformats="HWC")
        self._run.close()

    def failed(self) -> None:
        """Close the files."""
        self._run.close()
