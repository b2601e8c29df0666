"""The order of updates: which groups learn from which batch, and how far the extractor steps towards the end."""

from collections.abc import Sequence

from fl_tiprdc.config import MethodConfig

Program = Sequence[tuple[str, ...]]  # which groups learn from a batch, batch after batch, repeated

ADVERSARY: tuple[str, ...] = ("adversary",)


def moves_extractor(names: Sequence[str]) -> bool:
    """Say whether a batch of these groups is one of the training proper that moves the extractor."""
    return "critic" in names


def updates_for(method: MethodConfig, done: int, total: int) -> int:
    """Updates of the adversary alone before the extractor update that follows `done` of `total`."""
    return method.adversary_steps + (method.closing_steps if fade(done, total, method.decay) < 1 else 0)


def program_for(method: MethodConfig, total: int = 1) -> Program:
    """The batches of `total` updates: for each, some of the adversary alone, then one of all three groups.

    The paper has only the latter. A program of one update, repeated, is that of a client's local training.
    """
    return [
        group for done in range(total) for group in [*[ADVERSARY] * updates_for(method, done, total), method.groups]
    ]


def fade(done: int, total: int, share: float) -> float:
    """Factor of the extractor's step size after `done` of `total` updates: 1, falling to 0 over the last `share`.

    So that the adversary has caught up with the extractor that is released.
    """
    return min(1.0, (1 - done / total) / share) if share else 1.0


def step_size(method: MethodConfig, group: str, done: int, total: int) -> float:
    """Factor of a group's step size after `done` of `total` updates: `fade` and the method's drop to a tenth."""
    factor = fade(done, total, method.decay) if group == "extractor" else 1.0
    return factor * (0.1 if done >= method.drop * total else 1.0)


def pretraining_in(method: MethodConfig, total: int) -> int:
    """Updates of extractor and adversary together, before `total` updates of the training proper."""
    return round(method.pretraining * total)
