"""Flower's run config as the flags of run.py: the same names, the same meaning."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import tomli_w

from fl_tiprdc.command_line.flags import FLAGS, experiment_parser, read_run
from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.experiment.run_folder import ROOT, default_output
from fl_tiprdc.flower.config_keys import COORDINATOR, OPEN_UPDATES

Value = str | int | float | bool
ELSEWHERE = ("runtime", "actors", "ray_address")  # how clients are run, Flower's federation config says
OF_DEPLOYMENTS = (COORDINATOR, OPEN_UPDATES)  # what no flag of run.py says
PATHS = ("data", "data-root", "output", "config")


def run_config_defaults() -> dict[str, Value]:
    """What `[tool.flwr.app.config]` holds: each flag with its default; "": nothing, or the data set's own."""
    values: dict[str, Value] = {}
    for name, flag in FLAGS.items():
        if name not in ELSEWHERE:
            value = flag.field.default
            text = ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else value
            values[name.replace("_", "-")] = text if isinstance(text, int) else str(text)
    return values | {"output": "", "quick": False, "resume": False, "config": "", COORDINATOR: "", OPEN_UPDATES: False}


def flags_of(run_config: Mapping[str, Value]) -> list[str]:
    """The run config as arguments of run.py. A value equal to the default is as good as not given.

    Paths that aren't absolute begin at the project's root, wherever Flower has started this process.
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
            arguments.append(f"--{name}={ROOT / str(value) if name in PATHS else value}")
    return arguments


def given(run_config: Mapping[str, Value]) -> argparse.Namespace:
    """The run config, parsed as run.py parses its flags."""
    return experiment_parser("").parse_args(flags_of(run_config))


def read_run_config(run_config: Mapping[str, Value], runtime: str) -> tuple[Experiment, Population, Path]:
    """Return the experiment, its people, and the folder of its results.

    Raises:
        InputError: naming the value and what is allowed.
    """
    parsed = given(run_config)
    experiment, population = read_run(parsed)
    experiment = experiment.model_copy(update={"runtime": runtime})
    return experiment, population, parsed.output or default_output(experiment)


if __name__ == "__main__":  # for [tool.flwr.app.config], when a flag is new
    print(tomli_w.dumps(run_config_defaults()))
