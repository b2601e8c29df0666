"""The command `fl-tiprdc`, also as python -m fl_tiprdc: finds the subcommand and calls its `main`."""

import difflib
import importlib
import sys
from collections.abc import Sequence

from fl_tiprdc import __version__
from fl_tiprdc.command_line.subcommands import GROUP, PROGRAM, SUBCOMMANDS
from fl_tiprdc.errors import InputError


def overview(group: str = "") -> str:
    """Return the help: all commands with a line each, or those of a group."""
    shown = {name: subcommand.summary for name, subcommand in SUBCOMMANDS.items() if name.startswith(group)}
    return "\n".join(
        [
            f"usage: {PROGRAM} {group or 'COMMAND'} ...",
            "",
            "Federated TIPRDC: train a crowd's anonymizing feature extractor, publish, audit.",
            "",
            *(f"  {name:<21}{summary}" for name, summary in shown.items()),
            "",
            f"{PROGRAM} COMMAND --help has a command's flags, {PROGRAM} --version the version.",
            "Exit status: 0 done, 1 the run failed, 2 wrong input, 130 interrupted.",
        ]
    )


def subcommand_of(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the subcommand that is called, and its arguments; a kind of the catalogue alone calls the catalogue.

    Raises:
        InputError: there is no such subcommand.
    """
    size = 2 if words[0] == GROUP else 1
    name = " ".join(words[:size])
    if name in SUBCOMMANDS:
        return name, words[size:]
    from fl_tiprdc.catalogue import catalogue

    if name in catalogue():
        return "catalogue", words
    near = difflib.get_close_matches(name, SUBCOMMANDS, 1)
    meant = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(SUBCOMMANDS)}"
    raise InputError(f"unknown command '{name}': {meant}")


def call(arguments: Sequence[str]) -> None:
    """Call the subcommand.

    Raises:
        InputError: there is no such subcommand.
    """
    name, own = subcommand_of(arguments)
    sys.argv = [f"{PROGRAM} {name}", *own]  # as its usage and a run's summary say it
    importlib.import_module(SUBCOMMANDS[name].module).main(own)


def main() -> None:
    """Run the command: print the help or the version, or call the subcommand."""
    words = sys.argv[1:]
    group, rest = (GROUP, words[1:]) if words[:1] == [GROUP] else ("", words)
    if not rest or rest[0] in ("-h", "--help"):
        print(overview(group))
    elif words[0] == "--version":
        print(f"{PROGRAM} {__version__}")
    else:
        from fl_tiprdc.command_line.guard import guard  # takes seconds, which the help needn't

        guard(lambda _: call(words))


if __name__ == "__main__":
    main()
