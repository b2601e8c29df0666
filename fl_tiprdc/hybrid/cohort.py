"""Local work of many clients as one stacked computation; a single client is a cohort of one.

The step's loss is mapped over clients with `torch.func.vmap`: parameters, gradients and Adam's moments carry a leading
client dimension, so that a cohort costs a few large operations in place of many small ones.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vmap
from torch.optim.adam import adam

from fl_tiprdc.hybrid.batches import CohortBatches, CohortMember, batches_in
from fl_tiprdc.hybrid.schedule import Schedule, moves_extractor, step_size
from fl_tiprdc.hybrid.step import GROUPS, PRETRAINED, Batch, Groups, HybridStep, Losses, gradients_at
from fl_tiprdc.models.batch_norm import MOMENTUM, is_statistic
from fl_tiprdc.seeding import layer_draws

# Adam's. Some gradients are zero but for rounding (a softmax doesn't feel what all its scores share): a smaller value
# would blow the rounding up to full steps, and no two runtimes would agree.
EPSILON = 1e-6
BETA2 = 0.999
LARGE_BATCH = 256  # records, from which on convolutions with several weights are faster one after the other


@dataclass(frozen=True)
class LocalTraining:
    """Say how a client trains in one round, or the centralized trainer in a whole run.

    Attributes:
        schedule: groups that learn from each batch in turn; the others are held still.
        batch_size: largest number of records in a batch.
        learning_rate: Adam's step size; its moments start from zero.
        weight_decay: Adam's L2 penalty; 0 has none.
        epochs: passes over the records.
        batches: number of batches, in place of epochs unless it is 0.
        pretraining: batches before those, from which extractor and adversary learn together to tell the private value.
        decays: whether step sizes decrease as the method says (`step_size`); the schedule is then the whole training's.
    """

    schedule: Schedule
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    epochs: int = 1
    batches: int = 0
    pretraining: int = 0
    decays: bool = False


@dataclass(frozen=True)
class CohortResult:
    """Results of a cohort, rows in the order of its members.

    Attributes:
        groups: trained parameters, or gradients; each tensor [members, ...].
        losses: [members, 3] means of `Losses` over the records seen: privacy, information, adversary.
    """

    groups: Groups
    losses: Tensor


class _Adam:
    """Adam over the stacked parameters of some groups, of which only the first rows may be active."""

    def __init__(self, groups: Groups, names: Sequence[str], beta1: float, weight_decay: float) -> None:
        self._statistics = {
            name: {key: value for key, value in groups[name].items() if is_statistic(key)} for name in names
        }
        self._learning = {
            name: {key: value for key, value in groups[name].items() if not is_statistic(key)} for name in names
        }
        learning = self._learning.items()
        self._mean = {name: [torch.zeros_like(p) for p in group.values()] for name, group in learning}
        self._square = {name: [torch.zeros_like(p) for p in group.values()] for name, group in learning}
        self._steps = {name: [torch.zeros((), device=p.device) for p in group.values()] for name, group in learning}
        self._beta1, self._weight_decay = beta1, weight_decay

    def update(self, gradients: Groups, active: int, rates: Mapping[str, float]) -> None:
        """Take a step of each group in `rates`, name -> step size; equal ones go together, which costs one call."""
        for rate in set(rates.values()):
            names = [name for name in rates if rates[name] == rate]
            adam(
                _first_rows([p for name in names for p in self._learning[name].values()], active),
                # the fused step doesn't look at strides, and an embedding's gradient isn't laid out as its table
                [gradients[name][key].contiguous() for name in names for key in self._learning[name]],
                _first_rows([m for name in names for m in self._mean[name]], active),
                _first_rows([s for name in names for s in self._square[name]], active),
                [],
                [step for name in names for step in self._steps[name]],
                fused=True,
                amsgrad=False,
                beta1=self._beta1,
                beta2=BETA2,
                lr=rate,
                weight_decay=self._weight_decay,
                eps=EPSILON,
                maximize=False,
            )
        for name in rates:
            for key, value in self._statistics[name].items():
                value[:active] -= MOMENTUM * gradients[name][key]


def _first_rows(tensors: list[Tensor], count: int) -> list[Tensor]:
    """Return the first rows of each; a view costs as much as a small network's layer."""
    return tensors if not tensors or count == len(tensors[0]) else [tensor[:count] for tensor in tensors]


class _Work(NamedTuple):
    """One batch of each active member.

    batch is [active, ...], lam and sigma are [active]; draws returns a seed for each member's random layers.
    """

    batch: Batch
    lam: Tensor
    sigma: Tensor
    draws: Callable[[], list[int]]


