"""The risk of each code of a run's finite releases, by private attribute: rows of risk.csv."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Population
from fl_tiprdc.evaluation.audit import truth_of
from fl_tiprdc.evaluation.frontier import POINT
from fl_tiprdc.evaluation.posterior_risk import risk_tables
from fl_tiprdc.experiment.further_attacks import Job


def code_risks(population: Population, jobs: Sequence[Job]) -> pd.DataFrame:
    """Count who has each code of each finite release, among people who had no part in fitting it.

    These are the contributors who were set aside from the fit, and the held-out people.

    Args:
        population: ground truth.
        jobs: the releases.

    Returns:
        Columns of a point, "attribute" and `RISK_COLUMNS`; empty where no release is finite.
    """
    known, unknown = truth_of(population.contributors), truth_of(population.held_out)
    tables: list[pd.DataFrame] = []
    for job in jobs:
        release = job.release
        if release.codes is None:
            continue
        codes, held_out_codes = release.codes
        rows = np.arange(len(codes)) if release.unfitted is None else release.unfitted
        truth = known.take(rows if job.rows is None else job.rows[rows])
        labels = {name: np.concatenate([own, unknown.attacks[name]]) for name, own in truth.attacks.items()}
        size = int(max(codes.max(), held_out_codes.max())) + 1
        table = risk_tables(np.concatenate([codes[rows], held_out_codes]), labels, known.class_names, size)
        for place, name in enumerate(POINT):
            table.insert(place, name, getattr(release, name))
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
