"""Completion by TAB, for bash: prints a file to be read by the shell when it starts.

fl-tiprdc completion > ~/.fl-tiprdc.bash
echo 'source ~/.fl-tiprdc.bash' >> ~/.bashrc

After that, TAB completes what follows fl-tiprdc: commands, flags, names of data sets, methods, attacks and so on (in
lists with commas too), files. Make the file anew when names have been added.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

from fl_tiprdc.catalogue import catalogue
from fl_tiprdc.command_line.help_topics import ALL, has_topics, topics_of
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.command_line.subcommands import GROUP, PROGRAM, SUBCOMMANDS
from fl_tiprdc.commands.audit import audit_parser
from fl_tiprdc.commands.catalogue import catalogue_parser
from fl_tiprdc.commands.compare import compare_parser
from fl_tiprdc.commands.flwr_run import flwr_run_parser
from fl_tiprdc.commands.run import run_parser
from fl_tiprdc.errors import InputError

PARSERS: Mapping[str, Callable[[], Parser]] = {
    "run": run_parser,
    "audit": audit_parser,
    "compare": compare_parser,
    "catalogue": catalogue_parser,
    "flwr-run": flwr_run_parser,
}
# flag -> what there is to choose from
KINDS: Mapping[str, str] = {
    "dataset": "data-sets",
    "methods": "methods",
    "baselines": "baselines",
    "attacks": "further-attacks",
    "partition": "partitions",
    "aggregation": "aggregations",
    "runtime": "runtimes",
}
OTHERS: Mapping[str, tuple[str, ...]] = {"settings": ("baseline", "centralized", "federated")}
FILES = ("data", "labels", "raw", "publication", "output", "data_root", "runs", "coordinator")
# what follows the last comma is completed, and what precedes it kept
_LIST = """
{name}() {{
  local before="${{1%"${{1##*,}}"}}"
  compgen -P "$before" -W "{words}" -- "${{1##*,}}"
}}"""
_CONFIG = """
{name}() {{
  compgen -W "{words}" -- "$1"
  compgen -f -- "$1"
}}"""


def _names(action: argparse.Action, parser: Parser) -> tuple[str, ...]:
    """Return what a flag's value can be; empty: anything."""
    if action.dest == "help":
        return (*topics_of(parser.actions), ALL) if has_topics(parser.actions) else ()
    if action.dest == "kinds":
        return tuple(catalogue())
    if action.dest == "config":
        return tuple(catalogue()["presets"].lines)
    if action.dest in KINDS:
        return tuple(catalogue()[KINDS[action.dest]].lines)
    return OTHERS.get(action.dest, ())


def script() -> str:
    """Return the file for bash.

    Raises:
        InputError: shtab isn't installed.
    """
    try:
        import shtab
    except ImportError:
        raise InputError("completion needs the package shtab: pip install 'fl-tiprdc[completion]'") from None
    program = argparse.ArgumentParser(PROGRAM, add_help=False)
    commands = program.add_subparsers()
    functions: list[str] = []
    for name, build in PARSERS.items():
        parser = build()
        for action in parser.actions:
            if words := _names(action, parser):
                function = f"_fl_tiprdc_{name}_{action.dest}".replace("-", "_")
                template = _CONFIG if action.dest == "config" else _LIST
                functions.append(template.format(name=function, words=" ".join(words)))
                action.complete = {"bash": function}  # type: ignore[attr-defined]
            elif action.dest in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        commands.add_parser(name, parents=[parser], add_help=False, help=SUBCOMMANDS[name].summary)
    commands.add_parser("completion", add_help=False, help=SUBCOMMANDS["completion"].summary)
    group = commands.add_parser(GROUP, add_help=False, help="real clients").add_subparsers()
    for name, subcommand in SUBCOMMANDS.items():
        if name.startswith(GROUP):
            group.add_parser(name.removeprefix(GROUP).strip(), add_help=False, help=subcommand.summary)
    text: str = shtab.complete(program, "bash", preamble={"bash": "\n".join(functions)})  # type: ignore[arg-type]
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the file."""
    Parser(__doc__ or "").parse_args(arguments)
    print(script())
