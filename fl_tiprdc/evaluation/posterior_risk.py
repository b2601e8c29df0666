"""The table P(u | code) of a finite release, with the number of records behind every entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from fl_tiprdc.data.crowd import Ints
from fl_tiprdc.evaluation.scores import Values

RISK_COLUMNS = ("code", "records", "share", "class", "posterior", "low", "high", "prior")
CONFIDENCE = 0.95
ATTRIBUTE = "attribute"  # column of the tables of several attributes, before `RISK_COLUMNS`


@dataclass(frozen=True)
class PosteriorRisk:
    """Count how many records of every class have each code.

    Attributes:
        counts: [K, classes] records.
    """

    counts: Ints

    @property
    def records(self) -> Ints:
        """Return how many records have each code, [K]."""
        return np.asarray(self.counts.sum(1), dtype=np.int64)

    @property
    def prior(self) -> Values:
        """Return the share of each class among all records, [classes]."""
        return np.asarray(self.counts.sum(0) / max(1, self.counts.sum()), dtype=np.float64)

    def posterior(self, smoothing: float = 0.0) -> Values:
        """Return P(u | code), [K, classes]; a code that no record has answers the prior.

        Args:
            smoothing: the number of records with the prior's shares that are added to each code. It draws a code that
                few have towards the prior; 0 leaves the counts as they are.
        """
        empty = (self.records == 0)[:, None]
        added = np.where(empty, max(1.0, smoothing), smoothing)
        smoothed: Values = (self.counts + added * self.prior) / (self.records[:, None] + added)
        return smoothed

    def interval(self) -> tuple[Values, Values]:
        """Return both ends of the 95 % interval of P(u | code), each [K, classes].

        It is Jeffreys' interval (the quantiles of Beta(k + ½, n - k + ½)), from 0 where no record has the class and up
        to 1 where all have it (Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion", 2001). It
        takes records to be independent, and is too narrow where a person has several.
        """
        others = self.records[:, None] - self.counts
        tail = (1 - CONFIDENCE) / 2
        low = np.where(self.counts > 0, betaincinv(self.counts + 0.5, others + 0.5, tail), 0.0)
        high = np.where(others > 0, betaincinv(self.counts + 0.5, others + 0.5, 1 - tail), 1.0)
        return low, high

    def table(self, class_names: Sequence[str]) -> pd.DataFrame:
        """Return the table to publish beside the codes: a row for each code and class, see `RISK_COLUMNS`."""
        size, classes = self.counts.shape
        low, high = self.interval()
        return pd.DataFrame(
            {
                "code": np.repeat(np.arange(size), classes),
                "records": np.repeat(self.records, classes),
                "share": np.repeat(self.records / max(1, self.counts.sum()), classes),
                "class": np.tile(np.asarray(class_names, dtype=object), size),
                "posterior": self.posterior().ravel(),
                "low": low.ravel(),
                "high": high.ravel(),
                "prior": np.tile(self.prior, size),
            },
            columns=list(RISK_COLUMNS),
        )


def risk_tables(
    codes: Ints, labels: Mapping[str, Ints], class_names: Mapping[str, Sequence[str]], size: int | None = None
) -> pd.DataFrame:
    """Return the tables of all private attributes below each other, with the column "attribute" before the others.

    Args:
        codes: [n] from 0.
        labels: attribute -> private classes [n] from 0.
        class_names: attribute -> names of its classes.
        size: K; None: up to the largest code that a record has.
    """
    tables = [pd.DataFrame(columns=[ATTRIBUTE, *RISK_COLUMNS])]
    for attribute, classes in labels.items():
        table = posterior_risk(codes, classes, len(class_names[attribute]), size).table(class_names[attribute])
        table.insert(0, ATTRIBUTE, attribute)
        tables.append(table)
    return pd.concat(tables[1:] or tables, ignore_index=True)


def posterior_risk(codes: Ints, labels: Ints, classes: int, size: int | None = None) -> PosteriorRisk:
    """Count the records of every code and class.

    Count people who had no part in fitting the codes: a coupling gives every code the same shares of the classes among
    the people whom it was fitted on, whatever it does to others.

    Args:
        codes: [n] from 0.
        labels: [n] private classes from 0.
        classes: number of classes.
        size: K; None: up to the largest code that a record has.
    """
    size = (int(codes.max()) + 1 if len(codes) else 0) if size is None else size
    counts = np.bincount(codes * classes + labels, minlength=size * classes).reshape(size, classes)
    return PosteriorRisk(counts.astype(np.int64))
