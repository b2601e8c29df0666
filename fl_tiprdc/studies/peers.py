"""Other ways of running the same rounds with the same fused step: a plain loop, Flower as people write it, pfl.

They say which part of a runtime's speed is the step's and which is the runtime's own. Weights are exchanged, as in the
paper: each round all clients train on their own, and the server takes the mean by records.
"""

import importlib.util
import logging
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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
from fl_tiprdc.release.arrays import Arrays, GroupArrays
from fl_tiprdc.wire.messages import CohortUpdate, Instruction

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
        groups = grouped({name: array.numpy() for name, array in message.content.array_records["arrays"].items()})
        update = perform(open_store(root), instruction, groups, [int(context.node_config["partition-id"])])
        metrics = MetricRecord({"num-examples": update.records[0]})
        trained = array_record(first_client(update))
        return Message(RecordDict({"arrays": trained, "metrics": metrics}), reply_to=message)

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=experiment.clients, min_available_nodes=experiment.clients
        )
        strategy.start(
            grid,
            array_record(initial_groups(experiment, ClientStore(store), point)),
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


def pfl_research(processes: int, experiment: Experiment, store: Path, point: Point) -> list[float]:
    """Train with processes that each take a share of the clients and sum by gloo; return the seconds of each round."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder, ProcessPoolExecutor(processes, context) as pool:
        work = partial(_train, experiment, store, point, processes, Path(folder) / "met")
        return next(pool.map(work, range(processes)))  # all are submitted at once


def _train(experiment: Experiment, store: Path, point: Point, processes: int, met: Path, rank: int) -> list[float]:
    """Train as one of the processes, which find each other by a file: a socket for that would listen everywhere."""
    from pfl.aggregate.simulate import SimulatedBackend
    from pfl.algorithm.base import FederatedAlgorithm
    from pfl.common_types import Population
    from pfl.context import CentralContext
    from pfl.data.dataset import Dataset
    from pfl.data.federated_dataset import FederatedDataset
    from pfl.data.sampling import get_user_sampler
    from pfl.internal.ops import pytorch_ops
    from pfl.internal.ops.selector import set_framework_module
    from pfl.metrics import Metrics
    from pfl.stats import MappedVectorStatistics

    class Share(pytorch_ops.PyTorchDistributedContext):  # type: ignore[misc]
        """Name this process and their number without the addresses that pfl asks its platform for."""

        def __init__(self) -> None:
            self._global_rank, self._world_size = rank, processes

    class FederatedAveraging(FederatedAlgorithm):  # type: ignore[misc]
        """Average what one exchange of weights a round brings, as FedAvg does, with this project's step."""

        def get_next_central_contexts(self, model: GroupArrays, iteration: int, *_: object) -> tuple[Any, ...]:
            ends.append(time.perf_counter())
            context = CentralContext(
                current_central_iteration=iteration,
                do_evaluation=False,
                cohort_size=experiment.clients,
                population=Population.TRAIN,
                algorithm_params=None,
                model_train_params=None,
            )
            return None if iteration == experiment.federation.rounds else (context,), model, Metrics()

        def simulate_one_user(self, model: GroupArrays, user: Any, _: object) -> tuple[Any, Any]:
            update = perform(opened, instruction, model, [int(user.user_id)])
            weight = float(update.records[0])
            summed = {key: torch.from_numpy(value) * weight for key, value in flat(first_client(update)).items()}
            return MappedVectorStatistics(summed, weight), Metrics()

        def process_aggregated_statistics(self, _: object, metrics: object, model: object, statistics: Any) -> Any:
            statistics.average()
            return grouped({key: value.numpy() for key, value in statistics.items()}), Metrics()

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    if processes > 1:
        torch.distributed.init_process_group("gloo", f"file://{met}", rank=rank, world_size=processes)
    pytorch_ops.distributed = Share()
    set_framework_module(pytorch_ops)
    opened = ClientStore(store)
    instruction = local_training(experiment, point)
    ends: list[float] = []
    np.random.seed(0)  # pfl draws the order of clients from numpy's global state, the same one in each process
    clients = FederatedDataset(
        lambda client: Dataset([np.zeros(1)], user_id=str(client)),
        get_user_sampler("minimize_reuse", list(range(experiment.clients))),
    )
    start = initial_groups(experiment, opened, point)
    FederatedAveraging().run(None, SimulatedBackend(clients, clients), start, None, send_metrics_to_platform=False)
    return np.diff(ends).tolist()


def first_client(update: CohortUpdate) -> GroupArrays:
    """Return the parameters of an update of one client."""
    return {name: {key: value[0] for key, value in arrays.items()} for name, arrays in update.groups.items()}


def flat(groups: Mapping[str, Arrays]) -> Arrays:
    """Return all groups' arrays under one name each."""
    return {f"{name}{SEPARATOR}{key}": value for name, arrays in groups.items() for key, value in arrays.items()}


def grouped(arrays: Mapping[str, npt.NDArray[np.float32]]) -> GroupArrays:
    """Return the groups of `flat`."""
    groups: GroupArrays = {}
    for name, array in arrays.items():
        group, _, key = name.partition(SEPARATOR)
        groups.setdefault(group, {})[key] = array
    return groups


def array_record(groups: Mapping[str, Arrays]) -> ArrayRecord:
    """Return all groups' arrays as Flower sends them."""
    return ArrayRecord({name: Array(np.ascontiguousarray(value)) for name, value in flat(groups).items()})


PEERS: dict[str, Callable[[Experiment, Path, Point], list[float]]] = {
    "plain loop": plain_loop,
    "stock Flower": stock_flower,
}
if importlib.util.find_spec("pfl"):
    PEERS["pfl-research, one process"] = partial(pfl_research, 1)
    PEERS["pfl-research, a process a core"] = partial(pfl_research, os.cpu_count() or 1)
