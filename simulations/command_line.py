"""The command line that entry points share: flags over a TOML file over defaults, and kind failures."""

import argparse
import errno
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.config import QUICK, AuditConfig, Experiment, build_experiment, merge, read_toml
from fl_tiprdc.data import DATASETS, load_population
from fl_tiprdc.data.own_table import DataNotice
from fl_tiprdc.data.partition import check_clients, parse_partition
from fl_tiprdc.errors import InputError, RunFailedError, require_known
from fl_tiprdc.evaluation import known_record
from fl_tiprdc.evaluation.audit import check_panel
from fl_tiprdc.evaluation.further_attacks import named_attacks
from fl_tiprdc.evaluation.known_record import check_ladders, named_ladders
from fl_tiprdc.evaluation.privacy_budget import check_accountant
from fl_tiprdc.federated.launch import RUNTIMES
from simulations.help_topics import ShowHelp, format_topic, has_topics, meant
from simulations.tracking.trackers import named_trackers
from strategies.hybrid_strategy import TooManyFailuresError
from strategies.robust import check_aggregation

WRONG_INPUT, FAILED = 2, 1
# what a disk has against being written to
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


class Parser(argparse.ArgumentParser):
    """Answers a wrong flag with one line, and --help with a screen."""

    def __init__(self, description: str) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=formatter, add_help=False)
        self._negative_number_matcher = re.compile(r"-[\d.]")  # "-0.5,1" is a value too, not a flag
        self.topic = ""  # of the help
        text = "show this help, or that on a topic, and exit"
        self.add_argument(
            "-h", "--help", action=ShowHelp, nargs="?", metavar="TOPIC", default=argparse.SUPPRESS, help=text
        )

    def format_help(self) -> str:
        """Everything if it fits a screen, else main flags and topics, or the topic that was asked for."""
        if not has_topics(self._actions):
            return super().format_help()
        return format_topic(self, self.topic, [flag.setting for flag in FLAGS.values()])

    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit status 2."""
        text = f"{message}{meant(message, self._actions)} (--help lists the flags)"
        self.exit(WRONG_INPUT, f"error: {_one_line(text)}\n")


def _one_line(text: object) -> str:
    """On one line, and with nothing in it that a terminal would obey."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def words(text: str) -> tuple[str, ...]:
    """Comma-separated words."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(kind: Callable[[str], Any], text: str, flag: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(word) for word in words(text))
    except ValueError:
        wanted = "whole numbers" if kind is int else "numbers"
        raise InputError(f"--{flag} '{text}': give {wanted} with commas between them") from None


def some_words(text: str, flag: str) -> tuple[str, ...]:
    """Comma-separated words, of which there is one at least.

    Raises:
        InputError: there is none.
    """
    if not (found := words(text)):
        raise InputError(f"--{flag} '{text}': name at least one, or leave the flag out")
    return found


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
    """A flag of the command line; its help and default come from the setting.

    Attributes:
        setting: the setting it gives, as in a TOML file: the names of its tables and its own, with dots between.
        read: how its text becomes the setting's value.
        switch: it takes no text, and turns the setting on.
    """

    setting: str
    read: Callable[[str], Any] = str
    switch: bool = False

    @property
    def field(self) -> FieldInfo:
        """The setting's description and default."""
        *tables, name = self.setting.split(".")
        fields = Experiment.model_fields
        for table in tables:
            fields = type(fields[table].default).model_fields
        return fields[name]

    @property
    def help(self) -> str:
        """What the setting is, and its default."""
        value, text = self.field.default, self.field.description or ""
        if value is None or value in ("", ()):
            default = OWN if OWN in text else "none"
        else:
            default = ",".join(map(str, value)) if isinstance(value, tuple) else "off" if self.switch else str(value)
        return f"{text} (default: {default})"

    def nested(self, text: str) -> dict[str, Any]:
        """The setting with its value, in the tables that it is in."""
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
    "data": Flag("data.file", lambda text: _file(text, "data")),
    "data_root": Flag("data.root", lambda text: _file(text, "data-root")),
    "participant": Flag("data.participant"),
    "records": Flag("data.records"),
    "size": Flag("data.size", _height_width),
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
    "ray_address": Flag("ray_address"),
    "track": Flag("track", lambda text: some_words(text, "track")),
    "rounds": Flag("federation.rounds"),
    "aggregation": Flag("federation.aggregation"),
    "dp_noise": Flag("protection.noise"),
    "secagg": Flag("protection.secagg", switch=True),
}


