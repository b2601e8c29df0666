"""One experiment with several partitions: does it matter which client holds what?

python simulations/partitions.py --seeds 0,1,2

Takes the flags of run.py. Each partition is a run of its own, in a folder under the output; runs that are there
already, with the same settings, are taken as they are. Centralized training and the baselines are done once.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fl_tiprdc.command_line.flags import experiment_parser, read_experiment
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.config import Experiment
from fl_tiprdc.errors import InputError, require_once
from fl_tiprdc.evaluation.frontier import CURVE, dial, frontier_area, retention_at
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.report.partition_figure import partition_figure
from fl_tiprdc.report.style import save
from fl_tiprdc.whole_file import write_table
from simulations.cells import tabulate
from simulations.tables import show

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


def partitions_parser() -> Parser:
    """Return the parser of the flags."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument(
        "--partitions",
        default="iid,dirichlet:0.3,by-private",
        help="partitions to compare, in place of --partition (default: %(default)s)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run or take every partition, compare, print, save."""
    parsed = partitions_parser().parse_args(arguments)
    experiments: list[Experiment] = []
    if parsed.partition is not None:
        raise InputError(f"--partition '{parsed.partition}': name all that are to be compared with --partitions")
    specs = some_words(parsed.partitions, "partitions")
    require_once("partition", specs)
    for spec in specs:
        one = argparse.Namespace(**{**vars(parsed), "partition": spec})
        if experiments:
            one.settings = "federated"
        experiments.append(read_experiment(one))
    first = experiments[0]
    name = f"{first.dataset}-{'+'.join(first.private)}-partitions-{first.clients}"
    output = parsed.output or Path.cwd() / "results" / name
    console = Screen()

    def curves(name: str, experiment: Experiment, folder: Path, points: pd.DataFrame) -> pd.DataFrame:
        federated = points["setting"] == "federated"
        points = points.assign(partition=points["setting"].where(~federated, experiment.partition))
        return points if experiment is first else points[federated]

    cells = {experiment.partition.replace(":", "-"): experiment for experiment in experiments}
    together = tabulate(cells, curves, output, "points.csv", console, parsed.resume, 6)
    table = compare_partitions(together)
    write_table(output / "partitions.csv", table)
    save(partition_figure(together), output, "partitions")
    shown = table[table["setting"] != "raw"].drop(columns=["setting", "area"])
    console.print(
        show(shown, f"worst attack AUC and retention at an attack of {LEVEL:g}; means of {len(first.seeds)} seeds")
    )
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
