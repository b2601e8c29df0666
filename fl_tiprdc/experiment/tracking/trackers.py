"""All trackers of a run as one; a tracker that breaks is left, not the run."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

import fl_tiprdc.environment  # noqa: F401  before the trackers
from fl_tiprdc.config import Experiment
from fl_tiprdc.errors import InputError, selection
from fl_tiprdc.experiment.tracking.mlflow_runs import MLflow
from fl_tiprdc.experiment.tracking.tensorboard_files import TensorBoard
from fl_tiprdc.experiment.tracking.tracker import Place, Tracker
from fl_tiprdc.experiment.tracking.wandb_runs import WeightsAndBiases

TRACKERS: dict[str, Callable[[], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
}
NONE = "none"  # stands for no tracker
EVERY = 5.0  # seconds between two words on a stage's progress


def named_trackers(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of trackers, checked as in `selection`; "none", alone, stands for none of them."""
    return selection("tracker", names, TRACKERS, {NONE: ()})


class Trackers(Tracker):
    """Sends everything to several trackers.

    One that can't start is wrong input, as the run hasn't begun. One that breaks later is dropped, with a note: hours
    of training are worth more than its curves.

    Args:
        names: keys of `TRACKERS`.
        note: takes one line of text.
    """

    def __init__(self, names: Sequence[str], note: Callable[[str], None]) -> None:
        self._names = tuple(names)
        self._trackers: dict[str, Tracker] = {}
        self._note = note
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()  # stages tick in threads

    def started(self, experiment: Experiment, place: Place) -> None:
        """Start all trackers.

        Raises:
            InputError: one can't; the packages it needs are missing, or its server.
        """
        for name in self._names:
            tracker = TRACKERS[name]()
            try:
                tracker.started(experiment, place)
            except ModuleNotFoundError as error:
                raise InputError(
                    f"tracker '{name}' needs the package {error.name}: pip install 'fl-tiprdc[{name}]'"
                ) from None
            except Exception as error:
                raise InputError(f"tracker '{name}' does not start: {_first_line(error)}") from None
            self._trackers[name] = tracker

    def _tell(self, tell: Callable[[Tracker], None]) -> None:
        with self._lock:
            for name, tracker in list(self._trackers.items()):
                try:
                    tell(tracker)
                except Exception as error:  # whatever other people's servers and libraries do
                    del self._trackers[name]
                    self._note(f"note: tracker '{name}' broke and is left: {_first_line(error)}")

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell all trackers how far a stage is: now and then only, and at the end."""
        now = time.monotonic()
        if done < total and now < self._said.get(stage, 0.0) + EVERY:
            return
        self._said[stage] = now
        self._tell(lambda tracker: tracker.progress(stage, done, total))

    def stage_ended(self, stage: str, seconds: float) -> None:
        """Tell all trackers that a stage took so long."""
        self._tell(lambda tracker: tracker.stage_ended(stage, seconds))

    def exchanges(self, rounds: pd.DataFrame) -> None:
        """Tell all trackers that training is over."""
        self._tell(lambda tracker: tracker.exchanges(rounds))

    def points(self, points: pd.DataFrame, tasks: pd.DataFrame) -> None:
        """Tell all trackers that the audit is over."""
        self._tell(lambda tracker: tracker.points(points, tasks))

    def finished(self, summary: Mapping[str, Any]) -> None:
        """Tell all trackers that all files of the run's folder are there."""
        self._tell(lambda tracker: tracker.finished(summary))

    def failed(self) -> None:
        """Tell all trackers that the run ends without a result."""
        self._tell(lambda tracker: tracker.failed())


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
