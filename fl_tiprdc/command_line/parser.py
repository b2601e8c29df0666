"""The parser that all commands share, and readers of comma-separated values."""

import argparse
import csv
import re
from collections.abc import Sequence
from typing import NoReturn

from fl_tiprdc.command_line.guard import WRONG_INPUT, one_line
from fl_tiprdc.command_line.help_topics import ShowHelp, format_topic, has_topics, meant
from fl_tiprdc.errors import InputError


class Parser(argparse.ArgumentParser):
    """A parser that answers a wrong flag with one line, and --help with a screen.

    Args:
        description: what the program does.
        settings: of an experiment that have flags of their own; the help on a topic lists the others.
    """

    def __init__(self, description: str, settings: Sequence[str] = ()) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=formatter, add_help=False)
        self._negative_number_matcher = re.compile(r"-[\d.]")  # "-0.5,1" is a value too, not a flag
        self._settings = settings
        self.topic = ""  # of the help
        text = "show this help, or that on a topic, and exit"
        self.add_argument(
            "-h", "--help", action=ShowHelp, nargs="?", metavar="TOPIC", default=argparse.SUPPRESS, help=text
        )

    def format_help(self) -> str:
        """Everything if it fits a screen, else main flags and topics, or the topic that was asked for."""
        if not has_topics(self._actions):
            return super().format_help()
        return format_topic(self, self.topic, self._settings)

    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit status 2."""
        text = f"{message}{meant(message, self._actions)} (--help lists the flags)"
        self.exit(WRONG_INPUT, f"error: {one_line(text)}\n")


def words(text: str) -> tuple[str, ...]:
    """Return comma-separated words; one that has a comma stands in quotes, as in a CSV file: '"income, total",sex'."""
    (parts,) = csv.reader([text.replace("\n", " ")], skipinitialspace=True) if text.strip() else ([],)
    return tuple(part.strip() for part in parts if part.strip())


def some_words(text: str, flag: str) -> tuple[str, ...]:
    """Comma-separated words, of which there is one at least.

    Raises:
        InputError: there is none.
    """
    if not (found := words(text)):
        raise InputError(f"--{flag} '{text}': name at least one, or leave the flag out")
    return found
