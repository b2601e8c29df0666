"""Completion of flags and names by TAB, for bash: prints a file to be read by the shell when it starts.

python simulations/completion.py > ~/.fl-tiprdc.bash
echo 'source ~/.fl-tiprdc.bash' >> ~/.bashrc

After that, TAB completes what follows "python simulations/run.py" and the other programs: flags, names of data sets,
methods, attacks and so on (in lists with commas too), files. Make the file anew when names have been added.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

from fl_tiprdc.catalogue import contents
from fl_tiprdc.command_line.flags import experiment_parser
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.help_topics import ALL, has_topics, topics_of
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.commands.audit import audit_parser
from fl_tiprdc.commands.compare import compare_parser
from fl_tiprdc.errors import InputError
from simulations.benchmark import benchmark_parser
from simulations.partitions import partitions_parser
from simulations.updates import updates_parser

PARSERS: Mapping[str, Callable[[], Parser]] = {
    "run": lambda: experiment_parser(""),
    "flwr_run": lambda: experiment_parser(""),
    "partitions": partitions_parser,
    "audit": audit_parser,
    "compare": compare_parser,
    "updates": updates_parser,
    "benchmark": benchmark_parser,
}
# flag -> what there is to choose from
KINDS: Mapping[str, str] = {
    "dataset": "data-sets",
    "methods": "methods",
    "method": "methods",
    "baselines": "baselines",
    "attacks": "further-attacks",
    "partition": "partitions",
    "partitions": "partitions",
    "exchanges": "exchanges",
    "aggregation": "aggregations",
    "runtime": "runtimes",
    "runtimes": "runtimes",
}
OTHERS: Mapping[str, tuple[str, ...]] = {"settings": ("baseline", "centralized", "federated")}
FILES = ("data", "labels", "raw", "config", "publication", "output", "data_root", "runs")
# what follows the last comma is completed, and what precedes it kept
_LIST = """
{name}() {{
  local before="${{1%"${{1##*,}}"}}"
  compgen -P "$before" -W "{words}" -- "${{1##*,}}"
}}"""
# "python simulations/run.py ...": as if the program had been called alone; anything else as without this file
_PYTHON = """
_fl_tiprdc_python() {{
  case "${{COMP_WORDS[1]}}" in
{cases}
    *) return 0 ;;
  esac
}}
complete -o bashdefault -o default -F _fl_tiprdc_python python python3
"""
_CASE = """    simulations/{name}.py|*/simulations/{name}.py)
      (( COMP_CWORD > 1 )) || return 0
      COMP_WORDS=("${{COMP_WORDS[@]:1}}"); COMP_CWORD=$((COMP_CWORD - 1)); _shtab_fl_tiprdc_{name} ;;"""


def _names(action: argparse.Action, parser: Parser) -> tuple[str, ...]:
    """What a flag's value can be; empty: anything."""
    if action.dest == "help":
        return (*topics_of(parser._actions), ALL) if has_topics(parser._actions) else ()
    if action.dest in KINDS:
        return tuple(contents()[KINDS[action.dest]].lines)
    return OTHERS.get(action.dest, ())


def script() -> str:
    """The file for bash.

    Raises:
        InputError: shtab isn't installed.
    """
    try:
        import shtab
    except ImportError:
        raise InputError("completion needs the package shtab: pip install 'fl-tiprdc[completion]'") from None
    parts: list[str] = []
    for name, build in PARSERS.items():
        parser = build()
        parser.prog = f"{name}.py"
        functions: list[str] = []
        for action in parser._actions:
            if words := _names(action, parser):
                function = f"_fl_tiprdc_{name}_{action.dest}"
                functions.append(_LIST.format(name=function, words=" ".join(words)))
                action.complete = {"bash": function}  # type: ignore[attr-defined]
            elif action.dest in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        before: dict[str, str] = {"bash": "\n".join(functions)}
        text = shtab.complete(parser, "bash", root_prefix=f"fl_tiprdc_{name}", preamble=before)  # type: ignore[arg-type]
        parts.append(text)
    cases = "\n".join(_CASE.format(name=name) for name in PARSERS)
    return "\n".join([*parts, _PYTHON.format(cases=cases)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the file."""
    Parser(__doc__ or "").parse_args(arguments)
    print(script())


if __name__ == "__main__":
    guard(main)
