"""Other ways of running the same rounds with the same fused step: a plain loop, and Flower as people write it.

They say which part of a runtime's speed is the step's and which is the runtime's own. Weights are exchanged, as in the
paper: each round all clients train on their own, and the server takes the mean by records.
"""

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import ray
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.federated.client_app import open_store
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.launch import start_ray
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.server_app import exchanges_for, instruction_for
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.wire.messages import Instruction

SEPARATOR = "/"  # between a group and an array in a flat name


def initial_groups(experiment: Experiment, store: ClientStore, point: Point) -> GroupArrays:
    """Return the parameters that a training starts from."""
    step = HybridStep(store.description, experiment.network, experiment.method_config(point.method))
    return {name: {k: v.numpy() for k, v in group.items()} for name, group in step.initial(point.seed).items()}


def local_training(experiment: Experiment, point: Point) -> Instruction:
    """Return the instruction of the one exchange in a round."""
    (turn,) = (turn for turn in exchanges_for(experiment, point.method).turns if turn.round == 1)
    return replace(instruction_for(experiment, point), phase=turn.phase)


def plain_loop(experiment: Experiment, store: Path, point: Point) -> list[float]:
    """Train one client after the other in this process; return the seconds of each round."""
    torch.set_num_threads(1)  # small tensors: more threads only wait for each other
    opened = ClientStore(store)
    instruction, groups = local_training(experiment, point), initial_groups(experiment, opened, point)
    seconds: list[float] = []
    for _ in range(experiment.federation.rounds):
        began = time.perf_counter()
        updates = [perform(opened, instruction, groups, [partition]) for partition in range(experiment.clients)]
        total = sum(update.records[0] for update in updates)
        groups = {
            name: {
                key: np.sum(
                    [u.groups[name][key][0] * (u.records[0] / total) for u in updates], axis=0, dtype=np.float32
                )
                for key in arrays
            }
            for name, arrays in groups.items()
        }
        seconds.append(time.perf_counter() - began)
    return seconds


def stock_flower(experiment: Experiment, store: Path, point: Point) -> list[float]:
    """Train by Flower's simulation engine with its own FedAvg; return the seconds of each round."""
    instruction, root = local_training(experiment, point), str(store)
    client, server = ClientApp(), ServerApp()
    ends: list[float] = []

    @client.train()
    def train(message: Message, context: Context) -> Message:
        groups: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
        for name, array in message.content.array_records["arrays"].items():
            group, _, key = name.partition(SEPARATOR)
            groups.setdefault(group, {})[key] = array.numpy()
        update = perform(open_store(root), instruction, groups, [int(context.node_config["partition-id"])])
        trained = {name: {key: value[0] for key, value in arrays.items()} for name, arrays in update.groups.items()}
        metrics = MetricRecord({"num-examples": update.records[0]})
        return Message(RecordDict({"arrays": _flat(trained), "metrics": metrics}), reply_to=message)

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=experiment.clients, min_available_nodes=experiment.clients
        )
        strategy.start(
            grid,
            _flat(initial_groups(experiment, ClientStore(store), point)),
            num_rounds=experiment.federation.rounds,
            evaluate_fn=lambda number, arrays: ends.append(time.perf_counter()),
        )

    logging.getLogger("flwr").setLevel(logging.ERROR)
    if not ray.is_initialized():
        start_ray(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
        run_simulation(server, client, num_supernodes=experiment.clients, backend_config=resources)
    return [float(value) for value in np.diff(ends)]  # the first is of the initial arrays


def _flat(groups: Mapping[str, Mapping[str, npt.NDArray[np.float32]]]) -> ArrayRecord:
    return ArrayRecord(
        {
            f"{name}{SEPARATOR}{key}": Array(np.ascontiguousarray(value))
            for name, arrays in groups.items()
            for key, value in arrays.items()
        }
    )


PEERS: Mapping[str, Callable[[Experiment, Path, Point], list[float]]] = {
    "plain loop": plain_loop,
    "stock Flower": stock_flower,
}
