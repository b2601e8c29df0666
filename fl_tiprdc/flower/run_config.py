"""Flower's run config as the flags of `fl-tiprdc run`: the same names, the same meaning."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from fl_tiprdc.command_line.flags import FLAGS, experiment_parser, read_run
from fl_tiprdc.command_line.presets import PRESETS
from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.experiment.run_folder import CHECKOUT, default_output
from fl_tiprdc.flower.config_keys import COORDINATOR, OPEN_UPDATES

Value = str | int | float | bool
ELSEWHERE = ("runtime", "actors", "ray_address")  # how clients are run, Flower's federation config says
OF_DEPLOYMENTS = (COORDINATOR, OPEN_UPDATES)  # what no flag of a run says
PATHS = ("data", "data-root", "output", "config")


def run_config_defaults() -> dict[str, Value]:
    """Return what `[tool.flwr.app.config]` holds: each flag with its default; "": nothing, or the data set's own."""
    values: dict[str, Value] = {}
    for name, flag in FLAGS.items():
        if name not in ELSEWHERE:
            value = flag.field.default
            text = ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else value
            values[name.replace("_", "-")] = text if isinstance(text, int) else str(text)
    return values | {"output": "", "quick": False, "resume": False, "config": "", COORDINATOR: "", OPEN_UPDATES: False}


def base_folder() -> Path:
    """Return where relative paths of a run config begin: in the checkout, or without one in the current folder."""
    return CHECKOUT or Path.cwd()


def flags_of(run_config: Mapping[str, Value]) -> list[str]:
    """Return the run config as arguments of `fl-tiprdc run`. A value equal to the default is left out.

    Paths that aren't absolute begin in `base_folder()`, wherever Flower has started this process.
    """
    defaults = run_config_defaults()
    arguments: list[str] = []
    for name, default in defaults.items():
        value = run_config.get(name, default)
        if name in OF_DEPLOYMENTS or str(value) == str(default):
            continue
        if isinstance(default, bool):
            arguments.append(f"--{name}")
        else:
            path = name in PATHS and not (name == "config" and value in PRESETS)
            arguments.append(f"--{name}={base_folder() / str(value) if path else value}")
    return arguments


def given(run_config: Mapping[str, Value]) -> argparse.Namespace:
    """Parse the run config as a run parses its flags."""
    return experiment_parser("").parse_args(flags_of(run_config))


def read_run_config(run_config: Mapping[str, Value], runtime: str) -> tuple[Experiment, Population, Path]:
    """Return the experiment, its people, and the folder of its results.

    Raises:
        InputError: naming the value and what is allowed.
    """
    parsed = given(run_config)
    experiment, population = read_run(parsed)
    experiment = experiment.model_copy(update={"runtime": runtime})
    return experiment, population, parsed.output or base_folder() / "results" / default_output(experiment).name
