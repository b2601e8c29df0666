"""Measure what a client's updates give away: the server tries to read the private value from what it is sent.

python simulations/updates.py                                  # Adult, 100 clients, three partitions
python simulations/updates.py --partitions by-private --quick  # a small one

The crowd is trained by the real strategy, once for each partition and kind of exchange. At the start, in the middle and
at the end every client answers the same message. The attacker makes shadow clients of held-out people, dealt like the
crowd, lets them answer too, and learns from their answers: without defense, with clipping and noise on each client, and
with sums of several clients (secure aggregation).
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fl_tiprdc.command_line.flags import FLAGS, read_run
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.data.crowd import Floats, Population
from fl_tiprdc.data.partition import check_clients, parse_partition
from fl_tiprdc.errors import InputError, choose, require_known, require_once
from fl_tiprdc.evaluation.attacks.seen_updates import NONE, Defence, Updates
from fl_tiprdc.evaluation.attacks.update_attack import Reading, attack, head_place, read_features, read_head
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import config_text, open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.experiment.sent_updates import Attacked, answers, settle, shadow_crowd, snapshots, together
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.report.style import save
from fl_tiprdc.report.update_figure import update_figure
from fl_tiprdc.seeding import derive
from fl_tiprdc.whole_file import write_table, write_whole
from fl_tiprdc.wire.phases import Phase
from simulations.tables import show
from strategies.exchange_plan import EXCHANGES

COLUMNS = (
    "partition",
    "exchange",
    "phase",
    "group",
    "defence",
    "defence_level",
    "moment",
    "attacker",
    "metric",
    "value",
    "low",
    "high",
    "clients",
)
PHASES: dict[str, tuple[Phase, ...]] = {
    "gradients": ("hybrid-gradient", "adversary-gradient"),
    "weights": ("local-training",),
}
TAKEN = ("clients", "dataset", "private", "data", "data_root", "participant", "records", "size", "runtime", "rounds")
MOMENTS = ("start", "middle", "end")


@dataclass(frozen=True)
class UpdateStudy:
    """Say what the attack is about.

    Attributes:
        value: position of the private value among the classes of the first private attribute.
        crowd: its share among the contributors; public.
        shadows: number of shadow crowds, each as large as the real one.
        defences: what is tried.
        bootstrap: resamples.
        moments: of the training at which updates are attacked.
    """

    value: int
    crowd: float
    shadows: int
    defences: tuple[Defence, ...]
    bootstrap: int
    moments: tuple[str, ...] = MOMENTS


def _rows(where: dict[str, object], defence: Defence, reading: Reading) -> list[dict[str, object]]:
    common = where | {"defence": defence.name, "defence_level": defence.level, "attacker": reading.attacker}
    return [
        {**common, "metric": metric, **asdict(score), "clients": reading.clients}
        for metric, score in (("auc", reading.auc), ("rank-correlation", reading.rank))
    ]


def read_plainly(x: Floats, test: Floats, shadow: Updates, real: Updates, plan: UpdateStudy, seed: int) -> Reading:
    """Attack by a few numbers that come in the clear with every update."""
    return read_features(
        x.astype(np.float64),
        test.astype(np.float64),
        np.arange(len(x)),
        np.arange(len(test)),
        shadow.share,
        real.share,
        plan.crowd,
        seed,
        plan.bootstrap,
    )


def attack_partition(
    experiment: Experiment, kinds: Sequence[str], population: Population, plan: UpdateStudy, stages: Stages
) -> pd.DataFrame:
    """Carry out all that is tried with one partition, and return rows of updates.csv."""
    point = Point(experiment.methods[0], experiment.lambdas[0], experiment.seeds[0])
    spec, seed = experiment.partition, point.seed
    description = population.contributors.description
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
        root = Path(folder)
        real = settle(root / "real", population.contributors, description, experiment.clients, spec, seed, plan.value)
        shadows = [
            settle(
                root / f"shadow-{k}",
                shadow_crowd(population, k, seed),
                description,
                experiment.clients,
                spec,
                derive(seed, "shadow-partition", k),
                plan.value,
            )
            for k in range(plan.shadows)
        ]
        for kind in kinds:
            method = experiment.method_config(point.method).model_copy(update={"exchange": kind})
            one = experiment.model_copy(update={"method": {**experiment.method, point.method: method}})
            with stages.stage(f"{spec}: train by {kind}", 1) as ticker:
                moments = snapshots(one, real.store, point)
                ticker.tick()
            for phase in PHASES[kind]:
                for moment in plan.moments:
                    rows += _attack_moment(one, point, phase, moment, moments[moment], real, shadows, plan, stages)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _attack_moment(
    experiment: Experiment,
    point: Point,
    phase: Phase,
    moment: str,
    at: tuple[GroupArrays, int],
    real: Attacked,
    shadows: Sequence[Attacked],
    plan: UpdateStudy,
    stages: Stages,
) -> list[dict[str, object]]:
    groups, done = at
    spec = experiment.partition
    weights = phase == "local-training"
    base = replace(instruction_for(experiment, point), phase=phase, exchange=done + 1)
    with stages.stage(f"{spec}: updates", 1 + len(shadows)) as ticker:
        # the seed is the clients': shadows draw batches and noise of their own
        found, losses, example = answers(real, base, groups, ticker)
        others = [answers(s, replace(base, seed=s.seed), groups, ticker) for s in shadows]
    shadow = together([updates for updates, _, _ in others])
    where: dict[str, object] = {
        "partition": spec,
        "exchange": "weights" if weights else "gradients",
        "phase": phase,
        "moment": moment,
    }
    rows: list[dict[str, object]] = []
    several = len(found.groups) + (len(found.groups) > 1)
    with stages.stage(f"{spec}: attacks", several * len(plan.defences)) as ticker, threadpool_limits(1, "blas"):
        readings = attack(
            shadow, found, plan.crowd, plan.defences, point.seed, plan.bootstrap, weights, lambda: ticker.tick()
        )
        for (group, defence), reading in readings.items():
            rows += _rows(where | {"group": group}, defence, reading)
        told = read_plainly(np.concatenate([o[1] for o in others]), losses, shadow, found, plan, point.seed)
        rows += _rows(where | {"group": "losses"}, NONE, told)
        classes = real.store.description.classes
        shapes = {key: value.shape for key, value in example["adversary"].items()}
        place = head_place(shapes, classes, 0, plan.value)
        if place is not None:
            head = read_head(found, place, plan.crowd, 1 if weights else -1, plan.bootstrap)
            rows += _rows(where | {"group": "adversary"}, NONE, head)
        if moment == plan.moments[0] and phase != "adversary-gradient":
            ours, theirs = (np.log(u.records[:, None] + 1.0).astype(np.float32) for u in (shadow, found))
            told = read_plainly(ours, theirs, shadow, found, plan, point.seed)
            anywhere = where | {"phase": "any", "moment": "any", "group": "records"}
            rows += _rows(anywhere, NONE, told)
    return rows


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Return one partition's AUC by phase: each group without defence, everything under defences; means of moments."""
    columns: dict[str, dict[str, float]] = {}
    auc = table[(table["metric"] == "auc") & (table["phase"] != "any")]
    for phase, mine in auc.groupby("phase", sort=False):
        column = columns.setdefault(str(phase).replace("-", " "), {})
        plain = mine[(mine["defence"] == "none") & (mine["attacker"] != "bias")]
        for group in ("extractor", "adversary", "critic", "all", "losses"):
            column[group] = plain[plain["group"] == group]["value"].mean()
        column["adversary's bias, no shadows"] = mine[mine["attacker"] == "bias"]["value"].mean()
        whole = mine[mine["group"] == ("adversary" if phase == "adversary-gradient" else "all")]
        for (defence, level), some in whole[whole["defence"] != "none"].groupby(["defence", "defence_level"]):
            column[f"noise {level:g}" if defence == "noise" else f"sum of {level:g}"] = some["value"].mean()
        for level, some in mine[mine["group"] == "exact"].groupby("defence_level"):
            column[f"sum of {float(str(level)):g}, share known exactly"] = some["value"].mean()
    return pd.DataFrame(columns).rename_axis("what the server sees").reset_index()


