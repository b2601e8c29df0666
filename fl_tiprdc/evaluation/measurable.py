"""The check of what can be measured: before any work begins, and of the results. What can't be is never counted."""

import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks import known_record
from fl_tiprdc.evaluation.attacks.registry import FURTHER
from fl_tiprdc.evaluation.audit import Truth
from fl_tiprdc.evaluation.frontier import POINT
from fl_tiprdc.evaluation.further_summary import CHANCES, SCORES, level_text
from fl_tiprdc.evaluation.scores import countable_classes
from fl_tiprdc.notices import DataNotice

MEASURED_KINDS = ("attack", "task", "exact")  # beside those of further attacks
NAMED = 3  # releases that a line names


def check_measurable(known: Truth, unknown: Truth) -> None:
    """Check that attacks can be measured on these people; a `DataNotice` tells of targets and classes that can't be.

    Args:
        known: ground truth of the contributors.
        unknown: ground truth of the held-out people.

    Raises:
        InputError: no private attribute can be measured.
    """
    reasons = {
        name: _reason(known, unknown, labels, unknown.attacks[name], name) for name, labels in known.attacks.items()
    }
    if reasons and all(reasons.values()):
        told = "; ".join(f"'{name}': {reason}" for name, reason in reasons.items())
        raise InputError(
            f"no private attribute can be measured: {told}; a class needs two people at least, one of them held out"
        )
    left_out = [f"private attribute '{name}': {reason}" for name, reason in reasons.items() if reason]
    for name, labels in known.tasks.items():
        if reason := _reason(known, unknown, labels, unknown.tasks[name], name):
            left_out.append(f"task '{name}': {reason}")
    for what, mine, theirs in (("", known.attacks, unknown.attacks), ("task ", known.tasks, unknown.tasks)):
        left_out += _missing_classes(known, what, mine, theirs)
    if left_out:
        warnings.warn(f"not measured, and not counted: {'; '.join(left_out)}", DataNotice, stacklevel=2)


def _reason(known: Truth, unknown: Truth, learned: Ints, tested: Ints, target: str) -> str:
    """Return why a target can't be measured; empty: it can."""
    for who, truth, labels in (("held-out people", unknown, tested), ("contributors", known, learned)):
        if len(np.unique(labels)) < 2:
            people = len(np.unique(truth.participant))
            return f"the {people} {who} have a single value, '{_class_name(known, target, int(labels[0]))}'"
    if not len(countable_classes(learned, tested)):
        return "held-out people and contributors have no class in common"
    return ""


def _missing_classes(known: Truth, what: str, learned: Mapping[str, Ints], tested: Mapping[str, Ints]) -> Iterator[str]:
    """Tell of classes that one side lacks, of targets that can be measured for others."""
    for name, labels in learned.items():
        sides = {"contributors": labels, "held-out people": tested[name]}
        counted = countable_classes(labels, tested[name])
        for k in range(known.classes[name]) if len(counted) else ():
            if k not in counted:
                lacking = " and ".join(who for who, of in sides.items() if k not in of)
                yield f"class '{_class_name(known, name, k)}' of {what}'{name}': nobody among {lacking}"


def _class_name(known: Truth, target: str, number: int) -> str:
    return str(known.class_names[target][number]) if target in known.class_names else str(number)


def unmeasured(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return what an audit tried and could not measure.

    Args:
        metrics: rows of metrics.csv.

    Returns:
        Columns of a point, kind, target, and level and unit of attacks that have one (else missing and ""): all for
        which no model has a score but the one that stands for chance.
    """
    case = [*POINT, "kind", "target", "level", "unit"]
    if metrics.empty:  # nothing was tried
        return pd.DataFrame(columns=case)
    rows = metrics[
        metrics["kind"].isin([*MEASURED_KINDS, *FURTHER]) & metrics["metric"].isin([*SCORES, known_record.ALONE])
    ]
    several = rows["kind"] == known_record.KIND  # nobody knows more than who knows everything: one case
    rows = rows.assign(level=rows["level"].astype(float).mask(several), unit=rows["unit"].mask(several, ""))
    rows = rows.assign(measured=rows["value"].notna() & ~rows["model"].isin(CHANCES))
    cases = rows.groupby(case, sort=False, dropna=False).agg(measured=("measured", "any")).reset_index()
    return cases.loc[~cases["measured"], case].reset_index(drop=True)


def unmeasured_lines(missing: pd.DataFrame) -> list[str]:
    """Return what `unmeasured` found in words, a line for each kind of attack or task and its target."""
    lines: list[str] = []
    case = ["kind", "target", "level", "unit"]
    for (kind, target, level, unit), rows in missing.groupby(case, sort=False, dropna=False):
        points = rows[POINT].drop_duplicates()
        named = [f"{p.setting} {p.method} {p.lam:g}, seed {p.seed}" for p in points[:NAMED].itertuples()]
        more = f" and {len(points) - NAMED} more" if len(points) > NAMED else ""
        lines.append(
            f"not measured, and not counted: {kind} on {level_text(target, level, unit)} ({'; '.join(named)}{more}):"
            " nobody could learn it, or be tested on it"
        )
    return lines
