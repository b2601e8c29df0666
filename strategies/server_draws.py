"""Sources of the server's coins, noise and names: the seed in a simulation, the operating system in a deployment.

Clients are sent the experiment's seed and, with secure aggregation, the training's name: each of them can compute what
derives from those. A simulation derives coins and noise from them even so, so that it can be repeated. In a deployment,

- noise is drawn anew each time, and kept nowhere. Noise that a key and the exchange's number determine would be added
  twice if an exchange is done twice, and the difference of two noisy sums of different clients would have none. The
  opposite danger is that one sum is released with several draws of noise, to be averaged. A checkpoint after every
  exchange prevents it: what was released isn't summed again;
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
from fl_tiprdc.secagg.messages import ONLY_ATTEMPT
from fl_tiprdc.seeding import derive, numpy_generator

DEPLOYMENT = "deployment"  # the runtime whose clients are real
SECRET_FILE, RUN_FILE, BYTES = "server-secret", "run-name", 32

Values = npt.NDArray[np.float64]


class ServerDraws(Protocol):
    """Draws a server's coins and noise."""

    def coins(self, exchange: int, count: int) -> Values:
        """Return `count` uniform numbers from [0, 1), the same in every call for an exchange."""

    def noise(self, exchange: int, count: int) -> Values:
        """Return `count` standard normal numbers."""


@dataclass(frozen=True)
class SeededDraws:
    """Draws what whoever knows the seed can repeat, for simulations.

    Attributes:
        seed: seed of this training alone; no other may have the same.
    """

    seed: int

    def coins(self, exchange: int, count: int) -> Values:
        """Return `count` uniform numbers from [0, 1), the same in every call for an exchange."""
        return numpy_generator(self.seed, "dp-draw", exchange).random(count)

    def noise(self, exchange: int, count: int) -> Values:
        """Return `count` standard normal numbers, the same in every call for an exchange."""
        return numpy_generator(self.seed, "dp-noise", exchange).standard_normal(count)


@dataclass(frozen=True)
class SecretDraws:
    """Draws what nobody else can repeat, for deployments.

    Attributes:
        secret: secret of this training alone, from which coins follow; it never leaves the server.
    """

    secret: bytes = field(repr=False)

    def coins(self, exchange: int, count: int) -> Values:
        """Return `count` uniform numbers from [0, 1), the same in every call for an exchange."""
        stream = hashlib.shake_256(self.secret + f"coins\x1f{exchange}".encode()).digest(8 * count)
        return (np.frombuffer(stream, "<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def noise(self, exchange: int, count: int) -> Values:
        """Return `count` standard normal numbers, others in every call."""
        whole = np.frombuffer(os.urandom(8 * count), "<u8") >> np.uint64(12)
        # not in single precision: a coarser noise would show a sum's last bits
        normal: Values = ndtri((whole.astype(np.float64) + 0.5) * 2.0**-52)
        return normal


@dataclass(frozen=True)
class TrainingName:
    """Names a training to the members of its sums, who note under it what they have opened.

    Attributes:
        training: no other training has it; where clients are real, no other run either.
        attempt: in a deployment, no other start of the server has it: masks are new with each.
    """

    training: str
    attempt: str = ONLY_ATTEMPT


def name_to_members(experiment: Experiment, training: str, checkpoint: Path | None) -> TrainingName:
    """Return what members of secure sums are told: a run that goes on keeps the name, another one has another.

    With the name of an earlier run, members who have noted what they opened in it would refuse a run with other
    records, other noise or other members.

    Args:
        experiment: settings, whose runtime says whether clients are real.
        training: name of this training, which no other with other settings has.
        checkpoint: path of the checkpoint beside which a deployment keeps its name; None: it isn't kept.

    Raises:
        InputError: a kept name is damaged.
    """
    if experiment.runtime != DEPLOYMENT:
        return TrainingName(training)
    drawn = _kept(checkpoint.with_name(RUN_FILE)) if checkpoint else secrets.token_bytes(BYTES)
    return TrainingName(f"{training} {drawn.hex()}", secrets.token_hex(BYTES))


def server_draws(experiment: Experiment, training: str, checkpoint: Path | None) -> ServerDraws | None:
    """Return the source of a training's coins and noise; None: the settings ask for no noise.

    Args:
        experiment: settings, whose runtime says whether clients are real.
        training: name of this training, which no other has.
        checkpoint: path of the checkpoint beside which a deployment keeps its secret; None: it isn't kept.

    Raises:
        InputError: a kept secret is damaged.
    """
    if not experiment.protection.noise:
        return None
    if experiment.runtime == DEPLOYMENT:
        return SecretDraws(_kept(checkpoint.with_name(SECRET_FILE)) if checkpoint else secrets.token_bytes(BYTES))
    return SeededDraws(derive(0, "private", training))


def _kept(path: Path) -> bytes:
    """Return the random bytes kept at a path; where there are none, write new ones that only their owner may read."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        partial.touch(0o600)
        partial.write_bytes(secrets.token_bytes(BYTES))
        partial.replace(path)
    secret = path.read_bytes()
    if len(secret) != BYTES:
        raise InputError(f"'{path}', kept from the interrupted run, is damaged: start without --resume")
    return secret
