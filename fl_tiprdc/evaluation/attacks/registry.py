"""The attacks beside the panel's: a registry of what else a release may give away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch

from fl_tiprdc.config import AuditConfig, NetworkConfig
from fl_tiprdc.data.crowd import Column, Crowd, Floats, Ints
from fl_tiprdc.errors import selection
from fl_tiprdc.evaluation.attack_answers import AttackAnswer
from fl_tiprdc.evaluation.attacks import averaging, leaks, linkage
from fl_tiprdc.evaluation.attacks.known_record import known_record, named_ladders
from fl_tiprdc.evaluation.attacks.membership import membership, sampled_losses, white_box_records
from fl_tiprdc.evaluation.attacks.reidentification import reidentify
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth
from fl_tiprdc.evaluation.metric_rows import metrics_table
from fl_tiprdc.hybrid.step import GROUPS, Groups, HybridStep
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.release.arrays import GroupArrays
from fl_tiprdc.release.release import ReleaseMaker

LEAST = 20  # people of each group; what is found on a handful means nothing


@dataclass(frozen=True)
class Networks:
    """Hold what made a release, and of what.

    Attributes:
        network: widths of the layers.
        method: the method's settings.
        arrays: trained parameters: the extractor's, and the others' where they are at hand.
        sigma: the channel's noise; 0: none.
        contributors: raw records of all contributors.
        held_out: raw records in the order of the release's held-out rows.
        lam: λ.
    """

    network: NetworkConfig
    method: MethodConfig
    arrays: GroupArrays
    sigma: float
    contributors: Crowd
    held_out: Crowd
    lam: float = 0.0

    def step(self) -> HybridStep:
        """Return the networks, built anew: large ones don't travel to another process."""
        return HybridStep(self.contributors.description, self.network, self.method)

    def release(self) -> ReleaseMaker:
        """Return what makes a record's release, and another one each time that it draws anew."""
        return self.step().release(self.groups(), self.lam)

    @property
    def draws(self) -> bool:
        """Tell whether a release has draws that another publication would make anew."""
        return bool(self.sigma) or self.method.coding is not None

    def groups(self) -> Groups:
        """Return the parameters as tensors."""
        return {name: {key: torch.tensor(value) for key, value in of.items()} for name, of in self.arrays.items()}


@dataclass(frozen=True)
class Case:
    """Hold a release, and all that an attack on it may need.

    Attributes:
        release: the representations.
        known: ground truth of the contributors' rows.
        unknown: ground truth of the held-out rows.
        config: the panel, records, resamples.
        rows: positions of the release's rows among all contributors; None: all in order.
        raw: [n, k] all contributors' and [m, k] held-out people's raw records as numbers (`raw_features`); None: not
            at hand.
        networks: None: not at hand, or the release was made without.
        audited: what the audit found of this release; None: not at hand.
        columns: what the raw records' numbers are, of a table; none: images or texts.
        answers: what the audit's attackers say of each held-out record; None: not at hand.
    """

    release: AuditedRelease
    known: Truth
    unknown: Truth
    config: AuditConfig
    rows: Ints | None = None
    raw: tuple[Floats, Floats] | None = None
    networks: Networks | None = None
    audited: pd.DataFrame | None = None
    columns: tuple[Column, ...] = ()
    answers: tuple[AttackAnswer, ...] | None = None


@dataclass(frozen=True)
class LevelFigure:
    """Name what a figure of an attack's AUC over its level shows.

    Attributes:
        title: above the figure.
        axes: unit of a level in metrics.csv -> label of the horizontal axis.
        caption: below the figure on the page.
    """

    title: str
    axes: Mapping[str, str]
    caption: str


@dataclass(frozen=True)
class FurtherAttack:
    """Hold one attack, and what its results are called; its name in the registry is their kind in metrics.csv.

    Attributes:
        find: from a case to rows of metrics.csv of that kind (`metric_rows`): metric "auc", or "top-1" with the model
            "chance"; beside it the model `MAJORITY` as the level of chance. No rows where there is nothing to attack.
            The first line of its docstring is its description in the catalogue.
        heading: of the table on the page, a row a point; empty: the attack has tables of its own.
        figure: over the attack's levels; None: it has none.
        needs: fields of a case without which there is no attack.
        takes: fields of a case that it makes use of where they are at hand.
    """

    find: Callable[[Case], pd.DataFrame]
    heading: str = ""
    figure: LevelFigure | None = None
    needs: tuple[str, ...] = field(default=(), kw_only=True)
    takes: tuple[str, ...] = field(default=(), kw_only=True)

    def case(self, case: Case) -> Case | None:
        """Return what this attack uses of a case, so that no more travels to another process.

        None: something that it needs isn't at hand, or there are fewer than `LEAST` contributors or held-out people.
        """
        people = [len(np.unique(truth.participant)) for truth in (case.known, case.unknown)]
        if min(people) < LEAST or any(getattr(case, name) is None for name in self.needs):
            return None
        used = {*self.needs, *self.takes}
        return replace(
            case,
            raw=case.raw if "raw" in used else None,
            networks=case.networks if "networks" in used else None,
            audited=case.audited if "audited" in used else None,
            answers=case.answers if "answers" in used else None,
        )


