"""The study of the certificate's sharpness: bounds of simulated counts against the attack that is known there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fl_tiprdc.evaluation.code_bounds import asymptotic_bound, best_attacker_auc, bounded_differences
from fl_tiprdc.evaluation.sharp_bound import make_plan, sharp_bound
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.whole_file import write_table

PEOPLE = (9_500, 13_000)  # who certify
CODES = (64, 128, 256, 512)
FITTED = 29_000  # people on whom the coupling was fitted
SHARE = 1 / 3  # of class 1
DELTA = 0.05
LEAKS = ("none", "fitted")


def simulate(people: int, codes: int, leak: str, draws: int) -> dict[str, object]:
    """Return a row of sharpness.csv: means of bounds over draws of counts, and how often the sharp one holds.

    All codes are equally frequent. A fitted coupling leaves differences of the classes that are as large as the
    sampling noise of the people it was fitted on, Σ_c (p1c - p0c)² / q_c = K (1/f0 + 1/f1) in the mean.

    Args:
        people: who certify.
        codes: K.
        leak: "none", or "fitted".
        draws: number of draws.
    """
    generator = numpy_generator(0, "sharpness", people, codes, leak)
    first, second = round(people * (1 - SHARE)), round(people * SHARE)
    plan = make_plan(first, second, codes, DELTA)
    spread = np.sqrt((1 / (FITTED * (1 - SHARE)) + 1 / (FITTED * SHARE)) / codes) if leak == "fitted" else 0.0
    rows = []
    for _ in range(draws):
        differences = spread * generator.standard_normal(codes)
        differences -= differences.mean()
        each = np.stack([1 / codes - SHARE * differences, 1 / codes + (1 - SHARE) * differences]).clip(min=0)
        of_first, of_second = each / each.sum(1, keepdims=True)
        counts = generator.multinomial(first, of_first), generator.multinomial(second, of_second)
        exact, sharp = best_attacker_auc(of_first, of_second), sharp_bound(*counts, plan, generator)
        rows.append((exact, sharp, bounded_differences(*counts, DELTA), asymptotic_bound(*counts, DELTA)))
    exact, sharp, differences, normal = np.array(rows).T
    return {
        "people": people,
        "codes": codes,
        "leak": leak,
        "exact": exact.mean(),
        "sharp": sharp.mean(),
        "deviation": sharp.std(ddof=1) if draws > 1 else 0.0,
        "holds": (sharp >= exact).mean(),
        "bounded_differences": differences.mean(),
        "asymptotic": normal.mean(),
    }


def study_sharpness(draws: int, output: Path, stages: Stages) -> pd.DataFrame:
    """Simulate all numbers of people and codes with and without a leak; write sharpness.csv.

    Args:
        draws: of counts, for each row.
        output: folder of the study.
        stages: for progress.

    Returns:
        The table.
    """
    cells: Sequence[tuple[int, int, str]] = [(n, k, leak) for n in PEOPLE for k in CODES for leak in LEAKS]
    rows = []
    with stages.stage("draws", len(cells)) as ticker:
        for cell in cells:
            rows.append(simulate(*cell, draws))
            ticker.tick()
    table = pd.DataFrame(rows)
    write_table(output / "sharpness.csv", table)
    return table
