"""Local differential privacy: each client clips its record and adds Laplace noise."""

import math
from collections.abc import Callable

import numpy as np

from fl_tiprdc.baselines.baseline_release import BaselineRelease
from fl_tiprdc.data.crowd import Crowd, Description, Floats
from fl_tiprdc.data.raw_features import raw_features, raw_shape
from fl_tiprdc.seeding import numpy_generator

CLIP = 2.0  # standardized numbers are clipped to ± this


def sensitivity(description: Description) -> float:
    """Return the largest L1 distance of two clipped records, whoever's they are.

    Numbers: the width of their box, 2 · `CLIP`. Categories: 2, a 1 goes and another comes. Pixels from -1 to 1: 2
    each. Texts, one-hot or counted: 2 a place, since one token goes and another comes.
    """
    if description.modality == "table":
        return sum(2.0 if column.kind == "categorical" else 2 * CLIP for column in description.columns)
    return 2.0 * math.prod(description.shape)


def local_laplace(contributors: Crowd, held_out: Crowd, seed: int) -> Callable[[float], BaselineRelease]:
    """Release clipped x + Laplace noise of scale sensitivity · dial, dial = 1/ε: [n, k], [m, k]. At 0 only clipped.

    The Laplace mechanism (Dwork, McSherry, Nissim & Smith, TCC 2006) on the whole record, on the client: ε-local
    differential privacy for *one whole record*, every column and so every attribute, whatever an attacker knows.
    Somebody with r records has r · ε. Scaling and the list of categories are taken as public. Noise is drawn in
    floating point, which the proof doesn't cover (Mironov, CCS 2012).

    This is the strongest promise of all releases here, and it is dear: the sensitivity sums over all columns (34
    on Adult), so an ε that means something (1, say) is noise of scale 34 on columns that are 0 or 1, and destroys
    everything. The part of the dial that leaves a use, ε of tens to hundreds, promises next to nothing
    formally; there it is simply another noise on the record.
    """
    widest = sensitivity(contributors.description)
    numeric = [column.start for column in contributors.description.columns if column.kind == "numeric"]

    def clipped(crowd: Crowd) -> Floats:
        x = np.array(raw_features(crowd))
        x[:, numeric] = x[:, numeric].clip(-CLIP, CLIP)  # all other columns are in their box already
        return x

    known, unknown = clipped(contributors), clipped(held_out)

    def release(dial: float) -> BaselineRelease:
        generator = numpy_generator(seed, "local-laplace", str(dial))

        def noisy(x: Floats) -> Floats:
            return (x + widest * dial * generator.laplace(size=x.shape)).astype(np.float32)

        return BaselineRelease(noisy(known), noisy(unknown), shape=raw_shape(contributors.description))

    return release
