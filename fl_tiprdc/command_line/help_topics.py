"""The text of --help: a screen of main flags and a list of topics, or one topic, or everything."""

import argparse
import difflib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fl_tiprdc.config import Experiment
from fl_tiprdc.methods import MethodConfig

ALL = "all"


@dataclass(frozen=True)
class Topic:
    """Hold a group of flags.

    Attributes:
        summary: what it is about, in a few words.
        flags: names of its flags, as argparse keeps them.
        tables: of a configuration file, whose other settings belong to it.
    """

    summary: str
    flags: tuple[str, ...]
    tables: tuple[str, ...] = ()


TOPICS: Mapping[str, Topic] = {
    "data": Topic(
        "whose data, what to hide, which tasks",
        (
            "dataset",
            "private",
            "tasks",
            "data",
            "data_root",
            "participant",
            "records",
            "size",
            "missing",
            "unite_spellings",
        ),
        ("data",),
    ),
    "methods": Topic(
        "what is trained, and what it is compared with",
        ("settings", "methods", "baselines", "lambdas", "seeds"),
        ("method", "network", "centralized"),
    ),
    "federation": Topic(
        "who holds what, and how clients and server work together",
        ("clients", "partition", "rounds"),
        ("federation",),
    ),
    "protection": Topic(
        "guards against hostile clients and a curious server",
        ("aggregation", "dp_noise", "secagg"),
        ("protection",),
    ),
    "audit": Topic("attackers, probes, further attacks", ("attacks", "known"), ("audit",)),
    "machine": Topic("what runs the clients, and where", ("runtime", "actors", "ray_address")),
    "output": Topic("what is read and written", ("output", "resume", "track", "quick", "config")),
}
# flags of topics that the first screen shows as well
MAIN = ("dataset", "private", "clients", "partition", "methods", "lambdas", "seeds", "output", "quick", "config")
FEW = 15  # flags that fit a screen without topics


def has_topics(actions: Sequence[argparse.Action]) -> bool:
    """Return whether a parser has so many flags that its help is split."""
    return len(actions) > FEW


def _shown(actions: Sequence[argparse.Action], topic: str) -> list[argparse.Action]:
    """Return the flags of one topic; without one the main flags, and those in no topic: a program's own."""
    if topic == ALL:
        return list(actions)
    if topic:
        return [action for action in actions if action.dest in TOPICS[topic].flags]
    elsewhere = {flag for one in TOPICS.values() for flag in one.flags} - set(MAIN)
    return [action for action in actions if action.dest not in {*elsewhere, "help"}]


def topics_of(actions: Iterable[argparse.Action]) -> dict[str, Topic]:
    """Return the topics in which a parser has flags."""
    names = {action.dest for action in actions}
    return {name: topic for name, topic in TOPICS.items() if names & set(topic.flags)}


def _settings(topic: Topic, flagged: Iterable[str]) -> list[str]:
    """Settings of a topic's tables that have no flag, a line a table: "[audit] attackers, probes"."""
    lines: list[str] = []
    for table in topic.tables:
        model = MethodConfig if table == "method" else type(Experiment.model_fields[table].default)
        names = [name for name in model.model_fields if f"{table}.{name}" not in flagged]
        heading = "[method.NAME]" if table == "method" else f"[{table}]"
        lines.append(f"{heading} {', '.join(names)}")
    return lines


def _flagless(topic: Topic, flagged: Iterable[str]) -> str:
    """Return the list of a topic's settings that have no flag; empty: it has none."""
    lines = [
        textwrap.fill(line, 78, initial_indent="  ", subsequent_indent="    ") for line in _settings(topic, flagged)
    ]
    return "\n".join(["settings without a flag, in a file for --config:", *lines]) if lines else ""


def screen_of(
    prog: str, description: str | None, actions: Sequence[argparse.Action], topic: str, flagged: Iterable[str]
) -> tuple[argparse.ArgumentParser, list[argparse.Action]]:
    """Return a parser whose help is one screen of a larger parser's, still without flags, and the flags it shows.

    Args:
        prog: name of the program.
        description: what it does.
        actions: its flags.
        topic: one of its topics, or "all"; empty: the first screen.
        flagged: settings that have a flag, as "table.name".
    """
    if found := TOPICS.get(topic):
        description, epilog = f"{found.summary.capitalize()}.", _flagless(found, flagged)
    else:
        names = f"{', '.join(topics_of(actions))}, {ALL}"
        epilog = "" if topic else textwrap.fill(f"--help TOPIC has more. Topics are {names}.", 80)
    layout = partial(argparse.RawDescriptionHelpFormatter, max_help_position=22)
    parser = argparse.ArgumentParser(
        prog, "%(prog)s [FLAGS]", description, epilog, formatter_class=layout, add_help=False
    )
    return parser, _shown(actions, topic)


def meant(message: str, actions: Iterable[argparse.Action]) -> str:
    """Return what the writer of an unknown flag may have meant: "; did you mean --rounds?"; else the main flags."""
    actions = list(actions)
    flags = [option for action in actions for option in action.option_strings]
    unknown = [word.split("=")[0].rstrip(":") for word in message.split() if word.startswith("--")]
    close = [near for word in unknown if word not in flags for near in difflib.get_close_matches(word, flags, 1)]
    if close:
        return f"; did you mean {close[0]}?"
    main = [action.option_strings[-1] for action in _shown(actions, "") if action.option_strings]
    return f"; flags are {', '.join(main)}" if message.startswith("unrecognized") else ""
