"""The study of exchanges: ways to train, and what each sends against what tasks keep.

Everything is counted that one training sends: of codes the questions of the fit and the publications of all values of
λ, which share them; of other methods the training and publication of one λ.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fl_tiprdc.config import Experiment, build_experiment, merge
from fl_tiprdc.evaluation.frontier import over_seeds, retention_at
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.report.exchanges_figure import exchanges_figure
from fl_tiprdc.report.style import save
from fl_tiprdc.studies.cells import Cell, tabulate

LEVEL = 0.6  # the attack at which methods are compared


class Training(NamedTuple):
    """Describe one way to train: a method, and what differs from the experiment."""

    method: str
    changes: Mapping[str, Any] = {}


def _coded(local_rounds: int) -> dict[str, Any]:
    return {"method": {"coded": {"local_rounds": local_rounds}}}


def _coded_crowd(**federation: int) -> dict[str, Any]:
    """Return what 10,000 clients of three records change: components for an extractor, and samples of clients."""
    return {
        "clients": 10_000,
        "lambdas": (1.0,),
        "network": {"representation": 16},
        "federation": federation,
        "method": {"coded": {"coding": {"extractor": "components"}}},
    }


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
    "coded-10000-clients": Training("coded", _coded_crowd(codebook_clients=1000)),
    "coded-10000-clients-3000-fitted": Training("coded", _coded_crowd(codebook_clients=1000, coupling_clients=3000)),
    "tiprdc": Training("tiprdc"),
    "tiprdc+": Training("tiprdc+"),
    "tiprdc+-4-rounds": Training("tiprdc+", {"federation": {"rounds": 4}}),
    "tiprdc+-10-rounds": Training(
        "tiprdc+", {"federation": {"rounds": 10}, "method": {"tiprdc+": {"closing_steps": 0}}}
    ),
}


def trainings_of(experiment: Experiment) -> int:
    """Return the number of federated trainings in a run of one method: all values of λ share the one of codes."""
    return len(experiment.seeds) * (1 if experiment.codings else len(experiment.lambdas))


def traffic_of(experiment: Experiment, folder: Path) -> tuple[float, float]:
    """Return the exchanges and megabytes of one training of a finished run of one method."""
    rounds = pd.read_csv(folder / "rounds.csv")
    rounds = rounds[rounds["setting"] == "federated"]
    sent = json.loads((folder / "summary.json").read_text())["bytes"]
    releases = len(experiment.lambdas) if experiment.codings else 1
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


def study_exchanges(cells: Mapping[str, Cell], output: Path, console: Screen, resume: bool = False) -> pd.DataFrame:
    """Run or take every cell and write exchanges.csv and the figure.

    Args:
        cells: name of a way to train -> what to run.
        output: folder of the study.
        console: for progress.
        resume: go on with an interrupted cell.

    Returns:
        The table, one row for each λ.
    """
    table = tabulate(cells, exchange_rows, output, "exchanges.csv", console, resume)
    save(exchanges_figure(table, LEVEL), output, "exchanges")
    return table


def planned(name: str, experiment: Experiment) -> Experiment:
    """Return the federated experiment of one way to train, of one of its method; of codes with the strictest λ too."""
    lambdas = tuple(dict.fromkeys((*experiment.lambdas, 1.0))) if experiment.codings else experiment.lambdas
    changes = merge({"settings": ("federated",), "lambdas": lambdas}, TRAININGS[name].changes)
    return build_experiment(merge(experiment.model_dump(), changes))
