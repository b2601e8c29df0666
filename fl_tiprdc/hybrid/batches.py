"""Batches of several clients side by side: who is next, padding, masks, noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fl_tiprdc.data.crowd import Ints, Records
from fl_tiprdc.hybrid.step import Batch
from fl_tiprdc.release.channel import draw_noise
from fl_tiprdc.seeding import derive, numpy_generator, torch_generator


@dataclass(frozen=True)
class Member:
    """One client's part in a cohort (or one λ of a centralised sweep).

    Attributes:
        records: its data.
        lam: weight of privacy against information, λ.
        sigma: noise of its release channel, σ.
        seed: experiment seed.
        ids: what its random numbers are derived from besides the seed: client, round, ...
    """

    records: Records
    lam: float
    sigma: float
    seed: int
    ids: tuple[int | str, ...]


def deal(n: int, batch_size: int, batches: int, generator: np.random.Generator) -> list[Ints]:
    """`batches` index arrays from shuffled passes over n records.

    Each pass is cut into near-equal batches of at most `batch_size`, so that no record is dropped or seen twice
    in a pass and no pass ends in a batch of a few.
    """
    parts = -(-n // batch_size)
    dealt: list[Ints] = []
    while len(dealt) < batches:
        dealt += np.array_split(generator.permutation(n), parts)
    return dealt[:batches]


def batches_in(n: int, batch_size: int, epochs: int) -> int:
    """Number of batches of `epochs` passes over n records."""
    return epochs * -(-n // batch_size)


class CohortBatches:
    """The batches of a cohort, step by step.

    Members with more batches come first in `order`, so that those still at work are always a prefix, and a member
    that is done is neither computed nor updated.

    Args:
        members: clients with at least one record each.
        batch_size: largest number of records of one client in a batch.
        counts: batches of each member.
        d: numbers in a representation; 0: no noise is drawn.
        device: where the tensors go.
    """

    def __init__(
        self, members: Sequence[Member], batch_size: int, counts: Sequence[int], d: int, device: torch.device
    ) -> None:
        self.order = sorted(range(len(members)), key=lambda i: -counts[i])
        self._members = [members[i] for i in self.order]
        self._counts = [counts[i] for i in self.order]
        self._d, self._device = d, device
        dealt = [
            deal(len(member.records), batch_size, count, numpy_generator(member.seed, "batches", *member.ids))
            for member, count in zip(self._members, self._counts, strict=True)
        ]
        tables: list[Records] = []  # members of a sweep share theirs: it is kept once
        place: list[int] = []  # of each member's table
        for member in self._members:
            known = (i for i, table in enumerate(tables) if table is member.records)
            place.append(next(known, len(tables)))
            if place[-1] == len(tables):
                tables.append(member.records)
        if len(tables) == 1:
            self._x, self._dealt = tables[0].x, dealt
            self._u = torch.tensor(tables[0].private, device=device)
        else:
            own = [[rows for rows, at in zip(dealt, place, strict=True) if at == i] for i in range(len(tables))]
            used = [np.unique(np.concatenate([part for rows in each for part in rows])) for each in own]
            starts = np.cumsum([0, *map(len, used)])
            self._x = np.concatenate([table.x[rows] for table, rows in zip(tables, used, strict=True)])
            self._u = torch.from_numpy(
                np.concatenate([table.private[rows] for table, rows in zip(tables, used, strict=True)])
            ).to(device)
            self._dealt = [
                [starts[at] + np.searchsorted(used[at], part) for part in rows]
                for rows, at in zip(dealt, place, strict=True)
            ]
        self._noise = [torch_generator(member.seed, "channel", *member.ids) for member in self._members]
        self.lam = torch.tensor([member.lam for member in self._members], device=device)
        self.sigma = torch.tensor([member.sigma for member in self._members], device=device)

    def __len__(self) -> int:
        return max(self._counts, default=0)

    def __getitem__(self, step: int) -> Batch:
        """Batch of the active members, [active, b, ...]; to be asked for in order of the steps."""
        rows = [dealt[step] for dealt in self._dealt if step < len(dealt)]
        size = max(map(len, rows))
        index = np.zeros((len(rows), size), dtype=np.int64)
        mask = np.zeros((len(rows), size), dtype=np.float32)
        for i, part in enumerate(rows):
            index[i, : len(part)] = part
            mask[i, : len(part)] = 1
        noise = torch.zeros(len(rows), size, self._d)
        if self._d:
            for i, part in enumerate(rows):
                noise[i, : len(part)] = draw_noise((len(part), self._d), self._noise[i])
        where = torch.from_numpy(index).to(self._device)
        x = torch.from_numpy(self._x[index]).to(self._device)
        return Batch(x, self._u[where], torch.from_numpy(mask).to(self._device), noise.to(self._device))

    def draws(self, step: int) -> list[int]:
        """A seed for each member for whatever its networks draw at random in that step (dropout)."""
        return [derive(member.seed, "networks", *member.ids, step) for member in self._members]

    def restore(self, stacked: Tensor) -> Tensor:
        """Rows in the members' own order again."""
        back = torch.empty(len(self.order), dtype=torch.long)
        back[torch.tensor(self.order, dtype=torch.long)] = torch.arange(len(self.order))
        return stacked[back.to(stacked.device)]
