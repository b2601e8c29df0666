"""The study of partitions: what it costs the curves that each client holds other people."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fl_tiprdc.config import Experiment
from fl_tiprdc.evaluation.frontier import CURVE, dial, frontier_area, retention_at
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.report.partition_figure import partition_figure
from fl_tiprdc.report.style import save
from fl_tiprdc.studies.cells import Cell, tabulate
from fl_tiprdc.whole_file import write_table

LEVEL = 0.6  # the attack at which settings are compared


def compare_partitions(points: pd.DataFrame) -> pd.DataFrame:
    """Return one row a curve: retention at an attack of `LEVEL`, its distance from centralized, the dial, the area.

    `retention_outside` is the retention where the best attacker *without* the released extractor has that AUC.
    """
    rows: list[dict[str, object]] = []
    for (partition, setting, method), curve in points.groupby(["partition", *CURVE], sort=False):
        rows.append(
            {
                "partition": partition,
                "setting": setting,
                "method": method,
                "attack_least": curve.groupby("seed")["attack"].min().mean(),
                "attack_most": curve.groupby("seed")["attack"].max().mean(),
                "retention": retention_at(curve, LEVEL),
                "retention_outside": retention_at(curve.assign(attack=curve["attack_outside"]), LEVEL),
                "spearman": dial(curve) if setting != "raw" else float("nan"),
                "area": frontier_area(curve),
            }
        )
    table = pd.DataFrame(rows)
    reached = table[table["setting"] == "centralized"].set_index("method")["retention"]
    table["below_centralized"] = table["method"].map(reached) - table["retention"]
    return table


def study_partitions(cells: Mapping[str, Cell], output: Path, console: Screen, resume: bool = False) -> pd.DataFrame:
    """Run or take a cell for each partition and write points.csv, partitions.csv and the figure.

    Args:
        cells: name -> what to run; centralized training and baselines are taken of the first.
        output: folder of the study.
        console: for progress.
        resume: go on with an interrupted cell.

    Returns:
        `compare_partitions`' table.
    """
    first = next(iter(cells))

    def curves(name: str, experiment: Experiment, folder: Path, points: pd.DataFrame) -> pd.DataFrame:
        federated = points["setting"] == "federated"
        points = points.assign(partition=points["setting"].where(~federated, experiment.partition))
        return points if name == first else points[federated]

    points = tabulate(cells, curves, output, "points.csv", console, resume, 6)
    table = compare_partitions(points)
    write_table(output / "partitions.csv", table)
    save(partition_figure(points), output, "partitions")
    return table
