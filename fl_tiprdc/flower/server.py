"""The ServerApp that `flwr run` starts: see [tool.flwr.app] in pyproject.toml.

With `coordinator` in the run config, nodes are real clients; without it, they are simulated.
"""

import sys
import time
from functools import partial
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.carry_out import carry_out
from fl_tiprdc.experiment.run import record_run
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.flower.config_keys import COORDINATOR
from fl_tiprdc.flower.coordinator import coordinate, read_deployment
from fl_tiprdc.flower.packed import PackingGrid
from fl_tiprdc.flower.run_config import read_run_config

SETTLED = 3.0  # seconds without a new node, after which a simulation has all of them


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
    """Train over the grid's clients, collect what they publish, audit, write the results."""
    console, resume = Screen(), bool(context.run_config.get("resume"))
    try:
        if folder := context.run_config.get(COORDINATOR):
            experiment, coordinator, output = read_deployment(context.run_config, Path(str(folder)))
            packing = PackingGrid(grid, 1.0)  # Flower's own looks for replies every 3 s
            work = partial(coordinate, grid=packing, coordinator=coordinator)
            record_run(experiment, output, console, work, resume, coordinator.people)
        else:
            experiment, population, output = read_run_config(context.run_config, "flower")
            require_nodes(grid, experiment.clients)
            work = partial(carry_out, population=population, grid=grid)
            record_run(experiment, output, console, work, resume, population)
    except Exception as error:
        print(f"failed: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        raise
