"""`flwr run .` with run.py's flags, and an exit status: Flower's own is 0 even when a run failed.

python simulations/flwr_run.py --clients 10 --quick

Without --coordinator it is a simulation, with as many nodes as clients. With it, the SuperLink's nodes are real
clients: see docs/deployment.md.
"""

from collections.abc import Sequence
from pathlib import Path

from simulations.command_line import FLAGS, experiment_parser, given_experiment, guard, read_experiment
from simulations.flower_commands import submit
from simulations.run_config import ELSEWHERE, PATHS, Value


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, check, run."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument("--connection", default="", help="SuperLink, as Flower's config.toml names it (default: its)")
    parser.add_argument("--coordinator", type=Path, help="folder of a deployment's server (default: none)")
    parsed = parser.parse_args(arguments)
    experiment = given_experiment(parsed) if parsed.coordinator else read_experiment(parsed)
    run_config: dict[str, Value] = {"quick": True} if parsed.quick else {}
    for name in (*FLAGS, "output", "config", "coordinator"):
        value, key = getattr(parsed, name), name.replace("_", "-")
        if value is not None and name not in ELSEWHERE:
            whole = str(Path(value).resolve()) if key in (*PATHS, "coordinator") else str(value)
            run_config[key] = True if name in FLAGS and FLAGS[name].switch else whole
    simulated = 0 if parsed.coordinator else experiment.clients
    submit(run_config, parsed.connection, simulated, experiment.actors)


if __name__ == "__main__":
    guard(main)
