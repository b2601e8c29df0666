"""The schedule of a training: which networks learn from which batch, and with which step size."""

from collections.abc import Sequence

from fl_tiprdc.methods import MethodConfig

Schedule = Sequence[tuple[str, ...]]  # the groups that learn from each batch in turn; repeated where it ends

ADVERSARY: tuple[str, ...] = ("adversary",)


def moves_extractor(names: Sequence[str]) -> bool:
    """Return whether a batch of these groups is an update of the extractor; pretraining doesn't count."""
    return "critic" in names


def updates_for(method: MethodConfig, done: int, total: int) -> int:
    """Return the adversary's updates before the extractor's next one, when `done` of `total` of those are made."""
    return method.adversary_steps + (method.closing_steps if fade(done, total, method.decay) < 1 else 0)


def schedule_for(method: MethodConfig, total: int = 1) -> Schedule:
    """Return the groups that learn from each batch of a training with `total` updates of the extractor.

    Each update is one batch for all groups, after some for the adversary alone, of which the paper has none. The
    schedule of one update, repeated, is that of a client's local training.
    """
    return [
        group for done in range(total) for group in [*[ADVERSARY] * updates_for(method, done, total), method.groups]
    ]


def fade(done: int, total: int, share: float) -> float:
    """Return the factor of the extractor's step size after `done` of `total` updates.

    It is 1 and falls to 0 over the last `share` of the updates, so that the adversary catches up with the extractor
    that is released. With `share` 0 it stays 1.
    """
    return min(1.0, (1 - done / total) / share) if share else 1.0


def step_size(method: MethodConfig, group: str, done: int, total: int) -> float:
    """Return the factor of a group's step size after `done` of `total` updates: `fade`, and the drop to a tenth."""
    factor = fade(done, total, method.decay) if group == "extractor" else 1.0
    return factor * (0.1 if done >= method.drop * total else 1.0)


def pretraining_in(method: MethodConfig, total: int) -> int:
    """Return the number of updates of extractor and adversary together that precede a training of `total` updates."""
    return round(method.pretraining * total)