def _work(batches: CohortBatches, number: int) -> _Work:
    batch = batches[number]
    active = len(batch.mask)
    return _Work(batch, batches.lam[:active], batches.sigma[:active], lambda: batches.draws(number)[:active])


class _Stack:
    """Lay out a cohort's parameters, and compute gradients there.

    Stacks have a leading client dimension. Their matrices are turned, [n, inputs, outputs]: a stacked product takes a
    quarter less time that way, forward and backward.

    Args:
        step: the method's losses.
        batches: those of the members.
        shared: groups of parameters that all members have in common, which have no client dimension.
    """

    def __init__(self, step: HybridStep, batches: CohortBatches, shared: set[str]) -> None:
        self._step, self._batches, self._shared = step, batches, shared
        # one by one, products are faster as networks have their matrices
        self._turns = step.stacks != "never" and len(batches.order) > 1

    def turned(self, groups: Groups) -> Groups:
        """Return views with matrices turned, from the layout of networks to that of stacks or back."""
        if not self._turns:
            return groups
        return {
            name: group if name in self._shared else {key: v.mT if v.dim() == 3 else v for key, v in group.items()}
            for name, group in groups.items()
        }

    def spread(self, groups: Groups) -> Groups:
        """Return stacks of all members, as views, from stacks of all or of one with matrices as networks have them."""
        members = len(self._batches.order)
        return {
            name: {key: value.contiguous().expand(members, *value.shape[1:]) for key, value in group.items()}
            for name, group in self.turned(groups).items()
        }

    def in_order(self, groups: Groups) -> Groups:
        """Return stacks as networks have them, in the order in which members were given."""
        return {
            name: {key: self._batches.restore(value).contiguous() for key, value in group.items()}
            for name, group in self.turned(groups).items()
        }

    def gradients(self, trained: Groups, frozen: Groups, work: _Work) -> tuple[Groups, Losses]:
        """Return stacks of gradients, of active members, and their losses."""
        batch, lam, sigma, _ = work
        stacks = self._step.stacks
        # of a single member, as a real client is, stacking is all cost
        if len(lam) == 1 or stacks == "never" or (stacks == "small batches" and batch.mask.shape[1] >= LARGE_BATCH):
            return self._gradients_in_turn(trained, frozen, work)
        dims = {name: dict.fromkeys(group, None if name in self._shared else 0) for name, group in frozen.items()}
        in_dims = (0, dims, Batch(0, 0, 0, 0), 0, 0)  # type: ignore[arg-type]
        mapped = vmap(self._step.training_loss, in_dims=in_dims)

        def loss(leaves: Groups) -> tuple[Tensor, Losses]:
            totals, losses = mapped(self.turned(leaves), self.turned(frozen), batch, lam, sigma)
            return totals.sum(), losses

        return gradients_at(trained, loss)

    def _gradients_in_turn(self, trained: Groups, frozen: Groups, work: _Work) -> tuple[Groups, Losses]:
        """Return those of `gradients`, client after client and without padding: some networks can't be stacked."""
        batch, lam, sigma, draws = work
        trained, frozen = self.turned(trained), self.turned(frozen)
        random = self._step.stacks == "never"  # only these have dropout; a seeded pass keeps all other threads waiting
        if random:
            _say_not_stacked()
        seeded: list[AbstractContextManager[None]] = (
            [layer_draws(draw) for draw in draws()] if random else [nullcontext()] * len(lam)
        )
        gradients: list[Groups] = []
        losses: list[Losses] = []
        for i, context in enumerate(seeded):
            size = max(1, int(batch.mask[i].sum()))
            client_batch = Batch(*(part[i, :size] for part in batch))
            with context:
                found, loss = self._step.gradients(
                    self._row(trained, i), self._row(frozen, i), client_batch, lam[i], sigma[i]
                )
            gradients.append(found)
            losses.append(loss)
        stacks = {
            name: {key: _stack_of([gradient[name][key] for gradient in gradients]) for key in group}
            for name, group in trained.items()
        }
        return self.turned(stacks), Losses(*(_stack_of(list(values)) for values in zip(*losses, strict=True)))

    def _row(self, groups: Groups, i: int) -> Groups:
        """Return one member's parameters."""
        return {
            name: group if name in self._shared else {key: value[i] for key, value in group.items()}
            for name, group in groups.items()
        }


