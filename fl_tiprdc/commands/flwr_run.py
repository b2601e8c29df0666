"""`flwr run` with the flags of fl-tiprdc run, and an exit status: Flower's own is 0 even when a run failed.

fl-tiprdc flwr-run --clients 10 --quick

Without --coordinator it is a simulation, with as many nodes as clients. With it, the SuperLink's nodes are real
clients: see docs/deployment.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.flags import FLAGS, experiment_parser, given_experiment, read_experiment
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.command_line.presets import config_file
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.run_folder import default_output
from fl_tiprdc.flower.commands import submit
from fl_tiprdc.flower.config_keys import COORDINATOR, OPEN_UPDATES
from fl_tiprdc.flower.coordinator import deployment_output
from fl_tiprdc.flower.run_config import ELSEWHERE, PATHS, Value


def add_open_updates(parser: argparse.ArgumentParser) -> None:
    """Add the flag that turns a deployment's protection off."""
    text = "the server may see the updates of single clients (default: secure aggregation hides them)"
    parser.add_argument(f"--{OPEN_UPDATES}", action="store_true", help=text)


def run_config_of(parsed: argparse.Namespace) -> dict[str, Value]:
    """Return the flags as Flower's run config; paths are made absolute."""
    run_config: dict[str, Value] = {name: True for name in ("quick", "resume") if getattr(parsed, name)}
    for name in (*FLAGS, "output", "config"):
        value, key = getattr(parsed, name), name.replace("_", "-")
        if name == "config" and value is not None:
            value = config_file(value)
        if value is not None and name not in ELSEWHERE:
            run_config[key] = str(Path(value).resolve()) if key in PATHS else str(value)
    return run_config


def flwr_run_parser() -> Parser:
    """Return the parser of the flags."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument("--connection", default="", help="SuperLink, as Flower's config.toml names it (default: its)")
    parser.add_argument("--coordinator", type=Path, help="folder of a deployment's server (default: none)")
    add_open_updates(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, check, run."""
    parsed = flwr_run_parser().parse_args(arguments)
    if parsed.coordinator:
        parsed.output = parsed.output or deployment_output(given_experiment(parsed))
        deployed = {COORDINATOR: str(parsed.coordinator.resolve()), OPEN_UPDATES: parsed.open_updates}
        submit(run_config_of(parsed) | deployed, parsed.connection)
    elif parsed.open_updates:
        raise InputError("--open-updates is for real clients: name the server's folder with --coordinator")
    else:
        experiment = read_experiment(parsed)
        parsed.output = parsed.output or default_output(experiment)
        submit(run_config_of(parsed), parsed.connection, experiment.clients, experiment.actors)
