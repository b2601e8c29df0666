"""A whole deployment on this machine: certificates, one SuperLink, a SuperNode a client, a run, an end.

python simulations/deploy/loopback.py --clients 3 --methods tiprdc --rounds 2 --output results/deployed

Takes the flags of run.py. Every client is a process of its own with a folder of its own, and talks to the server over
TLS with its own key, as on three machines (docs/deployment.md), but all of them listen on 127.0.0.1 only. An exchange
takes seconds, since Flower starts a process for each message: choose methods that exchange weights, and few rounds.
"""

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from simulations.command_line import experiment_parser, guard, read_experiment
from simulations.deploy.certificates import LOOPBACK, make_certificates, make_node_key
from simulations.deploy.processes import CONNECTION, LoopbackDeployment
from simulations.deploy.split import client_folder, coordinator_folder, split
from simulations.flower.client import COORDINATOR
from simulations.flower.commands import submit
from simulations.flwr_run import run_config_of


def start_all(deployment: LoopbackDeployment, clients: int, folders: Path) -> None:
    """Start the SuperLink, and a node for each client's folder under `folders`."""
    deployment.start_superlink()
    for client in range(clients):
        key = make_node_key(deployment.keys, client)
        deployment.register(key)
        node_config: dict[str, str | int | float] = {
            "data": str(client_folder(folders, client)),
            "partition-id": client,
        }
        deployment.start_node(key.name, key, node_config)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, set up, run, end."""
    parsed = experiment_parser(__doc__ or "").parse_args(arguments)
    experiment = read_experiment(parsed)
    signal.signal(signal.SIGTERM, _interrupt)  # a kind kill, too, ends the processes
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
        root = Path(folder)
        split(experiment, root)
        make_certificates(root / "keys", LOOPBACK)
        with LoopbackDeployment(root / "flower", root / "keys") as deployment:
            start_all(deployment, experiment.clients, root)
            run_config = run_config_of(parsed) | {COORDINATOR: str(coordinator_folder(root))}
            submit(run_config, CONNECTION, home=deployment.home)


if __name__ == "__main__":
    guard(main)
