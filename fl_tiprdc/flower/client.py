"""The ClientApp that `flwr run` starts: see [tool.flwr.app] in pyproject.toml.

A node with `data` in its node config is a real client, with records of its own; any other is simulated, and takes its
part of the data set. Real clients start a process for each message: what only simulations need is imported there.
"""

import os

from flwr.app import Context

from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_app import client_app_of
from fl_tiprdc.federated.client_store import Store
from fl_tiprdc.federated.node_store import open_node_store
from fl_tiprdc.flower.config_keys import COORDINATOR, DATA
from fl_tiprdc.flower.packed import unpacking

# Flower's engine loads this app, and then starts Ray: without an address, that joins any cluster that was ever here
os.environ["RAY_ADDRESS"] = "local"


def disk(context: Context, seed: int) -> Store:
    """Open the store of a node's records: in its own folder, or, in a simulation, in the data set.

    Raises:
        InputError: a node with records of its own is asked to take part in a simulation, or one without in a
            deployment.
    """
    folder = context.node_config.get(DATA)
    if bool(folder) != bool(context.run_config.get(COORDINATOR)):
        raise InputError(
            "this node holds records of its own and the run is a simulation: name its coordinator"
            if folder
            else f"this node has no records of its own: --node-config '{DATA}=\"/FOLDER\" partition-id=0'"
        )
    if folder:
        return open_node_store(str(folder), int(context.node_config["partition-id"]))
    from fl_tiprdc.flower.simulated_clients import simulated_store

    return simulated_store(context.run_config, context.node_config, seed)


client_app = client_app_of(disk, [unpacking])