def _numbers(text: str, flag: str, least: float) -> list[float]:
    try:
        values = [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        values = [-1.0]
    if any(not np.isfinite(value) or value < least for value in values):
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


def _value(population: Population, name: str | None) -> tuple[int, float]:
    attribute, shares = (
        population.contributors.description.attributes[0],
        (population.contributors.description.marginals[0]),
    )
    if name is not None and name not in attribute.classes:
        raise choose(f"value of {attribute.name}", name, attribute.classes)
    value = attribute.classes.index(name) if name is not None else int(np.argmin(shares))
    return value, float(shares[value])


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
    for experiment in experiments:
        for crowd in (population.contributors, population.held_out):
            check_clients(crowd.private, experiment.clients, experiment.partition, crowd.participant)
    value, share = _value(population, parsed.value)
    shadows = 1 if parsed.quick else parsed.shadows
    plan = UpdateStudy(value, share, shadows, defences, parsed.bootstrap, moments)
    output = parsed.output or Path.cwd() / "results" / f"{first.dataset}-updates-{first.clients}"
    open_folder(output)
    console = Screen()
    tables: list[pd.DataFrame] = []
    with Stages(console) as stages:
        for experiment in experiments:
            tables.append(attack_partition(experiment, kinds, population, plan, stages))
            table = pd.concat(tables, ignore_index=True)  # kept as soon as it is there: a partition takes minutes
            write_table(output / "updates.csv", table)
    write_whole(output / "config.toml", config_text(first).encode())
    save(update_figure(table), output, "updates")
    attribute = population.contributors.description.attributes[0]
    secret = f"{attribute.name} = {attribute.classes[value]}"
    for spec, mine in table.groupby("partition", sort=False):
        console.print(show(summarize(mine), f"{spec}: AUC of reading {secret} from a client's update; chance is 0.50"))
    console.print(stages.table())
    console.print(f"results: {output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    guard(main)
