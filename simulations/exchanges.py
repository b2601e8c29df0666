"""Measure what a federation sends and what it gets: exchanges and megabytes of each method against what tasks keep.

python simulations/exchanges.py --output results/reference/exchanges

Takes the flags of run.py. Each row is a run of its own, in a folder under the output; runs that are there already, with
the same settings, are taken as they are. Everything is counted that one training sends: of codes the questions of the
fit and the publications of all values of λ, which share them; of other methods the training and publication of one λ.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fl_tiprdc.command_line.flags import experiment_parser, read_experiment
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.config import Experiment, build_experiment, merge
from fl_tiprdc.errors import require_known
from fl_tiprdc.evaluation.frontier import over_seeds, retention_at
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.report.exchanges_figure import exchanges_figure
from fl_tiprdc.report.style import save
from simulations.cells import tabulate
from simulations.tables import show

LEVEL = 0.6  # the attack at which methods are compared


class Training(NamedTuple):
    """Describe one way to train: a method, and what differs from the experiment."""

    method: str
    changes: Mapping[str, Any] = {}


def _coded(local_rounds: int) -> dict[str, Any]:
    return {"method": {"coded": {"local_rounds": local_rounds}}}


TRAININGS = {
    "coded": Training("coded"),
    "coded-200-exchanges": Training("coded", _coded(1) | {"federation": {"rounds": 200}}),
    "coded-440-exchanges": Training("coded", _coded(1) | {"federation": {"rounds": 406}}),
    "coded-every-round": Training("coded", _coded(1)),
    "coded-every-4-rounds": Training("coded", _coded(4)),
    "coded-server-momentum": Training("coded", _coded(4) | {"federation": {"server_momentum": 0.5}}),
    "coded-20-clients": Training("coded", {"federation": {"clients_per_round": 20}}),
    "coded-by-private": Training("coded", {"partition": "by-private"}),
    "coded-small-networks": Training(
        "coded", {"network": {"representation": 16, "extractor_hidden": (64,), "critic_hidden": (64,)}}
    ),
    # three records each: components for an extractor, which like the codebook are made of a tenth of the clients
    "coded-10000-clients": Training(
        "coded",
        {
            "clients": 10_000,
            "lambdas": (1.0,),
            "network": {"representation": 16},
            "federation": {"codebook_clients": 1000},
            "method": {"coded": {"coding": {"extractor": "components"}}},
        },
    ),
    "tiprdc": Training("tiprdc"),
    "tiprdc+": Training("tiprdc+"),
    "tiprdc+-4-rounds": Training("tiprdc+", {"federation": {"rounds": 4}}),
    "tiprdc+-10-rounds": Training(
        "tiprdc+", {"federation": {"rounds": 10}, "method": {"tiprdc+": {"closing_steps": 0}}}
    ),
}


def trainings_of(experiment: Experiment) -> int:
    """Return the number of federated trainings in a run of one method: all values of λ share the one of codes."""
    coded = experiment.method_config(experiment.methods[0]).coding is not None
    return len(experiment.seeds) * (1 if coded else len(experiment.lambdas))


def traffic_of(experiment: Experiment, folder: Path) -> tuple[float, float]:
    """Return the exchanges and megabytes of one training of a finished run of one method."""
    rounds = pd.read_csv(folder / "rounds.csv")
    rounds = rounds[rounds["setting"] == "federated"]
    sent = json.loads((folder / "summary.json").read_text())["bytes"]
    coded = experiment.method_config(experiment.methods[0]).coding is not None
    releases = len(experiment.lambdas) if coded else 1
    trainings = trainings_of(experiment)
    return len(rounds) / trainings + releases, sum(sent.values()) / trainings / 1e6


def exchange_rows(name: str, experiment: Experiment, folder: Path, points: pd.DataFrame) -> pd.DataFrame:
    """Return a row of exchanges.csv for each λ, means over seeds."""
    exchanges, megabytes = traffic_of(experiment, folder)
    federated = points[points["setting"] == "federated"]
    shared = {"plan": name, "method": experiment.methods[0], "clients": experiment.clients, "exchanges": exchanges}
    shared |= {"megabytes": round(megabytes, 1), "retention_at": retention_at(federated, LEVEL)}
    kept = over_seeds(federated)[["lam", "retention", "attack"]]
    return pd.DataFrame([shared]).merge(kept, how="cross")


def exchanges_parser() -> Parser:
    """Return the parser of the flags."""
    parser = experiment_parser(__doc__ or "")
    parser.add_argument("--plans", default=",".join(TRAININGS), help="ways to train (default: all)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run or take every plan, print, draw, save."""
    parsed = exchanges_parser().parse_args(arguments)
    if parsed.config is None:
        parsed.config = "exchanges"
    console = Screen()
    output = parsed.output or Path.cwd() / "results" / "exchanges"
    names = some_words(parsed.plans, "plans")
    require_known("plan", names, TRAININGS)
    cells: dict[str, Experiment] = {}
    for name in names:
        plan = TRAININGS[name]
        one = read_experiment(argparse.Namespace(**{**vars(parsed), "methods": plan.method}))
        lambdas = one.lambdas if one.method_config(plan.method).coding is None else (*one.lambdas, 1.0)
        changes = merge({"settings": ("federated",), "lambdas": lambdas}, plan.changes)
        cells[name] = build_experiment(merge(one.model_dump(), changes))
    table = tabulate(cells, exchange_rows, output, "exchanges.csv", console, parsed.resume)
    save(exchanges_figure(table, LEVEL), output, "exchanges")
    console.print(show(table, f"means over seeds; retention_at: at a worst attack of {LEVEL:g}"))
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