def _require_text(text: str, flag: str) -> None:
    """Check that a value can be written to a file again: bytes that are no UTF-8 can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"--{flag.replace('_', '-')} {text!a}: give text in UTF-8") from None


def check_used(audit: AuditConfig) -> None:
    """Check that no columns are named for an attack that isn't asked for.

    Raises:
        InputError: saying how to ask for it.
    """
    if audit.known and known_record.KIND not in audit.further:
        raise InputError(
            f"columns that attackers know ({', '.join(audit.known)}) are for the attack {known_record.KIND}, which "
            f"isn't asked for: name it in --attacks"
        )


def experiment_parser(description: str) -> Parser:
    """A parser with a flag for each of the experiment's main settings."""
    parser = Parser(description=description)
    for name, flag in FLAGS.items():
        shape: dict[str, Any] = {"action": "store_const", "const": "true"} if flag.switch else {"metavar": name.upper()}
        parser.add_argument(f"--{name.replace('_', '-')}", help=flag.help.replace("%", "%%"), **shape)
    parser.add_argument("--output", type=Path, help="folder of the results (default: results/ and a name)")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run (default: start anew)")
    parser.add_argument("--quick", action="store_true", help="a small run of a minute or two (default: off)")
    parser.add_argument("--config", type=Path, help="a TOML file with any setting; flags win over it (default: none)")
    return parser


def given_experiment(arguments: argparse.Namespace) -> Experiment:
    """Defaults, then --quick, then --config, then flags; checked as far as that goes without data.

    Raises:
        InputError: naming the value and what is allowed.
    """
    values: dict[str, Any] = dict(QUICK) if arguments.quick else {}
    if arguments.config:
        values = merge(values, read_toml(arguments.config))
    for name, flag in FLAGS.items():
        if (text := getattr(arguments, name)) is not None:
            _require_text(text, name)
            values = merge(values, flag.nested(text))
    experiment = build_experiment(values)
    require_known("runtime", [experiment.runtime], RUNTIMES)
    require_known("baseline", (*experiment.baselines, *experiment.dials), BASELINES)
    check_panel(experiment.audit)
    check_aggregation(experiment)
    experiment.require_no_noise_on_counts()
    if experiment.protection.noise:
        check_accountant()
    audit = experiment.audit.model_copy(update={"further": named_attacks(experiment.audit.further)})
    check_used(audit)
    parse_partition(experiment.partition)
    return experiment.model_copy(update={"audit": audit, "track": named_trackers(experiment.track)})


def read_experiment(arguments: argparse.Namespace) -> Experiment:
    """The experiment that is given; checked as far as that goes without training.

    Raises:
        InputError: naming the value and what is allowed.
    """
    experiment = given_experiment(arguments)
    require_known("data set", [experiment.dataset], DATASETS)
    if not experiment.private:
        own = DATASETS[experiment.dataset].private
        if not own:
            raise InputError("name what to hide: --private COLUMN")
        experiment = experiment.model_copy(update={"private": own})
    population = load_population(experiment.dataset, experiment.private, experiment.held_out, experiment.data)
    crowd = population.contributors
    check_clients(crowd.private, experiment.clients, experiment.partition, crowd.participant)
    check_ladders(named_ladders(experiment.audit.known), crowd.description.columns)
    return experiment


def guard(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run an entry point: status 2 and one line for wrong input, status 1 and one line for a failed run.

    A notice about a person's data is one line too, said once.
    """
    show = warnings.formatwarning

    def short(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> str:
        return (
            f"note: {_one_line(message)}\n"
            if issubclass(category, DataNotice)
            else show(message, category, *rest, **named)
        )

    warnings.formatwarning = short
    try:
        main(None)
    except InputError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(WRONG_INPUT)
    except (TooManyFailuresError, TimeoutError, RunFailedError, ConnectionError) as error:
        print(f"failed: {_one_line(error)}", file=sys.stderr)
        sys.exit(FAILED)
    except OSError as error:
        if error.errno not in DISK:
            raise
        where = f" '{error.filename}'" if error.filename else ""
        print(f"failed: cannot write{where}: {_one_line(error.strerror)}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
