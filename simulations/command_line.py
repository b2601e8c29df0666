"""The command line that entry points share: flags over a TOML file over defaults, and kind failures."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from fl_tiprdc.config import QUICK, Experiment, build_experiment, merge, read_toml
from fl_tiprdc.data import DATASETS, load_population
from fl_tiprdc.data.partition import parse_partition
from fl_tiprdc.errors import InputError, choose
from fl_tiprdc.evaluation.audit import check_panel
from fl_tiprdc.federated.launch import RUNTIMES
from strategies.hybrid_strategy import TooManyFailuresError

WRONG_INPUT, FAILED = 2, 1


class Parser(argparse.ArgumentParser):
    """Answers a wrong flag with one line."""

    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit status 2."""
        self.exit(WRONG_INPUT, f"error: {message}\n")


def words(text: str) -> tuple[str, ...]:
    """Comma-separated words."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _default(name: str) -> str:
    value: Any = Experiment.model_fields[name].default
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _numbers(kind: Callable[[str], Any], text: str, flag: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(word) for word in words(text))
    except ValueError:
        raise InputError(f"--{flag} '{text}': give numbers with commas between them") from None


# flag -> how its text becomes the experiment's value; help and default come from the experiment
FLAGS: dict[str, Callable[[str], Any]] = {
    "clients": str,
    "dataset": str,
    "private": words,
    "partition": str,
    "methods": words,
    "lambdas": lambda text: _numbers(float, text, "lambdas"),
    "seeds": lambda text: _numbers(int, text, "seeds"),
    "runtime": str,
    "actors": str,
}


def experiment_parser(description: str) -> Parser:
    """A parser with a flag for each of the experiment's main settings."""
    parser = Parser(description=description)
    for flag in FLAGS:
        parser.add_argument(
            f"--{flag}",
            metavar=flag.upper(),
            help=f"{Experiment.model_fields[flag].description} (default: {_default(flag)})",
        )
    parser.add_argument("--rounds", metavar="ROUNDS", help="rounds that update the extractor (default: see --show)")
    parser.add_argument("--output", type=Path, help="folder of the results (default: results/ and a name)")
    parser.add_argument("--quick", action="store_true", help="a small run of about a minute")
    parser.add_argument("--config", type=Path, help="a TOML file with any setting; flags win over it")
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
    check_panel(experiment.audit)
    parse_partition(experiment.partition)
    population = load_population(experiment.dataset, experiment.private, experiment.held_out)
    if experiment.clients > len(population.contributors):
        raise InputError(
            f"{experiment.clients} clients but only {len(population.contributors)} contributing records: "
            "ask for at most that many clients"
        )
    return experiment


def guard(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run an entry point: status 2 and one line for wrong input, status 1 and one line for a failed run."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        main(None)
    except InputError as error:
        errors.print(f"error: {error}")
        sys.exit(WRONG_INPUT)
    except (TooManyFailuresError, TimeoutError) as error:
        errors.print(f"failed: {error}")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        errors.print("interrupted: nothing was written")
        sys.exit(130)
    sys.exit(0)
