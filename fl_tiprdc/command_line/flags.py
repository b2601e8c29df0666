"""The flags of an experiment: over a TOML file, over --quick, over defaults."""

import argparse
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo

from fl_tiprdc.command_line.parser import Parser, one_name, require_text, some_words, words
from fl_tiprdc.command_line.presets import config_file
from fl_tiprdc.config import QUICK, Experiment, build_experiment, merge, read_toml
from fl_tiprdc.errors import InputError

if TYPE_CHECKING:
    from fl_tiprdc.data.crowd import Population


def _numbers(kind: Callable[[str], Any], text: str, flag: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(word) for word in words(text))
    except ValueError:
        wanted = "whole numbers" if kind is int else "numbers"
        raise InputError(f"--{flag} '{text}': give {wanted} with commas between them") from None


def _height_width(text: str) -> tuple[int, int]:
    sides = re.fullmatch(r"\s*(\d+)\s*(?:[xX,]\s*(\d+)\s*)?", text)
    if not sides:
        raise InputError(f"--size '{text}': give height and width in pixels, like 32x32")
    return int(sides[1]), int(sides[2] or sides[1])


def _file(text: str, flag: str) -> str:
    if not text.strip():
        raise InputError(f"--{flag} '{text}': give a path")
    return text


@dataclass(frozen=True)
class Flag:
    """Describe a flag of the command line; its help and default come from the setting.

    Attributes:
        setting: the setting it gives, as in a TOML file: the names of its tables and its own, with dots between.
        read: how its text becomes the setting's value.
        switch: it takes no text, and turns the setting on.
        value: what the help has in the value's place; empty: by its type.
    """

    setting: str
    read: Callable[[str], Any] = str
    switch: bool = False
    value: str = ""

    @property
    def field(self) -> FieldInfo:
        """Return the setting's description and default."""
        *tables, name = self.setting.split(".")
        fields = Experiment.model_fields
        for table in tables:
            fields = type(fields[table].default).model_fields
        return fields[name]

    @property
    def metavar(self) -> str:
        """Return what the help has in the value's place."""
        kind = str(self.field.annotation)
        named = (("tuple", "LIST"), ("int", "N"), ("float", "X"), ("", "NAME"))
        return self.value or next(value for part, value in named if part in kind)

    @property
    def help(self) -> str:
        """Return what the setting is, and its default."""
        value, text = self.field.default, self.field.description or ""
        if value is None or value in ("", ()):
            default = OWN if OWN in text else "none"
            text = text.partition(f"; none: {OWN}")[0].partition(f"; empty: {OWN}")[0]  # the default says so
        else:
            default = ",".join(map(str, value)) if isinstance(value, tuple) else "off" if self.switch else str(value)
        return f"{text} (default: {default})"

    def nested(self, text: str) -> dict[str, Any]:
        """Return the setting with its value, in the tables that it is in."""
        *tables, name = self.setting.split(".")
        values: dict[str, Any] = {name: self.read(text)}
        for table in reversed(tables):
            values = {table: values}
        return values


OWN = "the data set's own"  # how descriptions of settings say so
FLAGS: dict[str, Flag] = {
    "clients": Flag("clients"),
    "dataset": Flag("dataset"),
    "private": Flag("private", lambda text: some_words(text, "private")),
    "tasks": Flag("data.tasks", lambda text: some_words(text, "tasks")),
    "data": Flag("data.file", lambda text: _file(text, "data"), value="FILE"),
    "data_root": Flag("data.root", lambda text: _file(text, "data-root"), value="FOLDER"),
    "participant": Flag("data.participant", lambda text: one_name(text, "participant")),
    "records": Flag("data.records"),
    "size": Flag("data.size", _height_width, value="HxW"),
    "missing": Flag("data.missing", lambda text: some_words(text, "missing")),
    "unite_spellings": Flag("data.unite_spellings", switch=True),
    "partition": Flag("partition"),
    "settings": Flag("settings", words),
    "methods": Flag("methods", words),
    "baselines": Flag("baselines", words),
    "attacks": Flag("audit.further", lambda text: some_words(text, "attacks")),
    "known": Flag("audit.known", lambda text: some_words(text, "known")),
    "lambdas": Flag("lambdas", lambda text: _numbers(float, text, "lambdas")),
    "seeds": Flag("seeds", lambda text: _numbers(int, text, "seeds")),
    "runtime": Flag("runtime"),
    "actors": Flag("actors"),
    "ray_address": Flag("ray_address", value="ADDRESS"),
    "track": Flag("track", lambda text: some_words(text, "track")),
    "rounds": Flag("federation.rounds"),
    "aggregation": Flag("federation.aggregation"),
    "dp_noise": Flag("protection.noise"),
    "secagg": Flag("protection.secagg", switch=True),
}


DATA_FLAGS = tuple(name for name, flag in FLAGS.items() if name in ("dataset", "private") or "data." in flag.setting)


def experiment_parser(description: str, names: Collection[str] = ()) -> Parser:
    """Return a parser with a flag for each of the experiment's main settings.

    Args:
        description: what the program does.
        names: flags that it has, of a program that runs nothing; none: all, and those of a run.
    """
    parser = Parser(description, [flag.setting for flag in FLAGS.values()])
    for name, flag in ((name, flag) for name, flag in FLAGS.items() if not names or name in names):
        shape: dict[str, Any] = {"action": "store_const", "const": "true"} if flag.switch else {"metavar": flag.metavar}
        parser.add_argument(f"--{name.replace('_', '-')}", help=flag.help.replace("%", "%%"), **shape)
    text = "folder of the results (default: results/ and a name)"
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=text)
    if not names:
        text = "go on with an interrupted run (default: start anew)"
        parser.add_argument("--resume", action="store_true", help=text)
        parser.add_argument("--quick", action="store_true", help="a run of 90 seconds: tiprdc and coded (default: off)")
    text = "a TOML file with any setting, or the name of a preset; flags win over it (default: none)"
    parser.add_argument("--config", metavar="FILE", help=text)
    return parser


def given_experiment(arguments: argparse.Namespace) -> Experiment:
    """Read defaults, then --quick, then --config, then flags; check them as far as that goes without data.

    Raises:
        InputError: naming the value and what is allowed.
    """
    values: dict[str, Any] = dict(QUICK) if getattr(arguments, "quick", False) else {}
    if arguments.config:
        values = merge(values, read_toml(config_file(arguments.config)))
    for name, flag in FLAGS.items():
        if (text := getattr(arguments, name, None)) is not None:
            require_text(text, name)
            values = merge(values, flag.nested(text))
    experiment = build_experiment(values)
    from fl_tiprdc.experiment.checking import check_settings  # takes seconds, which help and wrong values needn't

    return check_settings(experiment)


def read_experiment(arguments: argparse.Namespace) -> Experiment:
    """Return the experiment that is given; checked as far as that goes without training.

    Raises:
        InputError: naming the value and what is allowed.
    """
    return read_run(arguments)[0]


def read_run(arguments: argparse.Namespace) -> "tuple[Experiment, Population]":
    """Return the experiment that is given and its people, checked as far as that goes without training.

    Raises:
        InputError: naming the value and what is allowed.
    """
    experiment = given_experiment(arguments)
    from fl_tiprdc.experiment.checking import load_checked

    return load_checked(experiment)
