"""The apps that `flwr run` starts: see [tool.flwr.app] in pyproject.toml.

With `coordinator` in the run config, nodes are real clients with records of their own; without it, they are
simulated, and each takes its part of the data set.
"""

import sys
import time

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from rich.console import Console

import fl_tiprdc.federated.client_app as clients
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_store import Store
from simulations.run import run
from simulations.run_config import read_run_config
from simulations.simulated_clients import simulated_disk

SETTLED = 3.0  # seconds without a new node, after which a simulation has all of them


def disk(context: Context, seed: int) -> Store:
    """Where a node's records are."""
    return simulated_disk(context, seed)


client_app = clients.client_app_of(disk)
server_app = ServerApp()


def require_nodes(grid: Grid, clients: int, patience: float = 60.0) -> None:
    """Wait for a simulation's nodes.

    Raises:
        InputError: there are more or fewer than clients.
    """
    began = changed = time.monotonic()
    count = 0
    while count < clients and time.monotonic() - began < patience:
        if (now := len(list(grid.get_node_ids()))) != count:
            count, changed = now, time.monotonic()
        elif count and time.monotonic() - changed > SETTLED:
            break
        time.sleep(0.1)
    if count != clients:
        raise InputError(
            f"the federation has {count} nodes and the run {clients} clients: "
            f"--federation-config 'num-supernodes={clients}', or --run-config 'clients={count}'"
        )


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Train over the grid's clients, collect what they publish, audit it, write the results."""
    try:
        experiment, output = read_run_config(context.run_config, "flower")
        require_nodes(grid, experiment.clients)
        run(experiment, output, Console(), grid=grid)
    except Exception as error:
        print(f"failed: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        raise
