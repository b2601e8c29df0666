"""Phases of a training: what an exchange asks for, and which groups of parameters come back."""

from typing import Literal

from fl_tiprdc.hybrid.schedule import ADVERSARY
from fl_tiprdc.hybrid.step import GROUPS, PRETRAINED

Phase = Literal[
    "local-pretraining",
    "local-training",
    "pretraining-gradient",
    "hybrid-gradient",
    "adversary-gradient",
    "codes.center",
    "codes.scatter",
    "codes.class-counts",
    "codes.cells",
    "codes.shares",
    "codes.code-counts",
]

# phase -> groups that come back
GRADIENTS: dict[str, tuple[str, ...]] = {
    "hybrid-gradient": GROUPS,
    "adversary-gradient": ADVERSARY,
    "pretraining-gradient": PRETRAINED,
}
WEIGHTS: dict[str, tuple[str, ...]] = {"local-training": GROUPS, "local-pretraining": PRETRAINED}
QUESTION = "codes."  # prefix of the phases that ask a question of a code fit
