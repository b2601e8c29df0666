"""The terminal: names as they are written, in any width and any encoding."""

import codecs
import io
import logging
import os
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

NARROWEST = 80  # characters that a table takes, however narrow the window: lines break then, and no number is lost
# letters and lines of ours for terminals that know no Greek; one for one, so that columns stay below each other
PLAIN = str.maketrans("λΔσεδτ…–—−·×≤≥│─┃━", "lDsedt.---.x<>|-|-")


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    """Return something to show for what a terminal can't, as `codecs.register_error` asks for."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = error.object[error.start : error.end].translate(PLAIN)
    return "".join(letter if letter.isascii() else "?" for letter in plain), error.end


codecs.register_error("plain-letters", _in_plain_letters)


def never_fail(stream: Any) -> None:
    """Let a stream of this process write what its encoding has no letters for, in plain ones; None is left alone."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="plain-letters")


class Screen(Console):
    """Show text as it is: no markup, no emoji, and no end of the work when nobody reads any more.

    Args:
        **settings: as of `rich.console.Console`.
    """

    def __init__(self, **settings: Any) -> None:
        never_fail(settings.get("file", sys.stderr if settings.get("stderr") else sys.stdout))
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **settings})

    def on_broken_pipe(self) -> None:
        """Show nothing more, where rich would end the program."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if self.stderr else sys.stdout).fileno())


class _LogLines(io.TextIOBase):
    """A stream whose lines go to a logger, at the level of information."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger, self._begun = logger, ""

    def write(self, text: str) -> int:
        """Log whole lines, but empty ones."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            self._logger.info(line.rstrip())
        return len(text)


def logged(logger: logging.Logger) -> Screen:
    """Return a screen for `run_experiment` and the like whose lines go to a logger, in place of the terminal."""
    return Screen(file=_LogLines(logger), width=10 * NARROWEST, color_system=None)


def say(console: Console, line: str) -> None:
    """Print a line as it is written; it breaks where the window ends."""
    console.print(line, soft_wrap=True, highlight=False, markup=False, emoji=False)


def show_table(console: Console, table: Table) -> None:
    """Print a table with all of its numbers, as wide as `NARROWEST` at least."""
    width = console.width
    console.width = max(width, NARROWEST)
    try:
        console.print(table, markup=False, emoji=False)
    finally:
        console.width = width
