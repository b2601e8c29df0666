"""Measure what a client's updates give away: the server tries to read the private value from what it is sent.

python simulations/updates.py                                  # Adult, 100 clients, three partitions
python simulations/updates.py --partitions by-private --quick  # a small one

The crowd is trained by the real strategy, once for each partition and kind of exchange. At the start, in the middle and
at the end every client answers the same message. The attacker makes shadow clients of held-out people, dealt like the
crowd, lets them answer too, and learns from their answers: without defense, with clipping and noise on each client, and
with sums of several clients (secure aggregation).
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from fl_tiprdc.command_line.flags import FLAGS, read_run
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.partition import parse_partition
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.evaluation.attacks.seen_updates import NONE, Defence
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.studies.updates import (
    MOMENTS,
    UpdateStudy,
    attacked_value,
    check_partitions,
    study_updates,
    summarize_updates,
)
from simulations.tables import show
from strategies.exchange_plan import EXCHANGES

TAKEN = ("clients", "dataset", "private", "data", "data_root", "participant", "records", "size", "runtime", "rounds")


def _numbers(text: str, flag: str, least: float) -> list[float]:
    try:
        values = [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        values = [-1.0]
    if any(not math.isfinite(value) or value < least for value in values):
        raise InputError(f"--{flag} '{text}': give numbers of at least {least:g} with commas between them")
    if len(set(values)) < len(values):
        raise InputError(f"--{flag} '{text}': has a number twice")
    return values


def updates_parser() -> Parser:
    """Return the parser of the flags."""
    parser = Parser(description=__doc__ or "")
    for name in TAKEN:
        usual = {"runtime": "inline", "rounds": "2"}.get(name)
        text = FLAGS[name].help.replace("%", "%%")
        if usual:
            text = f"{text.rsplit(' (default', 1)[0]} (default: {usual})"
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=name.upper(), help=text, default=usual)
    parser.add_argument("--method", default="tiprdc+", help="training method (default: %(default)s)")
    parser.add_argument("--lam", default="0.5", help="weight of privacy against information (default: %(default)s)")
    parser.add_argument("--seed", default="0", help="experiment seed (default: %(default)s)")
    parser.add_argument(
        "--partitions", default="iid,dirichlet:0.3,by-private", help="who holds what (default: %(default)s)"
    )
    parser.add_argument("--exchanges", default="gradients,weights", help="kinds of exchange (default: %(default)s)")
    parser.add_argument(
        "--moments", default=",".join(MOMENTS), help="moments of the training to attack at (default: %(default)s)"
    )
    parser.add_argument("--value", help="private value to attack (default: the first attribute's rarest)")
    parser.add_argument(
        "--shadows",
        type=int,
        default=2,
        help="shadow crowds to learn from, as large as the real (default: %(default)s)",
    )
    parser.add_argument(
        "--noise",
        default="0,0.1,0.3,1,3",
        help="noise multipliers; 0: clipping alone (default: %(default)s)",
    )
    parser.add_argument("--members", default="2,5,20,50", help="clients in a sum (default: %(default)s)")
    parser.add_argument("--bootstrap", type=int, default=200, help="resamples of the clients (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="folder of the results (default: results/DATASET-updates-CLIENTS)")
    parser.add_argument(
        "--quick", action="store_true", help="settings of run.py --quick, and one shadow crowd (default: off)"
    )
    parser.add_argument("--config", type=Path, help="a TOML file with any setting; flags win over it (default: none)")
    return parser


def _read(parsed: argparse.Namespace) -> tuple[list[Experiment], Population]:
    settings: dict[str, object] = dict.fromkeys(FLAGS) | {
        key: value for key, value in vars(parsed).items() if key in (*TAKEN, "quick", "config")
    }
    settings |= {"methods": parsed.method, "lambdas": parsed.lam, "seeds": parsed.seed}
    specs = [spec.strip() for spec in parsed.partitions.split(",") if spec.strip()]
    if not specs or len(set(specs)) < len(specs):
        raise InputError(f"--partitions '{parsed.partitions}': name at least one, each once")
    first, population = read_run(argparse.Namespace(**settings | {"partition": specs[0]}))
    for flag, field in (("method", "methods"), ("lam", "lambdas"), ("seed", "seeds")):
        if len(getattr(first, field)) != 1:
            raise InputError(f"--{flag} '{getattr(parsed, flag)}': give one value")
    for spec in specs:
        parse_partition(spec)
    return [first.model_copy(update={"partition": spec}) for spec in specs], population


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, train, attack, print, save."""
    parsed = updates_parser().parse_args(arguments)
    experiments, population = _read(parsed)
    first = experiments[0]
    kinds = [kind.strip() for kind in parsed.exchanges.split(",") if kind.strip()]
    require_known("exchange", kinds or [parsed.exchanges], EXCHANGES)
    require_once("exchange", kinds)
    moments = tuple(moment.strip() for moment in parsed.moments.split(",") if moment.strip())
    require_known("moment", moments or (parsed.moments,), MOMENTS)
    require_once("moment", moments)
    members = _numbers(parsed.members, "members", 2)
    if any(m > first.clients or m != int(m) for m in members):
        raise InputError(f"--members '{parsed.members}': give whole numbers up to {first.clients}, the clients")
    if parsed.shadows < 1 or parsed.bootstrap < 1:
        raise InputError("--shadows and --bootstrap must be at least 1")
    defences = (
        NONE,
        *(Defence("noise", level) for level in _numbers(parsed.noise, "noise", 0)),
        *(Defence("sum", m) for m in members),
    )
    check_partitions(experiments, population)
    value, share = attacked_value(population, parsed.value)
    shadows = 1 if parsed.quick else parsed.shadows
    plan = UpdateStudy(value, share, shadows, defences, parsed.bootstrap, moments)
    output = parsed.output or Path.cwd() / "results" / f"{first.dataset}-updates-{first.clients}"
    open_folder(output)
    console = Screen()
    with Stages(console) as stages:
        table = study_updates(experiments, kinds, population, plan, output, stages)
    attribute = population.contributors.description.attributes[0]
    secret = f"{attribute.name} = {attribute.classes[value]}"
    for spec, mine in table.groupby("partition", sort=False):
        console.print(
            show(summarize_updates(mine), f"{spec}: AUC of reading {secret} from a client's update; chance is 0.50")
        )
    console.print(stages.table())
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
