"""Where a server's coins and noise come from: the seed in a simulation, the operating system in a deployment.

Clients are sent the experiment's seed, and with secure aggregation the training's name: what derives from those, each
of them can compute. A simulation derives coins and noise from them all the same, to be repeated. In a deployment,

- noise is drawn anew each time, and kept nowhere. Noise that a key and the exchange's number determine would be added
  twice where an exchange is done twice, and the difference of two noisy sums of different clients would have none.
  The other danger, that one sum is released with several draws, to be averaged, is met by a checkpoint after every
  exchange: what was released isn't summed again;
- coins follow from a secret that is kept beside the checkpoint until the run has ended: an exchange that was
  interrupted is done again with the same clients, who open no other sum of it. Another run has another secret.
"""

import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from fl_tiprdc.config import Experiment
from fl_tiprdc.errors import InputError
from fl_tiprdc.seeding import derive, numpy_generator

DEPLOYMENT = "deployment"  # the runtime whose clients are real
SECRET, SECRET_BYTES = "server-secret", 32

Values = npt.NDArray[np.float64]


class ServerDraws(Protocol):
    """What a server draws in an exchange."""

    def coins(self, exchange: int, count: int) -> Values:
        """Uniform numbers from [0, 1), the same each time."""

    def noise(self, exchange: int, count: int) -> Values:
        """Standard normal numbers."""


@dataclass(frozen=True)
class SeededDraws:
    """Draws that can be repeated by whoever knows the seed: of a simulation.

    Attributes:
        seed: of this training alone; no other may have the same.
    """

    seed: int

    def coins(self, exchange: int, count: int) -> Values:
        """Uniform numbers from [0, 1)."""
        return numpy_generator(self.seed, "dp-draw", exchange).random(count)

    def noise(self, exchange: int, count: int) -> Values:
        """Standard normal numbers, the same each time."""
        return numpy_generator(self.seed, "dp-noise", exchange).standard_normal(count)


@dataclass(frozen=True)
class SecretDraws:
    """Draws that nobody else can make: of a deployment.

    Attributes:
        secret: from which coins follow, of this training alone; it leaves the server never.
    """

    secret: bytes = field(repr=False)

    def coins(self, exchange: int, count: int) -> Values:
        """Uniform numbers from [0, 1)."""
        stream = hashlib.shake_256(self.secret + f"coins\x1f{exchange}".encode()).digest(8 * count)
        return (np.frombuffer(stream, "<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def noise(self, exchange: int, count: int) -> Values:
        """Standard normal numbers, others each time."""
        whole = np.frombuffer(os.urandom(8 * count), "<u8") >> np.uint64(12)
        # not in single precision: a coarser noise would show a sum's last bits
        found: Values = ndtri((whole.astype(np.float64) + 0.5) * 2.0**-52)
        return found


def server_draws(experiment: Experiment, training: str, checkpoint: Path | None) -> ServerDraws | None:
    """Return where a training's coins and noise come from; None without noise.

    Args:
        experiment: settings; its runtime says whether clients are real.
        training: name of this training, which no other has.
        checkpoint: beside which a deployment's secret is kept; None: it isn't kept.

    Raises:
        InputError: a kept secret is damaged.
    """
    if not experiment.protection.noise:
        return None
    if experiment.runtime == DEPLOYMENT:
        return SecretDraws(_kept(checkpoint.with_name(SECRET)) if checkpoint else secrets.token_bytes(SECRET_BYTES))
    return SeededDraws(derive(0, "private", training))


def _kept(path: Path) -> bytes:
    """Return the secret at a path; a new one, which only its owner may read, where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        partial.touch(0o600)
        partial.write_bytes(secrets.token_bytes(SECRET_BYTES))
        partial.replace(path)
    found = path.read_bytes()
    if len(found) != SECRET_BYTES:
        raise InputError(f"'{path}', kept from the interrupted run, is damaged: start without --resume")
    return found