def _stack_of(tensors: list[Tensor]) -> Tensor:
    """Return torch.stack's; of a single tensor, which may be a large network's, without a copy."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


@lru_cache(maxsize=1)
def _say_not_stacked() -> None:
    logging.getLogger(__name__).warning("these networks can't be stacked: clients are trained one after the other")


def _first(groups: Groups, names: Sequence[str], active: int, shared: set[str]) -> Groups:
    return {
        name: groups[name]
        if name in shared
        else dict(zip(groups[name], _first_rows(list(groups[name].values()), active), strict=True))
        for name in names
    }


def _on(groups: Groups, device: torch.device) -> Groups:
    return {name: {key: value.to(device) for key, value in group.items()} for name, group in groups.items()}


def train_cohort(
    step: HybridStep,
    start: Groups,
    members: Sequence[CohortMember],
    training: LocalTraining,
    device: torch.device | str = "cpu",
    on_batch: Callable[[int, int, Tensor], None] | None = None,
) -> CohortResult:
    """Train every member from the same start on its own records.

    Args:
        step: the method's losses.
        start: parameters of the groups that the schedule needs, either common to all members or [members, ...].
        members: clients with at least one record each.
        training: schedule, batches and step sizes.
        device: where to compute.
        on_batch: called with (batches done, batches in all, [active, 3] losses of the batch, 0 where not computed).

    Returns:
        The parameters of the groups that the schedule trains, and their mean losses.
    """
    device = torch.device(device)
    counts = [training.batches or batches_in(len(m.records), training.batch_size, training.epochs) for m in members]
    counts = [training.pretraining + count for count in counts]
    batches = CohortBatches(members, training.batch_size, counts, step.d if step.method.channel else 0, device)
    all_names = [*training.schedule, *([PRETRAINED] if training.pretraining else [])]
    learning = [name for name in GROUPS if any(name in names for names in all_names)]
    shared = {name for name in start if name not in learning}
    groups, stack = _on(start, device), _Stack(step, batches, shared)
    template, order = step.shapes(), torch.tensor(batches.order, device=device)
    for name in learning:
        stacks = {
            key: value[None] if value.dim() == len(template[name][key]) else value[order]
            for key, value in groups[name].items()
        }
        groups[name] = {
            key: value.clone(memory_format=torch.contiguous_format)
            for key, value in stack.spread({name: stacks})[name].items()
        }

    def fresh_optimizer() -> _Adam:
        return _Adam(groups, learning, step.method.beta1, training.weight_decay)

    optimizer = fresh_optimizer()
    sums = torch.zeros(len(members), 3, device=device)
    weights = torch.zeros(len(members), 3, device=device)
    total = len(batches)
    updates, all_updates = 0, sum(moves_extractor(names) for names in training.schedule)
    with step.training():
        for number in range(total):
            done = number - training.pretraining
            names = training.schedule[done % len(training.schedule)] if done >= 0 else PRETRAINED
            if done == 0 and training.pretraining:
                optimizer = fresh_optimizer()
            work = _work(batches, number)
            active = len(work.lam)
            held = [name for name in groups if name not in names]
            trained, frozen = (_first(groups, part, active, shared) for part in (names, held))
            gradients, losses = stack.gradients(trained, frozen, work)
            decays = training.decays and done >= 0
            scales = {name: step_size(step.method, name, updates, all_updates) if decays else 1.0 for name in names}
            optimizer.update(gradients, active, {name: training.learning_rate * scales[name] for name in names})
            updates += done >= 0 and moves_extractor(names)
            seen = work.batch.mask.sum(1)
            rows = torch.stack(losses, dim=1)
            sums[:active] += rows * seen[:, None]
            weights[:active] += seen[:, None] * torch.tensor(
                ["extractor" in names, "extractor" in names, "adversary" in names], device=device
            )
            if on_batch is not None:
                on_batch(number + 1, total, rows.cpu())
    learned = stack.in_order({name: groups[name] for name in learning})
    return CohortResult(learned, batches.restore(sums / weights.clamp(min=1)))


def cohort_gradients(
    step: HybridStep,
    groups: Groups,
    members: Sequence[CohortMember],
    names: Sequence[str],
    records: int,
    device: torch.device | str = "cpu",
) -> CohortResult:
    """Return every member's mean gradients of the groups `names` at common parameters, on up to `records` records.

    With `records` 0 all of a member's records are used. Each gradient is that of the group's own loss.
    """
    device = torch.device(device)
    size = records or max(len(member.records) for member in members)
    batches = CohortBatches(members, size, [1] * len(members), step.d if step.method.channel else 0, device)
    everything = _on(groups, device)
    stack = _Stack(step, batches, set(everything) - set(names))
    trained = stack.spread({name: {key: value[None] for key, value in everything[name].items()} for name in names})
    frozen = {name: group for name, group in everything.items() if name not in names}
    with step.training():
        gradients, losses = stack.gradients(trained, frozen, _work(batches, 0))
    return CohortResult(stack.in_order(gradients), batches.restore(torch.stack(losses, dim=1)))
