"""The parser that all commands share, and readers of comma-separated values."""

import argparse
import csv
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from fl_tiprdc.command_line.guard import WRONG_INPUT, one_line
from fl_tiprdc.command_line.help_topics import ALL, has_topics, meant, screen_of, topics_of
from fl_tiprdc.errors import InputError

WIDTH = 79  # of a description
COMMANDS = ("fl-tiprdc ", "python ")  # lines of a description that begin so are shown as they are


def joined(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which a value like "-0.5,1", which argparse would take for a flag, is joined to its flag."""
    together: list[str] = []
    for argument in arguments:
        if together and re.fullmatch(r"--[^=]+", together[-1]) and re.match(r"-[\d.]", argument):
            together[-1] += f"={argument}"
        else:
            together.append(argument)
    return together


class ShowHelp(argparse.Action):
    """--help, or --help TOPIC."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Print and exit."""
        assert isinstance(parser, Parser)
        topic = str(values or "")
        known = (*topics_of(parser.actions), ALL) if has_topics(parser.actions) else (ALL,)
        if topic and topic not in known:
            parser.error(f"no help on '{topic}': choose from {', '.join(known)}")
        print(parser.help_on(topic), end="")
        parser.exit()


def _filled(text: str) -> str:
    """Return a description with its paragraphs filled to `WIDTH`; commands, and lines that are indented, stay."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(
        paragraph if paragraph.startswith((*COMMANDS, " ")) else textwrap.fill(paragraph, WIDTH)
        for paragraph in paragraphs
    )


class Parser(argparse.ArgumentParser):
    """Parse flags; answer a wrong one with one line, and --help with a screen.

    Args:
        description: what the program does.
        settings: of an experiment that have flags of their own; the help on a topic lists the others.

    Attributes:
        actions: the flags, as they were added.
    """

    def __init__(self, description: str, settings: Sequence[str] = ()) -> None:
        self.actions: list[argparse.Action] = []
        self._settings = settings
        self._added: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {}  # what was added, by name
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=_filled(description), formatter_class=formatter, add_help=False)
        text = "show this help, or that on a topic, and exit"
        self.add_argument(
            "-h", "--help", action=ShowHelp, nargs="?", metavar="TOPIC", default=argparse.SUPPRESS, help=text
        )

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Add a flag, as argparse does."""
        action = super().add_argument(*names, **options)
        self.actions.append(action)
        self._added[action.dest] = names, options
        return action

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse, as argparse does; "-0.5,1" is a value too."""
        return super().parse_args(joined(sys.argv[1:] if args is None else args), namespace)

    def help_on(self, topic: str) -> str:
        """Return everything if it is little, else main flags and topics, or the topic that was asked for."""
        if not has_topics(self.actions):
            return super().format_help()
        screen, shown = screen_of(self.prog, self.description, self.actions, topic, self._settings)
        group = screen.add_argument_group("flags")
        for action in shown:
            names, options = self._added[action.dest]
            group.add_argument(*names, **options)
        return screen.format_help()

    def format_help(self) -> str:
        """Return the first screen of the help."""
        return self.help_on("")

    def error(self, message: str) -> NoReturn:
        """Print one line on stderr, and exit with status 2."""
        text = f"{message}{meant(message, self.actions)} (--help lists the flags)"
        self.exit(WRONG_INPUT, f"error: {one_line(text)}\n")


def words(text: str) -> tuple[str, ...]:
    """Return comma-separated words; one that has a comma stands in quotes, as in a CSV file: '"income, total",sex'."""
    (parts,) = csv.reader([text.replace("\n", " ")], skipinitialspace=True) if text.strip() else ([],)
    return tuple(part.strip() for part in parts if part.strip())


def require_text(text: str, flag: str) -> None:
    """Check that a value can be written to a file again: bytes that are no UTF-8 can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"--{flag.replace('_', '-')} {text!a}: give text in UTF-8") from None


def one_name(text: str, flag: str) -> str:
    """Return a column's name, in quotes or not: a comma in it needs none.

    Raises:
        InputError: there is none.
    """
    given = text.strip()
    if len(given) > 1 and given[0] == given[-1] == '"':
        given = given[1:-1].replace('""', '"')
    if not given:
        raise InputError(f"--{flag} '{text}': name a column, or leave the flag out")
    return given


def some_words(text: str | None, flag: str) -> tuple[str, ...]:
    """Return comma-separated words, one at least; none of a flag that isn't given.

    Raises:
        InputError: there is none.
    """
    if text is None:
        return ()
    if not (given := words(text)):
        raise InputError(f"--{flag} '{text}': name at least one, or leave the flag out")
    return given
