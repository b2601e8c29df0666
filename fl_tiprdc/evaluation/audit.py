"""Audit of one set of representations: every attacker and every probe, trained anew."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import Attribute, Crowd, Floats, Ints
from fl_tiprdc.data.principal_components import fit_components
from fl_tiprdc.errors import require_known
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, MAJORITY, TAKE_WIDE, majority
from fl_tiprdc.evaluation.scores import resample, score
from fl_tiprdc.evaluation.subgroups import accuracy_by_group, group_people
from fl_tiprdc.seeding import derive, numpy_generator

NARROW = 256  # numbers in a representation that all models take as they are
COMPONENTS = 128  # principal components that most models see of a wider one

COLUMNS = ["setting", "method", "lam", "seed", "kind", "target", "model", "metric", "value", "low", "high"]


@dataclass(frozen=True)
class Release:
    """Representations to audit.

    Attributes:
        setting: raw, centralized, federated or baseline.
        method: how they were made.
        lam: the dial: λ, or a baseline's own.
        seed: experiment seed.
        contributors: [n, d] what attackers and probes are trained on.
        held_out: [m, d] what they are tested on.
    """

    setting: str
    method: str
    lam: float
    seed: int
    contributors: Floats
    held_out: Floats


@dataclass(frozen=True)
class Truth:
    """Ground truth that only the audit has, for rows of a release.

    Attributes:
        attacks: private attribute -> labels [n].
        tasks: task -> labels [n].
        classes: number of classes of each target.
        participant: [n].
        class_names: private attribute -> names of its classes; none: their numbers.
    """

    attacks: Mapping[str, Ints]
    tasks: Mapping[str, Ints]
    classes: Mapping[str, int]
    participant: Ints
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def take(self, rows: Ints) -> "Truth":
        """The ground truth of some rows, in that order."""
        return Truth(
            {name: labels[rows] for name, labels in self.attacks.items()},
            {name: labels[rows] for name, labels in self.tasks.items()},
            self.classes,
            self.participant[rows],
            self.class_names,
        )


def truth_of(crowd: Crowd) -> Truth:
    """The audit's view of a crowd."""
    attributes: Sequence[Attribute] = crowd.description.attributes
    attacks = {attribute.name: crowd.private[:, a] for a, attribute in enumerate(attributes)}
    classes = {attribute.name: len(attribute.classes) for attribute in attributes}
    classes |= {name: int(labels.max()) + 1 for name, labels in crowd.tasks.items()}
    names = {attribute.name: attribute.classes for attribute in attributes}
    return Truth(attacks, crowd.tasks, classes, crowd.participant, names)


def check_panel(config: AuditConfig) -> None:
    """Check the names of attackers and probes.

    Raises:
        InputError: unknown name.
    """
    require_known("attacker", config.attackers, CLASSIFIERS)
    require_known("probe", config.probes, CLASSIFIERS)


def narrow(x: Floats, test: Floats, seed: int) -> tuple[Floats, Floats]:
    """The first `COMPONENTS` principal components of x [n, d], and the same of `test`."""
    components = fit_components(x, COMPONENTS, seed)
    return components.transform(x).astype(np.float32), components.transform(test).astype(np.float32)


def audit(release: Release, known: Truth, unknown: Truth, config: AuditConfig) -> pd.DataFrame:
    """Train every attacker and probe on contributors, test them on held-out people.

    Args:
        release: the representations.
        known: ground truth of the contributors' rows.
        unknown: ground truth of the held-out rows.
        config: the panel.

    Returns:
        Rows of metrics.csv (see `COLUMNS`). `kind` is attack or task; the model "majority" answers the most
        frequent class and is the level of chance. Beside the metrics of `score` there is "accuracy|ATTRIBUTE=CLASS"
        for every private group: the accuracy among these people. Of representations wider than `NARROW`, models
        that are not in `TAKE_WIDE` see principal components.
    """
    seed = derive(release.seed, "audit", release.setting, release.method, str(release.lam))
    weights = resample(unknown.participant, config.bootstrap, 0)
    groups = group_people(unknown.attacks, unknown.class_names, weights)
    table: list[dict[str, object]] = []
    panels = (
        ("attack", config.attackers, known.attacks, config.attack_records),
        ("task", config.probes, known.tasks, config.probe_records),
    )
    shuffled = numpy_generator(release.seed, "audit-records").permutation(len(release.contributors))
    for kind, names, labels, most in panels:
        if not labels:
            continue
        rows = np.sort(shuffled[: most or None])
        x = np.ascontiguousarray(release.contributors[rows], dtype=np.float32)
        inputs = {True: (x, release.held_out)}
        inputs[False] = narrow(x, release.held_out, seed) if x.shape[1] > NARROW else inputs[True]
        targets = list(labels)
        answers_known = np.stack([labels[target][rows] for target in targets], axis=1)
        answers = unknown.attacks if kind == "attack" else unknown.tasks
        classes = [known.classes[target] for target in targets]
        for name in (MAJORITY, *names):
            classifier = majority if name == MAJORITY else CLASSIFIERS[name]
            seen, tested = inputs[name in TAKE_WIDE]
            found = classifier(seen, answers_known, classes, tested, seed)
            for target, probabilities in zip(targets, found, strict=True):
                results = score(answers[target], probabilities, weights)
                results |= accuracy_by_group(answers[target], probabilities, weights, groups)
                for metric, result in results.items():
                    where = (release.setting, release.method, release.lam, release.seed, kind, target, name, metric)
                    table.append({**dict(zip(COLUMNS, where, strict=False)), **asdict(result)})
    return pd.DataFrame(table, columns=COLUMNS)
