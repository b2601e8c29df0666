"""The study of sent updates: what the server can read of the private value in what a client sends to train.

The crowd is trained by the real strategy, once for each partition and kind of exchange. At the start, in the middle and
at the end every client answers the same message. The attacker makes shadow clients of held-out people, dealt like the
crowd, lets them answer too, and learns from their answers: without defense, with clipping and noise on each client, and
with sums of several clients (secure aggregation).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.data.crowd import Floats, Population
from fl_tiprdc.data.partition import check_clients
from fl_tiprdc.errors import choose
from fl_tiprdc.evaluation.attacks.seen_updates import NONE, Defence, Updates
from fl_tiprdc.evaluation.attacks.update_attack import Reading, attack, head_place, read_features, read_head
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import config_text
from fl_tiprdc.experiment.sent_updates import Attacked, answers, settle, shadow_crowd, snapshots, together
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.report.style import save
from fl_tiprdc.report.update_figure import update_figure
from fl_tiprdc.seeding import derive
from fl_tiprdc.whole_file import write_table, write_whole
from fl_tiprdc.wire.phases import Phase

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


def summarize_updates(table: pd.DataFrame) -> pd.DataFrame:
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


def attacked_value(population: Population, name: str | None) -> tuple[int, float]:
    """Return the place of a class of the first private attribute and its share among the contributors.

    Args:
        population: whose attribute it is.
        name: of the class; None: the rarest.

    Raises:
        InputError: the attribute has no such class.
    """
    attribute = population.contributors.description.attributes[0]
    shares = population.contributors.description.marginals[0]
    if name is not None and name not in attribute.classes:
        raise choose(f"value of {attribute.name}", name, attribute.classes)
    value = attribute.classes.index(name) if name is not None else int(np.argmin(shares))
    return value, float(shares[value])


def check_partitions(experiments: Sequence[Experiment], population: Population) -> None:
    """Check that the crowd and shadows of held-out people can be dealt to the clients.

    Raises:
        InputError: there are too few people for that.
    """
    for experiment in experiments:
        for crowd in (population.contributors, population.held_out):
            check_clients(crowd.private, experiment.clients, experiment.partition, crowd.participant)


def study_updates(
    experiments: Sequence[Experiment],
    kinds: Sequence[str],
    population: Population,
    plan: UpdateStudy,
    output: Path,
    stages: Stages,
) -> pd.DataFrame:
    """Attack the updates of every partition; write updates.csv, config.toml and the figure.

    Args:
        experiments: the same one with each partition.
        kinds: of exchange to train by.
        population: contributors, and held-out people for the shadows.
        plan: what the attack is about.
        output: folder of the study.
        stages: for progress.

    Returns:
        The table.
    """
    tables: list[pd.DataFrame] = []
    for experiment in experiments:
        tables.append(attack_partition(experiment, kinds, population, plan, stages))
        table = pd.concat(tables, ignore_index=True)  # kept as soon as it is there: a partition takes minutes
        write_table(output / "updates.csv", table)
    write_whole(output / "config.toml", config_text(experiments[0]).encode())
    save(update_figure(table), output, "updates")
    return table
