"""A whole deployment on this machine: certificates, one SuperLink, a SuperNode a client, a run, an end.

fl-tiprdc deploy loopback --clients 10 --output results/deployed

Takes the flags of fl-tiprdc run, but trains `coded` alone unless other methods are given: its 40 exchanges take
minutes, the 2,000 of `tiprdc+` an hour. Every client is a node of its own with a folder of its own, and talks to the
server over TLS with its own key, as on ten machines (docs/deployment.md), but all of them listen on 127.0.0.1 only,
unless there is a link: with --link 40ms,20mbit,1% each client is a host of its own, 40 ms from the server each way,
with 20 Mbit/s each way and 1 % of the packets lost; that takes root and Linux.
"""

import argparse
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

from fl_tiprdc.command_line.flags import experiment_parser, read_run
from fl_tiprdc.command_line.presets import config_file
from fl_tiprdc.commands.flwr_run import add_open_updates, run_config_of
from fl_tiprdc.config import read_toml
from fl_tiprdc.deploy.certificates import LOOPBACK, make_certificates, make_node_key
from fl_tiprdc.deploy.emulated_hosts import EmulatedHosts, read_link
from fl_tiprdc.deploy.processes import CONNECTION, LoopbackDeployment
from fl_tiprdc.deploy.split import client_folder, coordinator_folder, split
from fl_tiprdc.errors import InputError
from fl_tiprdc.flower.commands import submit
from fl_tiprdc.flower.config_keys import COORDINATOR, OPEN_UPDATES
from fl_tiprdc.flower.coordinator import deployment_output

METHODS = "coded"  # unless others are given


def start_all(deployment: LoopbackDeployment, clients: int, folders: Path) -> None:
    """Start the SuperLink, and a node for each client's folder under `folders`."""
    deployment.start_superlink()
    for client in range(clients):
        key = make_node_key(deployment.keys, client)
        deployment.register(key)
        deployment.start_node(client, key, client_folder(folders, client))


def methods_of(parsed: argparse.Namespace) -> str | None:
    """Return the methods to train, as --methods has them; None: those that --config names."""
    if parsed.methods is None and parsed.config is not None:
        try:
            path = config_file(parsed.config)
            if path.is_file() and "methods" in read_toml(path):
                return None
        except InputError:
            return None  # what is wrong with it, reading the experiment says
    return parsed.methods or METHODS


def interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, set up, run, end."""
    parser = experiment_parser(__doc__ or "")
    add_open_updates(parser)
    parser.add_argument("--link", help="delay, rate and loss of each client's link (default: none, all on 127.0.0.1)")
    parsed = parser.parse_args(arguments)
    parsed.methods = methods_of(parsed)
    link = read_link(parsed.link) if parsed.link is not None else None
    experiment, population = read_run(parsed)
    hosts = EmulatedHosts(experiment.clients, link) if link else None
    parsed.output = parsed.output or deployment_output(experiment)
    signal.signal(signal.SIGTERM, interrupt)  # a kind kill, too, ends the processes
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder, hosts or nullcontext():
        root = Path(folder)
        split(experiment, population, root)
        make_certificates(root / "keys", [*LOOPBACK, *([hosts.server] if hosts else [])])
        with LoopbackDeployment(root / "flower", root / "keys", hosts) as deployment:
            began = time.monotonic()
            print(f"starting a SuperLink and {experiment.clients} nodes", flush=True)
            start_all(deployment, experiment.clients, root)
            print(f"started in {time.monotonic() - began:.0f} s", flush=True)
            run_config = run_config_of(parsed) | {
                COORDINATOR: str(coordinator_folder(root)),
                OPEN_UPDATES: parsed.open_updates,
            }
            submit(run_config, CONNECTION, home=deployment.home)
