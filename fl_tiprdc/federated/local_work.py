"""What one or many clients of this process do with an instruction: the bridge from messages to training."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from fl_tiprdc.data.crowd import Description
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.federated.messages import GroupArrays, Instruction, Update
from fl_tiprdc.hybrid.batches import Member
from fl_tiprdc.hybrid.cohort import LocalTraining, Program, cohort_gradients, train_cohort
from fl_tiprdc.hybrid.privacy import balance
from fl_tiprdc.hybrid.step import Groups, HybridStep

PROGRAMS: dict[str, Program] = {
    "hybrid": [("extractor", "critic", "adversary")],
    "extractor": [("extractor", "critic")],
}


@lru_cache(maxsize=8)
def _step(description: Description, network: str, method: str) -> HybridStep:
    from fl_tiprdc.config import MethodConfig, NetworkConfig

    return HybridStep(description, NetworkConfig.model_validate_json(network), MethodConfig.model_validate_json(method))


def to_tensors(groups: GroupArrays) -> Groups:
    """Numpy arrays as tensors, copied: arrays from a message may be read-only."""
    return {name: {key: torch.tensor(value) for key, value in arrays.items()} for name, arrays in groups.items()}


def perform(
    store: ClientStore,
    instruction: Instruction,
    groups: GroupArrays,
    partitions: Sequence[int],
    device: torch.device | str = "cpu",
) -> list[Update]:
    """Carry out one instruction for clients that received the same message.

    Args:
        store: the clients' records.
        instruction: what to do.
        groups: the parameters of all three groups.
        partitions: the clients.
        device: where to compute.

    Returns:
        One update a client, in the order of `partitions`. A client without a record returns what it got, or a
        gradient of zero, with a weight of zero.

    Raises:
        InputError: a client's data can't be read.
    """
    step = _step(store.description, instruction.network, instruction.method)
    tables = [store.records(partition) for partition in partitions]
    busy = [i for i, table in enumerate(tables) if len(table)]
    members = [
        Member(
            tables[i],
            instruction.lam,
            instruction.sigma,
            instruction.seed,
            (partitions[i], instruction.exchange),
        )
        for i in busy
    ]
    start = to_tensors(groups)
    gradient = instruction.phase == "adversary-gradient"
    names = ("adversary",) if gradient else PROGRAMS[instruction.phase][0]
    updates = [
        Update(
            {name: {k: np.zeros_like(v) if gradient else v for k, v in groups[name].items()} for name in names},
            0,
            (0.0, 0.0, 0.0),
        )
    ] * len(partitions)
    if not members:
        return updates
    if gradient:
        result = cohort_gradients(step, start, members, "adversary", instruction.records, device)
    else:
        training = LocalTraining(
            PROGRAMS[instruction.phase],
            instruction.batch_size,
            instruction.learning_rate,
            instruction.weight_decay,
            instruction.epochs,
        )
        result = train_cohort(step, start, members, training, device)
        if "adversary" in names:
            # Balanced over private values: what a client's adversary learnt counts by the balanced weight of its
            # records. Applied to the update here, so that no weight has to tell which values a client holds.
            weights = torch.tensor([balance(m.records.private, store.description) for m in members])
            for key, value in result.groups["adversary"].items():
                origin = start["adversary"][key].to(value.device)
                scale = weights.to(value).reshape(-1, *[1] * origin.dim())
                value.sub_(origin).mul_(scale).add_(origin)
    stacked = {name: {k: v.cpu().numpy() for k, v in arrays.items()} for name, arrays in result.groups.items()}
    losses = result.losses.tolist()
    for row, i in enumerate(busy):
        own = {name: {k: v[row] for k, v in arrays.items()} for name, arrays in stacked.items()}
        updates[i] = Update(own, len(tables[i]), tuple(losses[row]))
    return updates
