"""Releases without adversarial training, each with a dial; audited like every other representation.

A baseline is a function (x of contributors, x of held-out people, dial, seed) -> their representations.
"""

from collections.abc import Callable, Mapping

from fl_tiprdc.baselines.gaussian_noise import gaussian_noise
from fl_tiprdc.data.crowd import Floats

Baseline = Callable[[Floats, Floats, float, int], tuple[Floats, Floats]]

BASELINES: Mapping[str, Baseline] = {"gaussian-noise": gaussian_noise}
