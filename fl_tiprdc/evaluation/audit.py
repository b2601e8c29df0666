"""Audit of one set of representations: every attacker and every probe, trained anew."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import Attribute, Crowd, Floats, Ints
from fl_tiprdc.data.population import draw_people
from fl_tiprdc.data.principal_components import fit_components
from fl_tiprdc.errors import require_known
from fl_tiprdc.evaluation.attack_answers import AttackAnswer, OnAnswer
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, MAJORITY, TAKE_WIDE, majority
from fl_tiprdc.evaluation.detection import detection_rows
from fl_tiprdc.evaluation.frontier import VALIDATION
from fl_tiprdc.evaluation.metric_rows import MetricRow, PointKey, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import NO_CLASS, Score, area, countable_classes, resample, score
from fl_tiprdc.evaluation.shaped_classifiers import SHAPED, fits, shaped
from fl_tiprdc.evaluation.subgroups import group_people, group_rows
from fl_tiprdc.evaluation.todays_classifiers import check_installed
from fl_tiprdc.evaluation.white_box import WHITE_BOX
from fl_tiprdc.moved import names_moved_from
from fl_tiprdc.seeding import derive, numpy_generator

NARROW = 256  # numbers in a representation that all models take as they are
COMPONENTS = 128  # principal components that most models see of a wider one


@dataclass(frozen=True)
class AuditedRelease:
    """Representations to audit.

    Attributes:
        setting: raw, centralized, federated or baseline.
        method: how they were made.
        lam: the dial: λ, or a baseline's own.
        seed: experiment seed.
        contributors: [n, d] what attackers and probes are trained on.
        held_out: [m, d] what they are tested on.
        clean: [n, d] what contributors would release without noise, for attackers in the white box; None: there are
            none, or no noise.
        sigma: standard deviation of the Gaussian noise on `clean`.
        shape: of a representation before it was flattened; none: a vector.
        codes: of a finite release: contributors' [n] and held-out people's [m]; None: it isn't finite.
        unfitted: positions of the contributors who had no part in fitting the codes; None: all of them.
    """

    setting: str
    method: str
    lam: float
    seed: int
    contributors: Floats
    held_out: Floats
    clean: Floats | None = None
    sigma: float = 0.0
    shape: tuple[int, ...] = ()
    codes: tuple[Ints, Ints] | None = None
    unfitted: Ints | None = None

    @property
    def point(self) -> PointKey:
        """Return setting, method, λ and seed."""
        return self.setting, self.method, self.lam, self.seed


@dataclass(frozen=True)
class Truth:
    """Ground truth that only the audit has, for rows of a release.

    Attributes:
        attacks: private attribute -> labels [n].
        tasks: task -> labels [n].
        classes: number of classes of each target.
        participant: [n].
        class_names: private attribute or task -> names of its classes; none: their numbers.
    """

    attacks: Mapping[str, Ints]
    tasks: Mapping[str, Ints]
    classes: Mapping[str, int]
    participant: Ints
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def take(self, rows: Ints) -> "Truth":
        """Return the ground truth of some rows, in that order."""
        return Truth(
            {name: labels[rows] for name, labels in self.attacks.items()},
            {name: labels[rows] for name, labels in self.tasks.items()},
            self.classes,
            self.participant[rows],
            self.class_names,
        )

    def of_task(self, task: str) -> "Truth":
        """Return the ground truth without all tasks but one."""
        return replace(self, tasks={task: self.tasks[task]})


def truth_of(crowd: Crowd) -> Truth:
    """Return the audit's view of a crowd."""
    attributes: Sequence[Attribute] = crowd.description.attributes
    attacks = {attribute.name: crowd.private[:, a] for a, attribute in enumerate(attributes)}
    classes = {attribute.name: len(attribute.classes) for attribute in attributes}
    classes |= {name: int(labels.max()) + 1 for name, labels in crowd.tasks.items()}
    names = {**crowd.task_classes, **{attribute.name: attribute.classes for attribute in attributes}}
    return Truth(attacks, crowd.tasks, classes, crowd.participant, names)


def check_panel(config: AuditConfig) -> None:
    """Check the names of attackers and probes.

    Raises:
        InputError: unknown name, or one whose package isn't installed.
    """
    require_known("attacker", (*config.attackers, *config.beside_exact), {**CLASSIFIERS, **SHAPED, **WHITE_BOX})
    require_known("probe", config.probes, {**CLASSIFIERS, **SHAPED})
    check_installed((*config.attackers, *config.probes))


def attackers_of(release: AuditedRelease, config: AuditConfig) -> Sequence[str]:
    """Return the panel that attacks a release: a short one where the exact attacker is the figure."""
    short = [name for name in config.attackers if name in config.beside_exact]
    return short if short and release.codes is not None else config.attackers


