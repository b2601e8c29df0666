"""Random generators derived from (seed, purpose, ids...): passed on, never global.

Two generators with different purposes or ids are independent, and none depends on how many others were made
before it, so a client draws the same numbers in every runtime.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_layers = threading.Lock()


def derive(seed: int, purpose: str, *ids: int | str) -> int:
    """Return a 63-bit seed for one `purpose` and the `ids` within it (client, round, ...)."""
    text = "\x1f".join([str(seed), purpose, *map(str, ids)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_generator(seed: int, purpose: str, *ids: int | str) -> torch.Generator:
    """Return a CPU generator for `derive(seed, purpose, *ids)`."""
    return torch.Generator().manual_seed(derive(seed, purpose, *ids))


def numpy_generator(seed: int, purpose: str, *ids: int | str) -> np.random.Generator:
    """Return a numpy generator for `derive(seed, purpose, *ids)`."""
    return np.random.default_rng(derive(seed, purpose, *ids))


@contextmanager
def layer_draws(seed: int) -> Iterator[None]:
    """Make all that torch's layers draw in this context (initial weights, dropout) depend on `seed` alone.

    They draw from a generator that all threads share: one thread at a time enters, and its state is restored after.
    """
    with _layers, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
