"""Releases to compare with, each with a dial; audited like every other representation."""

from collections.abc import Callable
from dataclasses import dataclass

from fl_tiprdc.baselines.baseline_release import BaselineRelease
from fl_tiprdc.baselines.encoder import encoder
from fl_tiprdc.baselines.gaussian_noise import gaussian_noise
from fl_tiprdc.baselines.hybrid_osia import hybrid_osia
from fl_tiprdc.baselines.known_task import known_task
from fl_tiprdc.baselines.leace import leace
from fl_tiprdc.baselines.local_laplace import local_laplace
from fl_tiprdc.data.crowd import Crowd

Release = Callable[[float], BaselineRelease]


@dataclass(frozen=True)
class Baseline:
    """Describe a release to compare with.

    Attributes:
        fit: from (contributors, held-out people, seed) to a function of the dial that gives what they would publish.
            Whatever it trains, it trains on contributors, and only once if the dial has no say.
        dials: values of the dial that are tried, from little to much privacy.
        dial: what the dial is, in a few words.
    """

    fit: Callable[[Crowd, Crowd, int], Release]
    dials: tuple[float, ...]
    dial: str

    def release(self, contributors: Crowd, held_out: Crowd, dial: float, seed: int) -> BaselineRelease:
        """Return what both groups of people would publish at one value of the dial."""
        return self.fit(contributors, held_out, seed)(dial)


BASELINES: dict[str, Baseline] = {
    "gaussian-noise": Baseline(gaussian_noise, (0.5, 1.0, 2.0, 4.0), "noise σ, in standard deviations"),
    "local-laplace": Baseline(local_laplace, (0.01, 0.02, 0.05, 0.1, 1.0), "1/ε, ε-local privacy of a whole record"),
    "encoder": Baseline(encoder, (0.0, 0.5, 1.0, 2.0, 4.0), "noise σ, in standard deviations of the code"),
    "hybrid-osia": Baseline(hybrid_osia, (0.0, 0.5, 1.0, 2.0), "noise σ, in deviations of the 8 components"),
    "known-task": Baseline(known_task, (0.1, 0.3, 0.5, 0.7, 0.9), "λ, privacy against the first task"),
    "leace": Baseline(leace, (0.0, 1.0, 1.5, 1.75, 2.0, 3.0), "share erased; beyond 1 also noise σ = dial - 1"),
}
