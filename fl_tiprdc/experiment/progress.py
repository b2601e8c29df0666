"""The progress of a run: a clock for its stages, and a display with the time left."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from fl_tiprdc.experiment.screen import say
from fl_tiprdc.experiment.tracking.tracker import Tracker


class Stages:
    """Times stages and shows their progress on a terminal (a line at each stage's end elsewhere).

    Args:
        console: where to show it.
        tracker: is told too.
    """

    def __init__(self, console: Console, tracker: Tracker | None = None) -> None:
        self.console = console
        self.tracker = tracker or Tracker()
        self.seconds: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description:<32}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Stages":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator["Ticker"]:
        """Time a stage of `total` steps; a name used again adds up."""
        task = self._progress.add_task(name, total=total)
        began = time.perf_counter()
        try:
            yield Ticker(self._progress, task, lambda done, of: self.tracker.progress(name, done, of))
        finally:
            took = time.perf_counter() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + took
            self.tracker.stage_ended(name, self.seconds[name])
            if not self.console.is_terminal:
                say(self.console, f"{name}: {took:.1f} s")

    def table(self) -> Table:
        """Tabulate the seconds of each stage."""
        table = Table(title="where the time went", title_justify="left")
        table.add_column("stage", overflow="fold")
        table.add_column("seconds", justify="right", no_wrap=True)
        table.add_column("share", justify="right", no_wrap=True)
        total = sum(self.seconds.values())
        for name, seconds in self.seconds.items():
            table.add_row(name, f"{seconds:.1f}", f"{seconds / total:.0%}")
        table.add_row("all", f"{total:.1f}", "100%")
        return table


class Ticker:
    """Moves one stage's bar on."""

    def __init__(self, progress: Progress, task: TaskID, tell: Callable[[int, int], None]) -> None:
        self._progress, self._task, self._tell = progress, task, tell

    def tick(self, steps: int = 1) -> None:
        """Note that `steps` more are done."""
        self._progress.advance(self._task, steps)
        self._said()

    def of(self, done: int, total: int) -> None:
        """Note that `done` steps of `total` are done, where the number of steps shows only on the way."""
        self._progress.update(self._task, completed=done, total=total)
        self._said()

    def _said(self) -> None:
        shown = self._progress.tasks[self._progress.task_ids.index(self._task)]
        self._tell(int(shown.completed), int(shown.total or 0))
