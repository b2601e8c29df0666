"""Registered entries on their way to another process, which starts with the built-in ones alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.hybrid.privacy import PRIVACY
from fl_tiprdc.methods import METHODS
from fl_tiprdc.models.networks import ARCHITECTURES

Registries = Sequence[dict[str, Any]]
Entries = Sequence[Mapping[str, Any]]  # of each registry

# what a step of training looks up by name
TRAINING: Registries = (METHODS, ARCHITECTURES, INFORMATION, PRIVACY)


def entries_of(registries: Registries = TRAINING) -> Entries:
    """Return what is registered in this process, to be sent to another."""
    return [dict(registry) for registry in registries]


def register(entries: Entries, registries: Registries = TRAINING) -> None:
    """Register entries of `entries_of` in this process."""
    for registry, added in zip(registries, entries, strict=True):
        registry.update(added)
