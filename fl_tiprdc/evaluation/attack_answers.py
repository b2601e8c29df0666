"""What attackers say of held-out people: kept, so that an attack that goes on from there trains nobody again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.evaluation.scores import Values


@dataclass(frozen=True)
class AttackAnswer:
    """Hold one attacker's answer.

    Attributes:
        target: a private attribute.
        model: the attacker; the majority among them, as the level of chance.
        probabilities: [m, classes] of each held-out record.
        prior: [classes] shares among the records that the attacker learned from; of the exact attacker, among those
            who had no part in the fit.
    """

    target: str
    model: str
    probabilities: Floats
    prior: Values


OnAnswer = Callable[[AttackAnswer], None]


def answers_table(answers: Iterable[AttackAnswer]) -> pd.DataFrame:
    """Return a table that a file can hold, a row an answer; its probabilities are one long list, row by row."""
    rows = [(one.target, one.model, one.prior, one.probabilities.astype(np.float32).ravel()) for one in answers]
    return pd.DataFrame(rows, columns=["target", "model", "prior", "probabilities"])


def answers_of(table: pd.DataFrame) -> tuple[AttackAnswer, ...]:
    """Return the answers that `answers_table` made a table of."""
    return tuple(
        AttackAnswer(target, model, np.reshape(probabilities, (-1, len(prior))), np.asarray(prior))
        for target, model, prior, probabilities in table.itertuples(index=False)
    )
