"""Hostile clients against aggregation rules: what a share of poisoned updates does to privacy and utility.

python simulations/poisoning.py                      # every kind of hostile client against every rule, Adult
python simulations/poisoning.py --kinds leak --rules mean,median --rounds 2

A cell is one training with one kind of hostile clients and one rule, then an audit of what honest and hostile clients
would publish. Cells that are there already, with the same settings, are taken as they are.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from fl_tiprdc.command_line.flags import FLAGS, read_run
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.config import QUICK, Experiment, Point, build_experiment, merge
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.data.raw_features import raw_features, raw_shape
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.evaluation.audit import AuditedRelease, audit, truth_of
from fl_tiprdc.evaluation.frontier import summarize_points
from fl_tiprdc.experiment.outcome import audited_release
from fl_tiprdc.experiment.parallel import as_done
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import config_text, open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.federated.hostile import KINDS, HostileGrid, hostile_clients
from fl_tiprdc.federated.server_app import Trained, train_point
from fl_tiprdc.federated.serving import serve_on
from fl_tiprdc.release.arrays import GroupArrays, released_groups
from fl_tiprdc.whole_file import write_table, write_whole
from simulations.tables import show
from strategies.robust import AGGREGATIONS, check_aggregation
from strategies.roster import take_roster

TAKEN = ("clients", "dataset", "private", "data", "data_root", "participant", "records", "size", "partition", "rounds")
# a cell in about half a minute: a shorter training, and the panel's quick ones beside a white box
SHORT = {
    "settings": ("federated",),
    "baselines": (),
    "federation": {"rounds": 8, "updates_per_round": 15},
    "audit": {
        **QUICK["audit"],
        "attackers": ("logistic", "boosting", "white-box-mlp"),
        "attack_records": 8000,
        "bootstrap": 50,
        "further": (),
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


def _parser() -> Parser:
    parser = Parser(description=__doc__ or "")
    for name in TAKEN:
        text = FLAGS[name].help.replace("%", "%%")
        if name == "rounds":
            text = f"{text.rsplit(' (default', 1)[0]} (default: {SHORT['federation']['rounds']})"  # type: ignore[index]
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=name.upper(), help=text)
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of hostile clients (default: %(default)s)")
    parser.add_argument("--rules", default=",".join(AGGREGATIONS), help="aggregation rules (default: %(default)s)")
    parser.add_argument("--share", default="0.2", help="share of the clients that is hostile (default: %(default)s)")
    parser.add_argument("--method", default="tiprdc+", help="training method (default: %(default)s)")
    parser.add_argument("--lam", default="0.9", help="weight of privacy against information (default: %(default)s)")
    parser.add_argument("--seeds", default="0", help="experiment seeds (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="folder (default: results/DATASET-poisoning-CLIENTS)")
    parser.add_argument("--config", type=Path, help="a TOML file with any setting; flags win over it (default: none)")
    return parser


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 0.5:
        raise InputError(f"--share '{text}': give a share of at least 0 and below 0.5")
    return share


def _read(parsed: argparse.Namespace, rules: Sequence[str], share: float) -> tuple[Experiment, Population]:
    """Return the settings, with which rules take that share to be hostile, and the people."""
    settings: dict[str, object] = dict.fromkeys(FLAGS) | {name: getattr(parsed, name) for name in (*TAKEN, "config")}
    settings |= {"methods": parsed.method, "lambdas": parsed.lam, "seeds": parsed.seeds, "quick": False}
    asked, population = read_run(argparse.Namespace(**settings))
    for flag, values in (("method", asked.methods), ("lam", asked.lambdas)):
        if len(values) != 1:
            raise InputError(f"--{flag} '{getattr(parsed, flag)}': give one value")
    given = asked.model_dump(exclude_unset=True)
    experiment = build_experiment(merge(merge(SHORT, {"federation": {"byzantine": share}}), given))
    for rule in rules:
        federation = experiment.federation.model_copy(update={"aggregation": rule})
        check_aggregation(experiment.model_copy(update={"federation": federation}))
    return experiment, population


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, train and audit every cell, print, save."""
    parsed = _parser().parse_args(arguments)
    kinds, rules = some_words(parsed.kinds, "kinds"), some_words(parsed.rules, "rules")
    require_known("kind of hostile clients", kinds, KINDS)
    require_known("aggregation rule", rules, AGGREGATIONS)
    require_once("kind", kinds)
    require_once("rule", rules)
    share = _share(parsed.share)
    experiment, population = _read(parsed, rules, share)
    output = parsed.output or Path.cwd() / "results" / f"{experiment.dataset}-poisoning-{experiment.clients}"
    open_folder(output)
    config = f"# hostile share: {share:g}\n{config_text(experiment)}"
    table = taken(output, config, kinds, rules)
    done = {tuple(pair) for pair in table[["kind", "rule"]].itertuples(index=False)}
    write_table(output / "poisoning.csv", table)
    write_whole(output / "config.toml", config.encode())
    console = Screen()
    crowd = population.contributors
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder, Stages(console) as stages:
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
    for value, title in (("attack", "worst attack AUC (0.5 = chance)"), ("retention", "mean retention (raw = 1)")):
        wide = table.pivot_table(index="kind", columns="rule", values=value, sort=False).reset_index()
        console.print(show(wide, f"{share:.0%} of the clients hostile: {title}, mean of {len(experiment.seeds)} seeds"))
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
