"""The progress of a run with real clients: lines of the server, and their display on the terminal that started it."""

import re
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_LINE = re.compile(r"exchange (\d+) of about (\d+)(, .*)")
EVERY = 5.0  # seconds between lines of the server


def in_words(done: int, total: int, seconds: float) -> str:
    """Return a line: exchanges done of all, and the time left if the others take as long as those."""
    left = round(seconds / done * max(0, total - done)) if done else 0
    spent, left_words = (f"{value // 60}:{value % 60:02d}" for value in (round(seconds), left))
    return f"exchange {done} of about {total}, {spent} spent" + (f", about {left_words} left" if done else "")


class Teller:
    """Prints a line for exchanges that are done: the first and the last, and others when the last line is old enough.

    Args:
        say: prints a line.
        clock: the time in seconds.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._began = clock()
        self._last = -EVERY

    def of(self, done: int, total: int) -> None:
        """Note that `done` of `total` exchanges are done."""
        spent = self._clock() - self._began
        if done in (1, total) or spent - self._last >= EVERY:
            self._last = spent
            self._say(in_words(done, total, spent))


class Shown:
    """Show a run's log on a console; on a terminal, lines about exchanges move a bar below the others.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> "Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def line(self, line: str) -> None:
        """Show a line of the log."""
        found = _LINE.search(line)
        if found and self._console.is_terminal:
            done, total = int(found[1]), int(found[2])
            self._bar.update(self._task, completed=done, total=total, description=found[0], visible=True)
        else:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._console.file.flush()
