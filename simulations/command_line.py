"""The command line that entry points share: flags over a TOML file over defaults, and kind failures."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.config import QUICK, Experiment, FederationConfig, build_experiment, merge, read_toml
from fl_tiprdc.data import DATASETS, load_population
from fl_tiprdc.data.partition import check_clients, parse_partition
from fl_tiprdc.errors import InputError, choose
from fl_tiprdc.evaluation.audit import check_panel
from fl_tiprdc.federated.launch import RUNTIMES
from strategies.hybrid_strategy import TooManyFailuresError

WRONG_INPUT, FAILED = 2, 1


class Parser(argparse.ArgumentParser):
    """Answers a wrong flag with one line."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self._negative_number_matcher = re.compile(r"-[\d.]")  # "-0.5,1" is a value too, not a flag

    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit status 2."""
        self.exit(WRONG_INPUT, f"error: {_one_line(f'{message} ({self.format_usage()})')}\n")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def words(text: str) -> tuple[str, ...]:
    """Comma-separated words."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _default(name: str) -> str:
    value: Any = Experiment.model_fields[name].default
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value) or "none"


def _numbers(kind: Callable[[str], Any], text: str, flag: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(word) for word in words(text))
    except ValueError:
        wanted = "whole numbers" if kind is int else "numbers"
        raise InputError(f"--{flag} '{text}': give {wanted} with commas between them") from None


# flag -> how its text becomes the experiment's value; help and default come from the experiment
FLAGS: dict[str, Callable[[str], Any]] = {
    "clients": str,
    "dataset": str,
    "private": words,
    "partition": str,
    "settings": words,
    "methods": words,
    "baselines": words,
    "lambdas": lambda text: _numbers(float, text, "lambdas"),
    "seeds": lambda text: _numbers(int, text, "seeds"),
    "runtime": str,
    "actors": str,
    "ray_address": str,
}


def experiment_parser(description: str) -> Parser:
    """A parser with a flag for each of the experiment's main settings."""
    parser = Parser(description=description)
    for flag in FLAGS:
        parser.add_argument(
            f"--{flag.replace('_', '-')}",
            metavar=flag.upper(),
            help=f"{Experiment.model_fields[flag].description} (default: {_default(flag)})",
        )
    rounds = FederationConfig.model_fields["rounds"]
    parser.add_argument("--rounds", metavar="ROUNDS", help=f"{rounds.description} (default: {rounds.default})")
    parser.add_argument("--output", type=Path, help="folder of the results (default: results/ and a name)")
    parser.add_argument("--quick", action="store_true", help="a small run of about a minute (default: off)")
    parser.add_argument("--config", type=Path, help="a TOML file with any setting; flags win over it (default: none)")
    return parser


def read_experiment(arguments: argparse.Namespace) -> Experiment:
    """Defaults, then --quick, then --config, then flags; checked as far as that goes without training.

    Raises:
        InputError: naming the value and what is allowed.
    """
    values: dict[str, Any] = dict(QUICK) if arguments.quick else {}
    if arguments.config:
        values = merge(values, read_toml(arguments.config))
    flags = {name: read(text) for name, read in FLAGS.items() if (text := getattr(arguments, name)) is not None}
    if arguments.rounds is not None:
        flags["federation"] = {"rounds": arguments.rounds}
    experiment = build_experiment(merge(values, flags))
    if experiment.runtime not in RUNTIMES:
        raise choose("runtime", experiment.runtime, RUNTIMES)
    if experiment.dataset not in DATASETS:
        raise choose("data set", experiment.dataset, DATASETS)
    if not experiment.private:
        experiment = experiment.model_copy(update={"private": DATASETS[experiment.dataset].private})
    for name in (*experiment.baselines, *experiment.dials):
        if name not in BASELINES:
            raise choose("baseline", name, BASELINES)
    check_panel(experiment.audit)
    parse_partition(experiment.partition)
    population = load_population(experiment.dataset, experiment.private, experiment.held_out, experiment.data)
    crowd = population.contributors
    check_clients(crowd.private, experiment.clients, experiment.partition, crowd.participant)
    return experiment


def guard(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run an entry point: status 2 and one line for wrong input, status 1 and one line for a failed run."""
    try:
        main(None)
    except InputError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(WRONG_INPUT)
    except (TooManyFailuresError, TimeoutError) as error:
        print(f"failed: {_one_line(error)}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
