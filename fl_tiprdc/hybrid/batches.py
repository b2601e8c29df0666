"""Batches of several clients side by side, with their padding, masks and noise."""

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
class CohortMember:
    """Hold one client's part in a cohort (or one λ of a centralized sweep).

    Attributes:
        records: its data.
        lam: λ, the weight of privacy against information; 0 keeps all information, 1 asks for privacy alone.
        sigma: σ, the noise of its release channel; 0 adds none.
        seed: the experiment's seed.
        ids: client, round, ... from which its random numbers derive besides the seed.
    """

    records: Records
    lam: float
    sigma: float
    seed: int
    ids: tuple[int | str, ...]


def shuffled_batches(n: int, batch_size: int, batches: int, generator: np.random.Generator) -> list[Ints]:
    """Return the record indices of `batches` batches, from as many shuffled passes over n records as that takes.

    Each pass is cut into near-equal batches of at most `batch_size`: it has every record once, and doesn't end in a
    batch of a few records.
    """
    parts = -(-n // batch_size)
    indices: list[Ints] = []
    while len(indices) < batches:
        indices += np.array_split(generator.permutation(n), parts)
    return indices[:batches]


def batches_in(n: int, batch_size: int, epochs: int) -> int:
    """Return the number of batches in `epochs` passes over n records."""
    return epochs * -(-n // batch_size)


def _used_rows(
    tables: Sequence[Records], place: Sequence[int], indices: Sequence[list[Ints]]
) -> tuple[Records, list[list[Ints]]]:
    """Return the rows of several tables that batches use, in one table, and the batches' indices in that.

    Args:
        tables: records of the members.
        place: position in `tables` of each member's.
        indices: rows of its own table in each of a member's batches.
    """
    used = [
        np.unique(np.concatenate([rows for own, at in zip(indices, place, strict=True) if at == i for rows in own]))
        for i in range(len(tables))
    ]
    starts = np.cumsum([0, *map(len, used)])
    records = Records(
        np.concatenate([table.x[rows] for table, rows in zip(tables, used, strict=True)]),
        np.concatenate([table.private[rows] for table, rows in zip(tables, used, strict=True)]),
    )
    return records, [
        [starts[at] + np.searchsorted(used[at], rows) for rows in own] for own, at in zip(indices, place, strict=True)
    ]


class CohortBatches:
    """Stack the batches of a cohort's members, step by step.

    Members with more batches come first in `order`. Those that still have batches are therefore always a prefix, and
    a member that is done is neither computed nor updated.

    Args:
        members: clients with at least one record each.
        batch_size: largest number of records of one client in a batch.
        counts: number of batches of each member.
        d: numbers in a representation; with 0 no noise is drawn.
        device: where the tensors go.
    """

    def __init__(
        self, members: Sequence[CohortMember], batch_size: int, counts: Sequence[int], d: int, device: torch.device
    ) -> None:
        self.order = sorted(range(len(members)), key=lambda i: -counts[i])
        self._members = [members[i] for i in self.order]
        self._counts = [counts[i] for i in self.order]
        self._d, self._device = d, device
        indices = [
            shuffled_batches(
                len(member.records), batch_size, count, numpy_generator(member.seed, "batches", *member.ids)
            )
            for member, count in zip(self._members, self._counts, strict=True)
        ]
        tables: list[Records] = []  # members of a sweep share theirs: it is kept once
        place: list[int] = []  # of each member's table
        for member in self._members:
            known = (i for i, table in enumerate(tables) if table is member.records)
            place.append(next(known, len(tables)))
            if place[-1] == len(tables):
                tables.append(member.records)
        records, self._indices = (tables[0], indices) if len(tables) == 1 else _used_rows(tables, place, indices)
        self._x, self._u = records.x, torch.tensor(records.private, device=device)
        self._noise = [torch_generator(member.seed, "channel", *member.ids) for member in self._members]
        self.lam = torch.tensor([member.lam for member in self._members], device=device)
        self.sigma = torch.tensor([member.sigma for member in self._members], device=device)

    def __len__(self) -> int:
        return max(self._counts, default=0)

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of the active members, [active, b, ...].

        Steps must be asked for in order, since each takes the next draws of the members' noise.
        """
        rows = [indices[step] for indices in self._indices if step < len(indices)]
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
        positions = torch.from_numpy(index).to(self._device)
        x = torch.from_numpy(self._x[index]).to(self._device)
        return Batch(x, self._u[positions], torch.from_numpy(mask).to(self._device), noise.to(self._device))

    def draws(self, step: int) -> list[int]:
        """Return a seed for each member, for what its networks draw at random in that step (dropout)."""
        return [derive(member.seed, "networks", *member.ids, step) for member in self._members]

    def restore(self, stacked: Tensor) -> Tensor:
        """Return the rows of `stacked` [members, ...] in the order in which the members were given."""
        places = torch.tensor(self.order, dtype=torch.long).argsort()
        return stacked[places.to(stacked.device)]
