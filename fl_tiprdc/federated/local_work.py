"""What one or many clients of this process do with an instruction: the bridge from messages to training."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from fl_tiprdc.data.crowd import Description
from fl_tiprdc.federated.client_store import Store
from fl_tiprdc.federated.messages import Arrays, CohortUpdate, GroupArrays, Instruction
from fl_tiprdc.hybrid.batches import Member
from fl_tiprdc.hybrid.cohort import LocalTraining, cohort_gradients, train_cohort
from fl_tiprdc.hybrid.privacy import balance
from fl_tiprdc.hybrid.program import ADVERSARY, program_for
from fl_tiprdc.hybrid.step import GROUPS, PRETRAINED, Groups, HybridStep

# what comes back, by phase
GRADIENTS: dict[str, tuple[str, ...]] = {
    "hybrid-gradient": GROUPS,
    "adversary-gradient": ADVERSARY,
    "pretraining-gradient": PRETRAINED,
}
WEIGHTS: dict[str, tuple[str, ...]] = {"local-training": GROUPS, "local-pretraining": PRETRAINED}


@lru_cache(maxsize=8)
def _step(description: Description, network: str, method: str) -> HybridStep:
    from fl_tiprdc.config import MethodConfig, NetworkConfig

    return HybridStep(description, NetworkConfig.model_validate_json(network), MethodConfig.model_validate_json(method))


def to_tensors(groups: GroupArrays) -> Groups:
    """Numpy arrays as tensors, copied: arrays from a message may be read-only."""
    return {name: {key: torch.tensor(value) for key, value in arrays.items()} for name, arrays in groups.items()}


def perform(
    store: Store,
    instruction: Instruction,
    groups: GroupArrays,
    partitions: Sequence[int],
    device: torch.device | str = "cpu",
) -> CohortUpdate:
    """Carry out one instruction for clients that received the same message.

    Args:
        store: the clients' records.
        instruction: what to do.
        groups: parameters, of all three groups or those that the work needs.
        partitions: the clients.
        device: where to compute.

    Returns:
        The clients' updates in the order of `partitions`. A client without a record returns what it got, or a
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
    gradient = instruction.phase in GRADIENTS
    names = GRADIENTS[instruction.phase] if gradient else WEIGHTS[instruction.phase]
    idle = {name: _for_idle(groups[name], len(tables), gradient) for name in names} if len(busy) < len(tables) else {}
    records = tuple(map(len, tables))
    losses = np.zeros((len(tables), 3), dtype=np.float32)
    if not members:
        return CohortUpdate(idle, records, losses, instruction.exchange)
    if gradient:
        result = cohort_gradients(step, start, members, names, instruction.records, device)
    else:
        training = LocalTraining(
            program_for(step.method) if names == GROUPS else [names],
            instruction.batch_size,
            instruction.learning_rate,
            instruction.weight_decay,
            instruction.epochs,
        )
        result = train_cohort(step, start, members, training, device)
        # Balanced over private values: what a client's adversary learnt counts by the balanced weight of its
        # records. Applied to the update here, so that no weight has to tell which values a client holds.
        weights = torch.tensor([balance(m.records.private, store.description) for m in members])
        for key, value in result.groups["adversary"].items():
            origin = start["adversary"][key].to(value.device)
            scale = weights.to(value).reshape(-1, *[1] * origin.dim())
            value.sub_(origin).mul_(scale).add_(origin)
    stacked = {name: {k: v.cpu().numpy() for k, v in arrays.items()} for name, arrays in result.groups.items()}
    losses[busy] = result.losses.cpu().numpy()
    for name, arrays in idle.items():
        for key, array in arrays.items():
            array[busy] = stacked[name][key]
    return CohortUpdate(idle or stacked, records, losses, instruction.exchange)


def _for_idle(arrays: Arrays, clients: int, gradient: bool) -> Arrays:
    """What clients without a record answer, stacked: what they got, or a gradient of zero."""
    return {
        key: np.zeros((clients, *value.shape), np.float32) if gradient else np.stack([value] * clients)
        for key, value in arrays.items()
    }
