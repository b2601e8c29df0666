"""Columns of x that tell a label: its copies, recodings and near-copies."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.notices import give_notice

TELLS = 0.95  # share of the errors of the best constant guess that a column must spare to be named
ROWS = 5000  # rows that are looked at


def leave_out_copies(
    features: pd.DataFrame,
    private: pd.DataFrame,
    tasks: pd.DataFrame,
    known: npt.NDArray[np.bool_],
    asked_for: Collection[str],
    keep: str = 'set data.columns.NAME to "category" or "number"',
    ignore: str = 'data.columns.NAME = "ignore" leaves a column out',
) -> pd.DataFrame:
    """Return the features without copies of a private column, or of one class of three or more; a notice names them.

    Columns that tell a label in another way stay, and are named too.

    Args:
        features: [n] columns of x.
        private: [n] private columns: texts, or numbers that will be split at the contributors' median.
        tasks: [n] tasks, likewise.
        known: [n] bool, true for contributors, whose values alone count.
        asked_for: columns that stay.
        keep: how to keep a copy, in the words of the notice.
        ignore: how to leave a column out that tells a label, in the words of the notice.
    """
    copies: dict[str, str] = {}
    telling: list[str] = []
    for what, labels in (("private attribute", private), ("task", tasks)):
        for label in labels.columns:
            values = labels[label][known]
            classes = _classes(values)
            for name in features.columns.difference(list(copies), sort=False):
                column = features[name][known]
                hidden = what == "private attribute" and name not in asked_for
                if hidden and (is_copy(column, values) or is_indicator(column, classes)):
                    copies[name] = label
                elif (share := share_told(column, classes)) >= TELLS:
                    telling.append(f"'{name}' tells the {what} '{label}' ({share:.0%})")
    if copies:
        told = ", ".join(f"'{name}' (of '{label}')" for name, label in copies.items())
        give_notice(f"left out, as copies of what is hidden: {told}; to keep one, {keep}")
    if telling:
        give_notice(f"{'; '.join(telling)}: {ignore}")
    return features.drop(columns=list(copies))


def _classes(values: pd.Series) -> Ints:
    """Return the classes of a label [n], numbers of more than two values split at their median."""
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > 2:
        return np.asarray(values > values.median(), dtype=np.int64)
    return np.asarray(pd.factorize(values)[0], dtype=np.int64)


def share_told(values: pd.Series, classes: Ints) -> float:
    """Return the share of the best constant guess's errors that guessing by a column spares: 1 if it tells all.

    Numbers are cut at a few thresholds. A row's category is judged by the other rows that have it, so that a column of
    different values for all tells nothing.

    Args:
        values: [n] numbers or texts.
        classes: [n] from 0.
    """
    step = -(-len(values) // ROWS)
    values, classes = values.iloc[::step], classes[::step]
    counts = np.bincount(classes)
    base = len(classes) - int(counts.max())
    if not base:
        return 0.0
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        errors = _errors_by_thresholds(values.to_numpy(np.float64, na_value=np.nan), classes)
    else:
        errors = _errors_by_category(values, classes, int(counts.argmax()))
    return max(0.0, 1 - errors / base)


def _errors_by_thresholds(numbers: npt.NDArray[np.float64], classes: Ints) -> int:
    from sklearn.tree import DecisionTreeClassifier  # slow to import, and clients of a federation don't need it

    missing = np.isnan(numbers)  # which may tell as much as the numbers
    x = np.column_stack([np.where(missing, 0.0, numbers), missing])
    leaves = 2 * len(np.unique(classes))
    tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=0).fit(x, classes)
    return int((tree.predict(x) != classes).sum())


def _errors_by_category(values: pd.Series, classes: Ints, usual: int) -> int:
    table = pd.crosstab(pd.factorize(values)[0], classes).to_numpy()
    present = np.unique(classes)
    errors = 0
    for row in table:
        for place, count in enumerate(row):
            others = np.delete(row, place).max(initial=0)
            right = count - 1 > others or (count == 1 and not others and present[place] == usual)
            errors += 0 if right else int(count)
    return errors


def is_indicator(values: pd.Series, classes: Ints) -> bool:
    """Return whether a column of two values has one of them for a single class, of three or more, and for no other."""
    if values.isna().any() or values.nunique() != 2 or len(np.unique(classes)) < 3:
        return False
    mine = pd.factorize(values)[0]
    sides = [set(classes[mine == k].tolist()) for k in (0, 1)]
    return min(map(len, sides)) == 1 and sides[0].isdisjoint(sides[1])


def is_copy(values: pd.Series, label: pd.Series) -> bool:
    """Return whether a column and a label say the same in other words: one value each for each of the other's.

    Columns of nearly as many values as rows are copies if they are numbers in the same or the opposite order.
    """
    if values.isna().any() or label.isna().any():
        return False
    mine, others = pd.factorize(values)[0], pd.factorize(label)[0]
    kinds = {len(np.unique(mine)), len(np.unique(others)), len(np.unique(np.stack([mine, others]), axis=1).T)}
    if len(kinds) > 1 or kinds == {1}:
        return False
    if kinds.pop() <= len(values) / 2:
        return True
    if not (pd.api.types.is_numeric_dtype(values) and pd.api.types.is_numeric_dtype(label)):
        return False
    ranks = np.corrcoef(values.rank(method="dense"), label.rank(method="dense"))
    return bool(abs(ranks[0, 1]) > 1 - 1e-9)