def _membership(case: Case) -> pd.DataFrame:
    """Tell whether a person was among those who trained the extractor.

    By representations; and, with all three networks in hand, by losses.
    """
    made, release = case.networks, case.release
    assert made is not None
    step, losses = made.step(), None
    if white_box_records(step) and set(made.arrays) >= set(GROUPS):
        sides = made.contributors.records(), made.held_out.records()
        losses = sampled_losses(step, made.groups(), *sides, made.sigma, release.seed, case.rows)
    return membership(release, case.known.participant, case.unknown.participant, case.config, losses)


def _reidentification(case: Case) -> pd.DataFrame:
    """Find out to which of a thousand people's raw records a representation belongs.

    For who has raw records, and, where there is an extractor, for who has that as well.
    """
    assert case.raw is not None
    release, made, clean = case.release, case.networks, None
    if made is not None:
        clean = made.release().apply_without_noise(made.held_out.x, made.held_out.private)
    (x, tested_x), (z, tested_z) = case.raw, (release.contributors, release.held_out)
    people = case.unknown.participant
    return reidentify(x, z, tested_x, tested_z, people, release.seed, clean, rows=case.rows).metrics(release)


def _averaging(case: Case) -> pd.DataFrame:
    """Put together what several releases of one record tell.

    Nothing where a release has no noise that could be averaged away.
    """
    made = case.networks
    assert made is not None
    if not made.draws:
        return metrics_table([])
    crowd = made.contributors if case.rows is None else made.contributors.take(case.rows)
    sigma = 0.0 if made.method.coding else made.sigma
    return averaging.averaging_attack(made.release(), crowd, made.held_out, sigma, case.release, case.config)


def _leaks(case: Case) -> pd.DataFrame:
    """Measure how much an attacker gets out of few labeled records."""
    return leaks.leaks(case.release, case.known, case.unknown, case.config, case.audited)


def _linkage(case: Case) -> pd.DataFrame:
    """Put together what several records of one person tell."""
    assert case.answers is not None
    return linkage.linkage(case.release, case.known, case.unknown, case.config, case.answers)


def _known_record(case: Case) -> pd.DataFrame:
    """Measure what the release adds for one who knows some of a record, or all of it.

    Nothing where the records themselves are the release, of which everybody knows everything then.
    """
    assert case.raw is not None
    release, (x, tested_x) = case.release, case.raw
    if release.setting == "raw":
        return metrics_table([])
    raw = x if case.rows is None else x[case.rows], tested_x
    return known_record(
        release,
        raw,
        case.known,
        case.unknown,
        case.config,
        case.columns,
        release.codes,
        named_ladders(case.config.known) or None,
        release.unfitted,
    )


FURTHER: dict[str, FurtherAttack] = {
    "membership": FurtherAttack(
        _membership, "Membership: AUC of telling contributors from others", needs=("networks",)
    ),
    "reidentification": FurtherAttack(
        _reidentification,
        "Re-identification: share of people whose raw record x is the first match",
        needs=("raw",),
        takes=("networks",),
    ),
    "averaging": FurtherAttack(
        _averaging,
        "AUC of the best attacker by number of independent releases that it averages",
        LevelFigure(
            "What several releases of a record tell together",
            {averaging.UNIT: "independent releases of a record"},
            "AUC of the best attacker over the number of independent releases of a record that it averages: what "
            "publishing more than once would cost.",
        ),
        needs=("networks",),
    ),
    "leaks": FurtherAttack(
        _leaks,
        "AUC of the best attacker by number of labeled records that leaked",
        LevelFigure(
            "What an attacker gets out of few leaks",
            {leaks.UNIT: "contributors' records with a known private value"},
            "AUC of the best attacker over the number of labeled records that it has to learn from. Lines are values "
            "of λ; bars reach over the draws of who leaked and their 95 % intervals. The rightmost point is the "
            "audit's own attack.",
        ),
        takes=("audited",),
    ),
    "linkage": FurtherAttack(
        _linkage,
        "AUC of the best attacker by number of records of one person that it sees",
        LevelFigure(
            "What several records of a person tell together",
            {
                linkage.OWN: "records of one person",
                linkage.POOLED: "records of people with the same private value",
            },
            "AUC of the best attacker over the number of records of one person that it sees and pools. Where each "
            "person has one record, records of different people with the same private value are pooled at random.",
        ),
        needs=("answers",),
    ),
    "known-record": FurtherAttack(_known_record, needs=("raw",)),
}
ALL, NONE = "all", "none"  # in place of names


def take_answers(names: Sequence[str]) -> bool:
    """Tell whether one of these attacks goes on from what the audit's attackers say of held-out people."""
    return any("answers" in (*FURTHER[name].needs, *FURTHER[name].takes) for name in names)


def named_attacks(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of attacks, checked as in `selection`; "all" and "none", alone, stand for all of them and none."""
    return selection("attack", names, FURTHER, {ALL: tuple(FURTHER), NONE: ()})
