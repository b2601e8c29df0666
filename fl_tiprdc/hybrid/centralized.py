"""The centralized trainer: all records in one place, all λ of a method side by side as one stacked computation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fl_tiprdc.config import CentralizedConfig
from fl_tiprdc.data.crowd import Records
from fl_tiprdc.hybrid.batches import CohortMember
from fl_tiprdc.hybrid.cohort import CohortResult, LocalTraining, train_cohort
from fl_tiprdc.hybrid.components import components_at_one_place
from fl_tiprdc.hybrid.schedule import moves_extractor, pretraining_in, schedule_for
from fl_tiprdc.hybrid.step import HybridStep

ROWS = 40  # points of a training curve
SMALLEST_BATCH = 64

LossCurve = list[tuple[int, Tensor]]  # (extractor update, [λ, 3] mean losses since the last row)


def _components(step: HybridStep, records: Records, rows: int, seed: int) -> CohortResult:
    """Return the principal components that serve as extractor, the same for each of `rows` values of λ."""
    parameters = components_at_one_place(step, records.x, seed)
    extractor = {name: value.expand(rows, *value.shape) for name, value in parameters.items()}
    return CohortResult({"extractor": extractor}, torch.zeros(rows, 3))


def train_centralized(
    step: HybridStep,
    records: Records,
    lambdas: Sequence[float],
    seed: int,
    config: CentralizedConfig,
    on_update: Callable[[int, int], None] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[CohortResult, LossCurve]:
    """Train one extractor for each λ.

    Args:
        step: the method's losses.
        records: those of all contributors.
        lambdas: values of λ; they share initial weights and batches, not gradients.
        seed: the experiment's seed.
        config: number of updates, batch size (an eighth of the records at most), step size.
        on_update: called after each update of the extractor with (updates done, updates in all).
        device: where to compute.

    Returns:
        The trained parameters, each [λ, ...] in the processor's memory, and the training curve.
    """
    if step.components:
        if on_update is not None:
            on_update(config.steps, config.steps)
        return _components(step, records, len(lambdas), seed), []
    schedule = schedule_for(step.method, config.steps)
    pretraining = pretraining_in(step.method, config.steps)
    members = [CohortMember(records, lam, step.method.sigma(lam), seed, ("centralized",)) for lam in lambdas]
    curve: LossCurve = []
    sums, batches, updates, every = torch.zeros(len(lambdas), 3), 0, 0, max(1, config.steps // ROWS)

    def note(done: int, total: int, losses: Tensor) -> None:
        nonlocal sums, batches, updates
        if done <= pretraining:
            return
        sums, batches = sums + losses, batches + 1
        if not moves_extractor(schedule[done - pretraining - 1]):
            return
        updates += 1
        if updates % every == 0:
            curve.append((updates, sums / torch.tensor([every, every, batches])))  # every batch teaches the adversary
            sums, batches = torch.zeros(len(lambdas), 3), 0
        if on_update is not None:
            on_update(updates, config.steps)

    training = LocalTraining(
        schedule,
        min(config.batch_size, max(SMALLEST_BATCH, len(records) // 8)),
        config.learning_rate,
        config.weight_decay,
        batches=len(schedule),
        pretraining=pretraining,
        decays=True,
    )
    trained = train_cohort(step, step.needed(step.initial(seed)), members, training, device, note)
    groups = {name: {key: value.cpu() for key, value in group.items()} for name, group in trained.groups.items()}
    return CohortResult(groups, trained.losses.cpu()), curve
