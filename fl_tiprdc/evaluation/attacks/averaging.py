"""The averaging attack: what several independent draws of one person's release tell together.

The mean of k draws of z̃ = √d e/‖e‖ + σ ε has noise σ/√k, so k draws are worth one release with less noise, up to
(d/2) log2(1 + k/σ²) bits. Publication answers the same question with the same draw; this says what that is worth, and
measures how much noise is left in the mean of releases that somebody has collected. A server that sends an extractor
that differs in the last digit does get another draw: only a limit to the number of releases stops that.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import Crowd, Floats
from fl_tiprdc.evaluation.audit import AuditedRelease, audit, truth_of
from fl_tiprdc.release import release as made
from fl_tiprdc.release.draws import draws_from
from fl_tiprdc.seeding import torch_generator

KIND, UNIT = "averaging", "draws"  # in metrics.csv; the target is the private attribute
DRAWS = (1, 4, 16)


def mean_release(how: made.ReleaseMaker, crowd: Crowd, draws: int, seed: int) -> Floats:
    """Return the mean [n, d] of `draws` releases of every record, for a white box: it needs the extractor."""
    total = np.zeros(())
    for draw in range(draws):
        total = total + how.apply(crowd.x, crowd.private, draws_from(torch_generator(seed, "averaging", draw))).z
    mean: Floats = np.asarray(total / draws, dtype=np.float32)
    return mean


def averaging_attack(
    how: made.ReleaseMaker,
    contributors: Crowd,
    held_out: Crowd,
    sigma: float,
    where: AuditedRelease,
    config: AuditConfig,
    draws: Sequence[int] = DRAWS,
) -> pd.DataFrame:
    """Train the panel of attackers on means of k draws, test it on means of k draws of held-out people.

    Args:
        how: what makes a release.
        contributors: whom attackers learn from.
        held_out: whom they are tested on.
        sigma: the channel's noise; 0: the release has none that an attacker could model, as codes.
        where: names the setting, method, λ and seed; its representations are not looked at.
        config: the attackers.
        draws: the k to try.

    Returns:
        Rows of metrics.csv: kind "averaging", target the private attribute, at a level of k draws.
    """
    known, unknown = truth_of(contributors), truth_of(held_out)
    tables: list[pd.DataFrame] = []
    clean = how.apply_without_noise(contributors.x, contributors.private) if sigma else None
    for k in draws:
        known_mean = mean_release(how, contributors, k, where.seed)
        unknown_mean = mean_release(how, held_out, k, where.seed + 1)
        noise = sigma / math.sqrt(k)
        release = AuditedRelease(
            where.setting, where.method, where.lam, where.seed, known_mean, unknown_mean, clean, noise
        )
        table = audit(release, known, unknown, config.model_copy(update={"probes": ()}))
        attacks = table[table["kind"] == "attack"]
        tables.append(attacks.assign(kind=KIND, level=k, unit=UNIT).astype({"level": "Int64"}))
    return pd.concat(tables, ignore_index=True)
