"""Releases to compare with, each with a dial; audited like every other representation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fl_tiprdc.baselines.gaussian_noise import gaussian_noise
from fl_tiprdc.data.crowd import Crowd, Floats

Release = Callable[[Crowd, Crowd, float, int], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Baseline:
    """A way to release.

    Attributes:
        release: from (contributors, held-out people, dial, seed) to what they would publish, [n, k] and [m, k].
            Whatever it trains, it trains on contributors.
        dials: values of the dial that are tried, from little to much privacy.
        dial: what the dial is, in a few words.
    """

    release: Release
    dials: tuple[float, ...]
    dial: str


BASELINES: Mapping[str, Baseline] = {
    "gaussian-noise": Baseline(gaussian_noise, (0.5, 1.0, 2.0, 4.0), "noise σ, in standard deviations"),
}
