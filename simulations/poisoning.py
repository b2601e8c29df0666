"""Hostile clients against aggregation rules: what a share of poisoned updates does to privacy and utility.

python simulations/poisoning.py                      # every kind of hostile client against every rule, Adult
python simulations/poisoning.py --kinds leak --rules mean,median --rounds 2

A cell is one training with one kind of hostile clients and one rule, then an audit of what honest and hostile clients
would publish. Cells that are there already, with the same settings, are taken as they are.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.flags import FLAGS, read_run
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser, some_words
from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.federated.hostile import KINDS
from fl_tiprdc.studies.poisoning import SHORT, poisoned, study_poisoning
from simulations.tables import show
from strategies.robust import AGGREGATIONS

TAKEN = ("clients", "dataset", "private", "data", "data_root", "participant", "records", "size", "partition", "rounds")


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
    return poisoned(asked, rules, share), population


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
    with Stages(console := Screen()) as stages:
        table = study_poisoning(experiment, population, kinds, rules, share, output, stages)
    for value, title in (("attack", "worst attack AUC (0.5 = chance)"), ("retention", "mean retention (raw = 1)")):
        wide = table.pivot_table(index="kind", columns="rule", values=value, sort=False).reset_index()
        console.print(show(wide, f"{share:.0%} of the clients hostile: {title}, mean of {len(experiment.seeds)} seeds"))
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
