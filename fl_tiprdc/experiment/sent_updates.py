"""The updates that a server is sent in training, by a crowd and by shadow crowds of other people's records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.serverapp import Grid

from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.data.crowd import Crowd, Description, Floats, Population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.evaluation.attacks.seen_updates import Updates
from fl_tiprdc.experiment.progress import Ticker
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.server_app import Trained, exchanges_for, train_point
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.wire.messages import Instruction
from strategies.roster import take_roster

COHORT = 50  # clients in one stacked program


@dataclass(frozen=True)
class Attacked:
    """Hold a crowd of clients, real or shadow: its store, and each client's share of the private value under attack."""

    store: ClientStore
    share: np.ndarray
    seed: int


def settle(
    root: Path, crowd: Crowd, description: Description, clients: int, spec: str, seed: int, value: int
) -> Attacked:
    """Deal a crowd's records to clients and write their store."""
    parts = partition(crowd.private, clients, spec, seed, crowd.participant)
    write_client_store(root, crowd.records(), parts, description, seed)
    share = np.array([(crowd.private[part, 0] == value).mean() if len(part) else np.nan for part in parts])
    return Attacked(ClientStore(root), share, seed)


def shadow_crowd(population: Population, number: int, seed: int) -> Crowd:
    """Draw a crowd of held-out people, with replacement, as large as the contributors."""
    generator = numpy_generator(seed, "shadow-crowd", number)
    held_out = population.held_out
    return held_out.take(generator.integers(0, len(held_out), len(population.contributors)))


def snapshots(experiment: Experiment, store: ClientStore, point: Point) -> dict[str, tuple[GroupArrays, int]]:
    """Train by the real strategy: moment -> the server's arrays of all groups and the exchanges done."""
    turns = exchanges_for(experiment, point.method).turns
    middle = [i + 1 for i, turn in enumerate(turns) if turn.round == max(1, experiment.federation.rounds // 2)][-1]
    numbers = {"start": 0, "middle": middle, "end": len(turns)}

    def server(grid: Grid) -> Trained:
        roster = take_roster(grid, experiment.clients)
        return train_point(grid, roster, experiment, store.description, point, keep=numbers.values())

    trained = launch(experiment.runtime, server, store.root, experiment.actors)
    return {moment: (trained.passed[number], number) for moment, number in numbers.items()}


def answers(
    crowd: Attacked, instruction: Instruction, groups: GroupArrays, ticker: Ticker
) -> tuple[Updates, Floats, GroupArrays]:
    """Return all clients' answers to one message: updates, losses [n, 3], and one client's arrays for their shapes.

    A client's update in weights is what they changed by. Clients without a record are left out.
    """
    sizes = crowd.store.sizes
    order = [int(i) for i in np.argsort(-sizes, kind="stable") if sizes[i]]  # of one size together: little padding
    rows: dict[str, list[Floats]] = {}
    losses: list[Floats] = []
    example: GroupArrays = {}
    for begin in range(0, len(order), COHORT):
        update = perform(crowd.store, instruction, groups, order[begin : begin + COHORT])
        example = {name: {key: value[0] for key, value in arrays.items()} for name, arrays in update.groups.items()}
        for name, arrays in update.groups.items():
            base = {key: groups[name][key] if instruction.phase == "local-training" else 0 for key in arrays}
            parts = [(value - base[key]).reshape(len(update), -1) for key, value in arrays.items()]
            rows.setdefault(name, []).append(np.concatenate(parts, axis=1).astype(np.float32))
        losses.append(update.losses)
    ticker.tick()
    back = np.argsort(order)
    kept = np.sort(order)
    updates = Updates(
        {name: np.concatenate(parts)[back] for name, parts in rows.items()}, crowd.share[kept], sizes[kept]
    )
    return updates, np.concatenate(losses)[back], example


def together(parts: Sequence[Updates]) -> Updates:
    """Return the updates of several crowds as those of one."""
    return Updates(
        {name: np.concatenate([part.groups[name] for part in parts]) for name in parts[0].groups},
        np.concatenate([part.share for part in parts]),
        np.concatenate([part.records for part in parts]),
    )
