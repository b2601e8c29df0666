"""The study of poisoning: hostile clients of each kind against each aggregation rule, in privacy and utility.

A cell is one training with one kind of hostile clients and one rule, then an audit of what honest and hostile clients
would publish.
"""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from fl_tiprdc.config import Experiment, Point, build_experiment, merge
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.data.raw_features import raw_features, raw_shape
from fl_tiprdc.evaluation.audit import AuditedRelease, audit, truth_of
from fl_tiprdc.evaluation.frontier import summarize_points
from fl_tiprdc.experiment.outcome import audited_release
from fl_tiprdc.experiment.parallel import as_done
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import config_text
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.federated.hostile import KINDS, HostileGrid, hostile_clients
from fl_tiprdc.federated.server_app import Trained, train_point
from fl_tiprdc.federated.serving import serve_on
from fl_tiprdc.release.arrays import GroupArrays, released_groups
from fl_tiprdc.whole_file import write_table, write_whole
from strategies.robust import AGGREGATIONS, check_aggregation
from strategies.roster import take_roster

# a cell in about half a minute: a shorter training, and the panel's quick ones beside a white box
SHORT = {
    "settings": ("federated",),
    "baselines": (),
    "federation": {"rounds": 8, "updates_per_round": 15},
    "audit": {
        "attackers": ("logistic", "boosting", "white-box-mlp"),
        "probes": ("logistic", "boosting"),
        "attack_records": 8000,
        "probe_records": 4000,
        "bootstrap": 50,
        "further": (),
        "reconstruction_steps": 100,
    },
}
COLUMNS = ["kind", "rule", "share", "seed", "attack", "attack_low", "attack_high", "attacker", "retention", "seconds"]


def train(experiment: Experiment, store: ClientStore, kind: str, share: float, point: Point) -> GroupArrays:
    """Return the release that a crowd with hostile clients ends up with."""
    grid = HostileGrid(store, kind, hostile_clients(len(store), share, point.seed))
    trained: Trained = serve_on(
        grid, lambda grid: train_point(grid, take_roster(grid, len(store)), experiment, store.description, point)
    )
    return released_groups(trained.groups)


def cell(
    kind: str, rule: str, share: float, experiment: Experiment, store: Path, population: Population, raw: pd.DataFrame
) -> pd.DataFrame:
    """Measure one cell: a row of poisoning.csv for each seed.

    Args:
        kind: of hostile clients.
        rule: of aggregation.
        share: of the clients that is hostile.
        experiment: everything else.
        store: folder with a client store for each seed.
        population: for the audit.
        raw: the audit of raw data.
    """
    torch.set_num_threads(1)
    federation = experiment.federation.model_copy(update={"aggregation": rule})
    experiment = experiment.model_copy(update={"federation": federation})
    known, unknown = truth_of(population.contributors), truth_of(population.held_out)
    rows = []
    for seed in experiment.seeds:
        began = time.perf_counter()
        point = Point(experiment.methods[0], experiment.lambdas[0], seed)
        trained = train(experiment, ClientStore(store / str(seed)), kind, share, point)
        crowds = population.contributors, population.held_out
        release = audited_release(experiment, "federated", point, trained, *crowds)
        metrics = audit(release, known, unknown, experiment.audit)
        points = summarize_points(pd.concat([raw, metrics], ignore_index=True))
        (found,) = points[points["setting"] == "federated"].to_dict("records")
        took = time.perf_counter() - began
        rows.append({"kind": kind, "rule": rule, "share": share, **found, "seconds": took})
    return pd.DataFrame(rows)[COLUMNS]


def audit_raw(experiment: Experiment, population: Population) -> pd.DataFrame:
    """Return what the panel finds in raw data: what retention is measured by."""
    seed = experiment.seeds[0]
    shape = raw_shape(population.contributors.description)
    release = AuditedRelease(
        "raw", "raw", 0.0, seed, raw_features(population.contributors), raw_features(population.held_out), shape=shape
    )
    return audit(release, truth_of(population.contributors), truth_of(population.held_out), experiment.audit)


def taken(folder: Path, config: str, kinds: Sequence[str], rules: Sequence[str]) -> pd.DataFrame:
    """Return the cells of an earlier call with the same settings, as far as they are asked for."""
    path = folder / "poisoning.csv"
    same = path.is_file() and (folder / "config.toml").is_file() and (folder / "config.toml").read_text() == config
    measured = pd.read_csv(path) if same else pd.DataFrame(columns=COLUMNS)
    return measured[measured["kind"].isin(kinds) & measured["rule"].isin(rules)]


def study_poisoning(
    experiment: Experiment,
    population: Population,
    kinds: Sequence[str],
    rules: Sequence[str],
    share: float,
    output: Path,
    stages: Stages,
) -> pd.DataFrame:
    """Train and audit every cell that isn't there yet; write config.toml, and poisoning.csv after each of them.

    Args:
        experiment: what all cells share.
        population: contributors, and held-out people for the audit.
        kinds: of hostile clients.
        rules: of aggregation.
        share: of the clients that is hostile.
        output: folder of the study.
        stages: for progress.

    Returns:
        The table, one row a cell and seed.
    """
    config = f"# hostile share: {share:g}\n{config_text(experiment)}"
    table = taken(output, config, kinds, rules)
    done = {tuple(pair) for pair in table[["kind", "rule"]].itertuples(index=False)}
    write_table(output / "poisoning.csv", table)
    write_whole(output / "config.toml", config.encode())
    crowd = population.contributors
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
        store = Path(folder)
        for seed in experiment.seeds:
            parts = partition(crowd.private, experiment.clients, experiment.partition, seed, crowd.participant)
            write_client_store(store / str(seed), crowd.records(), parts, crowd.description, seed)
        with stages.stage("audit of raw data", 1):
            raw = audit_raw(experiment, population)
        work = {
            f"{kind}, {rule}": partial(cell, kind, rule, share, experiment, store, population, raw)
            for kind in kinds
            for rule in rules
            if (kind, rule) not in done
        }
        with stages.stage("cells", len(work)) as ticker:
            for _, rows in as_done(work):
                table = pd.concat([table, rows], ignore_index=True) if len(table) else rows
                write_table(output / "poisoning.csv", table)
                ticker.tick()
    order = {name: place for place, name in enumerate((*KINDS, *AGGREGATIONS))}
    table = table.sort_values(
        ["kind", "rule", "seed"], key=lambda column: column if column.name == "seed" else column.map(order)
    )
    write_table(output / "poisoning.csv", table)
    return table


def poisoned(asked: Experiment, rules: Sequence[str], share: float) -> Experiment:
    """Return the study's short experiment with what is asked for, checked with each rule.

    Args:
        asked: whatever is set in it wins.
        rules: of aggregation, which take `share` of the clients to be hostile.
        share: of the clients that is hostile.

    Raises:
        InputError: a rule doesn't fit the settings.
    """
    given = asked.model_dump(exclude_unset=True)
    experiment = build_experiment(merge(merge(SHORT, {"federation": {"byzantine": share}}), given))
    for rule in rules:
        federation = experiment.federation.model_copy(update={"aggregation": rule})
        check_aggregation(experiment.model_copy(update={"federation": federation}))
    return experiment
