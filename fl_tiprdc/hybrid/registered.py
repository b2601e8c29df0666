"""Registered entries on their way to another process, which starts with the built-in ones alone."""

import pickle
import sys
from collections.abc import Sequence
from typing import Any

from fl_tiprdc.errors import InputError
from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.hybrid.privacy import PRIVACY
from fl_tiprdc.methods import METHODS
from fl_tiprdc.models.networks import ARCHITECTURES

Registries = Sequence[dict[str, Any]]

# what a step of training looks up by name
TRAINING: Registries = (METHODS, ARCHITECTURES, INFORMATION, PRIVACY)


class Registered:
    """Hold what is registered now; equal to another if nothing was registered between the two.

    It keeps the entries, so that none of a later one can have the identity of one that is gone.
    """

    def __init__(self, registries: Registries = TRAINING) -> None:
        self._entries = [thing for registry in registries for thing in registry.values()]
        self._identities = tuple(map(id, self._entries))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registered) and self._identities == other._identities

    def __hash__(self) -> int:
        return hash(self._identities)


def entries_of(registries: Registries = TRAINING) -> bytes:
    """Return what is registered in this process, and where it finds modules, to be sent to another of its own.

    Raises:
        InputError: an entry can't be sent; names it.
    """
    import cloudpickle

    def packed(name: str, thing: object) -> bytes:
        try:
            blob: bytes = cloudpickle.dumps(thing)
        except Exception as error:  # of many types
            raise InputError(f"'{name}' is registered and can't be sent to other processes: {error}") from None
        return blob

    entries = [{name: packed(name, thing) for name, thing in registry.items()} for registry in registries]
    return pickle.dumps((sys.path, entries))


def register(sent: bytes, registries: Registries = TRAINING) -> None:
    """Register in this process what `entries_of` the same registries returned in the one that started it.

    Raises:
        InputError: an entry's module can't be imported here; names both.
    """
    places, entries = pickle.loads(sent)
    sys.path += [place for place in places if place not in sys.path]
    for registry, packed in zip(registries, entries, strict=True):
        for name, blob in packed.items():
            try:
                registry[name] = pickle.loads(blob)
            except Exception as error:  # whatever the import of a module raises
                raise InputError(f"'{name}' is registered and unknown in another process: {error}") from None
