"""The method as a scikit-learn transformer: fit on numbers and private labels in one place, transform to releases."""

import secrets
from numbers import Integral
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_consistent_length, check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from fl_tiprdc.config import METHODS, CentralizedConfig, NetworkConfig
from fl_tiprdc.data.column_encoding import encode_frame, fit_columns
from fl_tiprdc.data.column_values import as_text
from fl_tiprdc.data.crowd import Description, Floats, Records
from fl_tiprdc.data.population import encode_private
from fl_tiprdc.errors import InputError, require_known
from fl_tiprdc.evaluation.certificate import codes_for
from fl_tiprdc.extractor.card import Card
from fl_tiprdc.extractor.released import Extractor
from fl_tiprdc.hybrid.centralized import train_centralized
from fl_tiprdc.hybrid.coding import fit_at_one_place, fitting, set_aside
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.draws import Draws
from fl_tiprdc.release.noise import fresh_noise, key_of, record_noise


class TiprdcTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Representations of numeric records that hide a private attribute and keep what else they tell.

    Trains with all records in one place (a crowd that keeps its records is what `fl-tiprdc run` is for).

    Args:
        lam: λ, weight of privacy against information, 0 to 1; of "tiprdc+" it sets the channel's noise too.
        method: a name of `METHODS`.
        representation: numbers in a representation, d.
        hidden: widths of the extractor's hidden layers.
        steps: extractor updates.
        batch_size: records in a batch; at most an eighth of all.
        learning_rate: Adam's step size.
        random_state: None: the noise of a transformation can't be drawn again, by nobody. A number: training can be
            repeated, and a record's noise follows from the number and the record; for experiments, as others can
            guess it. To publish a record more than once use `extractor_.transform` with a secret key.

    Attributes:
        extractor_: the trained `Extractor`; its `save` writes it, `capacity` bounds what it releases.
        classes_: the private classes, one tuple for each attribute.
        n_features_in_: columns of X.
        code_counts_: of "coded": [classes, codes] people set aside from the fit, by private class and code; what
            `fl_tiprdc.evaluation.certificate.certify` takes.
    """

    def __init__(
        self,
        lam: float = 0.5,
        method: str = "tiprdc+",
        representation: int = 32,
        hidden: tuple[int, ...] = (256,),
        steps: int = 400,
        batch_size: int = 1024,
        learning_rate: float = 2e-3,
        random_state: Any = None,
    ) -> None:
        self.lam = lam
        self.method = method
        self.representation = representation
        self.hidden = hidden
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float32"]  # networks compute in float32
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train.

        Args:
            X: [n, columns] numbers, scaled here. Leave the private attribute out of them.
            y: [n] or [n, attributes] private labels, classes of any type; numbers with a fraction are split at
                their median.

        Raises:
            ValueError: X isn't numbers, y is missing or has a single class, or a setting is wrong.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None: give the private labels")
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2, multi_output=True)
        require_known("method", [self.method], METHODS)
        if not 0 <= self.lam <= 1:
            raise InputError(f"lam is {self.lam}: must be from 0 to 1")
        everyone = np.ones(len(X), dtype=bool)
        columns = fit_columns(_frame(X), everyone)
        labels, attributes = encode_private(_private_columns(y), everyone)
        marginals = tuple(
            tuple((np.bincount(labels[:, a], minlength=len(one.classes)) / len(X)).tolist())
            for a, one in enumerate(attributes)
        )
        description = Description.of_table(columns, attributes, marginals)
        method = METHODS[self.method]
        network = NetworkConfig(representation=self.representation, extractor_hidden=tuple(self.hidden))
        training = CentralizedConfig(steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate)
        seed = self._seed()
        step = HybridStep(description, network, method)
        records = Records(encode_frame(_frame(X), columns), labels)
        groups = self._train(step, records, seed, training)
        card = Card(
            method=self.method,
            lam=self.lam,
            seed=seed,
            sigma=method.sigma(self.lam),
            method_config=method,
            network=network,
            description=description,
        )
        self.extractor_ = Extractor(card, groups)
        self.classes_ = [attribute.classes for attribute in attributes]
        self._n_features_out = self.extractor_.d
        return self

    def _train(
        self, step: HybridStep, records: Records, seed: int, training: CentralizedConfig
    ) -> dict[str, dict[str, Floats]]:
        """Train, and fit codes where the method publishes them: arrays of the extractor, and of the codes."""
        aside = set_aside(np.arange(len(records), dtype=np.int64), step.method, seed)
        result, _ = train_centralized(step, fitting(records, aside), [self.lam], seed, training)
        extractor = {name: value[0] for name, value in result.groups["extractor"].items()}
        groups = {"extractor": {name: value.numpy() for name, value in extractor.items()}}
        self.__dict__.pop("code_counts_", None)  # of an earlier fit
        if step.method.coding:
            fit = fit_at_one_place(
                step, extractor, records, aside, [self.lam], seed, codes_for, lambda codes: self._draws(seed)
            )
            groups["codes"] = fit.couplings[0].arrays()
            self.code_counts_ = fit.counts[0]
        return groups

    def _draws(self, seed: int) -> Draws:
        return fresh_noise if self.random_state is None else record_noise(key_of(seed))

    def transform(self, X: Any, y: Any = None) -> Floats:
        """Releases [n, d] of records X [n, columns], with the channel's noise; see `random_state`.

        Args:
            X: the records.
            y: their private labels as in `fit`; methods that look at them ("coded") need them, others ignore them.

        Raises:
            ValueError: private labels are needed and missing.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        key = None if self.random_state is None else key_of(self._seed())
        if not self.extractor_.release.sees_private:
            return self.extractor_.transform(_frame(X), key=key)
        if y is None:
            raise InputError(f"method {self.extractor_.card.method} looks at the private labels: transform(X, y)")
        y = np.asarray(y)
        check_consistent_length(X, y)
        return self.extractor_.transform(_frame(X), _wide(y), key=key)

    def fit_transform(self, X: Any, y: Any = None, **parameters: Any) -> Floats:
        """Fit, then release the same records with their private labels."""
        return self.fit(X, y, **parameters).transform(X, y)

    def _seed(self) -> int:
        if self.random_state is None:
            return secrets.randbits(31)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))


def _frame(X: npt.NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])


def _wide(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Private labels as [n, attributes], numbers with a fraction in float64 as they are split at their median."""
    return y.reshape(len(y), -1).astype(np.float64 if y.dtype.kind == "f" else y.dtype)


def _private_columns(y: npt.NDArray[Any]) -> pd.DataFrame:
    """Private labels as columns; numbers stay such, to be split at their median, if they have fractions."""
    y = _wide(y)
    columns = {}
    for i in range(y.shape[1]):
        values = y[:, i]
        name = f"private {i}" if y.shape[1] > 1 else "private"
        split = type_of_target(values) == "continuous" and len(np.unique(values)) > 2
        columns[name] = values if split else as_text(pd.Series(values)).to_numpy()
    return pd.DataFrame(columns)