def narrow(x: Floats, test: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return the first `COMPONENTS` principal components of x [n, d], and the same of `test`."""
    components = fit_components(x, COMPONENTS, seed)
    return components.transform(x).astype(np.float32), components.transform(test).astype(np.float32)


def _validate(participant: Ints, labels: Sequence[Ints], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return the records of a share of the people, drawn at random, [n].

    Args:
        participant: [n].
        labels: [n] each; the other records have somebody of every class.
        share: of the people.
        seed: of the draw.
    """
    count = int(share * len(np.unique(participant)))
    drawn = draw_people(participant, count, numpy_generator(seed, "audit-validation"))
    missed = [codes for codes in labels if len(np.unique(codes[~drawn])) < len(np.unique(codes))]
    if not missed:
        return drawn
    return draw_people(participant, count, numpy_generator(seed, "audit-validation"), missed, keep_single=True)


def audit(
    release: AuditedRelease,
    known: Truth,
    unknown: Truth,
    config: AuditConfig,
    everybody: Truth | None = None,
    detailed: bool = False,
    on_answer: OnAnswer | None = None,
) -> pd.DataFrame:
    """Train every attacker and probe on contributors, test them on held-out people.

    Args:
        release: the representations.
        known: ground truth of the contributors' rows.
        unknown: ground truth of the held-out rows.
        config: the panel.
        everybody: all contributors, where `known` are some of them: a class that none of them has isn't counted.
        detailed: whether attackers get the metrics of `detection` as well.
        on_answer: told what each attacker, and the majority, says of the held-out people.

    Returns:
        Rows of metrics.csv, see `metric_rows`. `kind` is attack or task; the model "majority" answers the most
        frequent class and is the level of chance. Beside the metrics of `score` there is "group-accuracy" for every
        private group: the accuracy among these people; and "validation-auc", of contributors whom the model
        didn't learn from: the one to choose a model by. Of representations wider than `NARROW`, models that are not in
        `TAKE_WIDE` see principal components.
        A target that can't be measured, since contributors or held-out people are all of one class, has the metrics of
        `score` alone, and these are NaN.
    """
    seed = derive(release.seed, "audit", release.setting, release.method, str(release.lam))
    weights = resample(unknown.participant, config.bootstrap, 0)
    groups = group_people(unknown.attacks, unknown.class_names, weights)
    to_learn = [*known.attacks.values(), *known.tasks.values()] if everybody is None else []
    validating = _validate(known.participant, to_learn, config.validation, release.seed)
    shuffled = numpy_generator(release.seed, "audit-records").permutation(len(release.contributors))
    learning, chosen_by = shuffled[~validating[shuffled]], np.flatnonzero(validating)
    table: list[MetricRow] = []
    panels = (
        ("attack", attackers_of(release, config), known.attacks, (everybody or known).attacks, config.attack_records),
        ("task", config.probes, known.tasks, (everybody or known).tasks, config.probe_records),
    )
    for kind, names, labels, all_labels, most in panels:
        if not labels:
            continue
        rows = np.sort(learning[: most or None])
        new = np.concatenate([release.contributors[chosen_by], release.held_out])  # validate, then test
        inputs = model_inputs(release, rows, new, seed)
        targets = list(labels)
        answers_known = np.stack([labels[target][rows] for target in targets], axis=1)
        answers = unknown.attacks if kind == "attack" else unknown.tasks
        classes = [known.classes[target] for target in targets]
        counted = {
            target: countable_classes(all_labels[target], answers[target])
            for i, target in enumerate(targets)
            if len(np.unique(answers_known[:, i])) > 1  # else there was nothing to learn
        }
        for name in (MAJORITY, *names):
            if (of_targets := model_answers(name, release, inputs, answers_known, classes, seed)) is None:
                continue
            for target, probabilities in zip(targets, of_targets, strict=True):
                chosen, tested = np.split(probabilities, [len(chosen_by)])
                measured = counted.get(target, NO_CLASS)
                where = (release.point, kind, target, name)
                table += metric_rows(*where, score(answers[target], tested, weights, measured))
                if len(measured):
                    table += group_rows(where, answers[target], tested, weights, groups)
                if len(measured) and len(chosen) and name != MAJORITY:
                    ones = np.ones((1, len(chosen)), np.float32)
                    value = float(area(labels[target][chosen_by], chosen, ones)[0])
                    table += metric_rows(*where, {VALIDATION: Score(value, math.nan, math.nan)})
                if kind != "attack":
                    continue
                prior = np.bincount(labels[target][rows], minlength=known.classes[target]) / len(rows)
                if on_answer is not None:
                    on_answer(AttackAnswer(target, name, tested, prior))
                if detailed:
                    names_of = known.class_names.get(target) or [str(k) for k in range(known.classes[target])]
                    table += detection_rows(where, answers[target], tested, prior, weights, names_of, measured)
    return metrics_table(table)


@dataclass(frozen=True)
class Inputs:
    """Hold what models learn from and are tested on; for those in the white box what is released less its noise."""

    wide: tuple[Floats, Floats]
    narrow: tuple[Floats, Floats]
    clean: tuple[Floats, Floats] | None


def model_inputs(release: AuditedRelease, rows: Ints, new: Floats, seed: int) -> Inputs:
    """Return what models learn from, `rows` of the contributors, and what they answer for, `new` [m, d]."""
    x = np.ascontiguousarray(release.contributors[rows], dtype=np.float32)
    clean = release.clean[rows] if release.clean is not None and release.sigma > 0 else None
    if x.shape[1] <= NARROW:
        return Inputs((x, new), (x, new), None if clean is None else (clean, new))
    # components are orthonormal: noise that is the same in every direction stays so
    return Inputs((x, new), narrow(x, new, seed), None if clean is None else narrow(clean, new, seed))


def model_answers(
    name: str, release: AuditedRelease, inputs: Inputs, labels: Ints, classes: Sequence[int], seed: int
) -> list[Floats] | None:
    """Return class probabilities of each target; None: the model is not for such a release."""
    if name in WHITE_BOX:
        if inputs.clean is None:
            return None
        return WHITE_BOX[name](inputs.clean[0], release.sigma, labels, classes, inputs.clean[1], seed)
    if name in SHAPED:
        if not fits(name, release.shape):
            return None
        return shaped(name, release.shape, inputs.wide[0], labels, classes, inputs.wide[1], seed)
    seen, tested = inputs.wide if name in TAKE_WIDE else inputs.narrow
    classifier = majority if name == MAJORITY else CLASSIFIERS[name]
    return classifier(seen, labels, classes, tested, seed)


if not TYPE_CHECKING:  # type checkers know the current names only
    __getattr__ = names_moved_from(__name__)
