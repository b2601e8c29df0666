"""The method as a scikit-learn transformer: fit on records and private labels in one place, transform to releases."""

import secrets
import warnings
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import sklearn
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fl_tiprdc.config import CentralizedConfig, NetworkConfig
from fl_tiprdc.data.column_encoding import encode_frame, fit_columns
from fl_tiprdc.data.crowd import Description, Floats, Records
from fl_tiprdc.data.own_table import feature_columns
from fl_tiprdc.data.population import encode_private
from fl_tiprdc.data.telling_columns import leave_out_copies
from fl_tiprdc.errors import InputError, require_known, require_once
from fl_tiprdc.evaluation.certificate import codes_for
from fl_tiprdc.extractor.card import Card
from fl_tiprdc.extractor.private_columns import (
    as_classes,
    as_pandas,
    private_columns,
    require_same_rows,
    without_private,
)
from fl_tiprdc.extractor.released import Extractor
from fl_tiprdc.hybrid.centralized import train_centralized
from fl_tiprdc.hybrid.coding import fit_at_one_place, fitting, set_aside
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.methods import METHODS
from fl_tiprdc.notices import DataNotice
from fl_tiprdc.release.draws import Draws, fresh_noise, key_of, record_noise

LEAVE_OUT = "leave such a column out of X"
ROUTING = "sklearn.set_config(enable_metadata_routing=True)"


class TiprdcTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Representations of records that hide a private attribute and keep what else they tell.

    Trains with all records in one place (a crowd that keeps its records is what `fl-tiprdc run` is for).

    What it hides is `private`, or y where there is no `private`: then y has to be the private labels, not a task's.
    A Pipeline gives each step the y of its last one, so there the private labels go by `private`:
    `pipeline.fit(X, y, tiprdctransformer__private=labels)`, or `pipeline.fit(X, y, private=labels)` with scikit-learn's
    metadata routing, which brings them to `transform` too.

    X is an array of numbers, or a data frame (pandas, polars, Arrow) of any columns: numbers and dates are scaled;
    texts, booleans and what has the dtype "category" are categories; identifiers and free text are left out with a
    `DataNotice`.

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
        feature_names_in_: their names, of a DataFrame that has any.
        code_counts_: of "coded": [classes, codes] people set aside from the fit, by private class and code; what
            `fl_tiprdc.evaluation.certificate.certify` takes.
    """

    # requested unless the user says otherwise: where labels are routed, they are what is hidden
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"private": True}
    __metadata_request__transform: ClassVar[dict[str, bool]] = {"private": True}

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

    def fit(self, X: Any, y: Any = None, private: Any = None) -> Self:
        """Train.

        Args:
            X: [n, columns] numbers or a DataFrame, scaled here. A column that is the private attribute itself, by its
                name and values, is left out of what is released; leave it out of arrays yourself.
            y: the private labels, where `private` has none; otherwise it isn't looked at.
            private: [n] or [n, attributes] private labels, classes of any type; numbers with a fraction are split at
                their median. A Series and a DataFrame give the private attributes their names.

        Raises:
            ValueError: X can't be read, private labels are missing or have a single class, or a setting is wrong.
        """
        X, given = as_pandas(X), as_pandas(y if private is None else private)
        if given is None:
            raise ValueError("requires y to be passed, but the target y is None: give the private labels")
        require_same_rows(X, given)
        self._typed = isinstance(X, pd.DataFrame)
        if self._typed:
            require_once("column", list(map(str, X.columns)))
        if isinstance(given, (pd.Series, pd.DataFrame)):
            given = private_columns(given)  # each by its own type, which is lost in the array that the check returns
        numbers, checked = validate_data(
            self, X.notna() if self._typed else X, given, dtype=np.float64, ensure_min_samples=2, multi_output=True
        )
        require_known("method", [self.method], METHODS)
        if not 0 <= self.lam <= 1:
            raise InputError(f"lam is {self.lam}: must be from 0 to 1")
        private = given if isinstance(given, pd.DataFrame) else private_columns(checked)
        everyone = np.ones(len(private), dtype=bool)
        features = self._features(self._table(X if self._typed else numbers), private)
        columns = fit_columns(features, everyone)
        labels, attributes = encode_private(as_classes(private), everyone)
        marginals = tuple(
            tuple((np.bincount(labels[:, a], minlength=len(one.classes)) / len(private)).tolist())
            for a, one in enumerate(attributes)
        )
        description = Description.of_table(columns, attributes, marginals)
        method = METHODS[self.method].settings
        network = NetworkConfig(representation=self.representation, extractor_hidden=tuple(self.hidden))
        training = CentralizedConfig(steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate)
        seed = self._seed()
        step = HybridStep(description, network, method)
        records = Records(encode_frame(features, columns), labels)
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
            bears = partial(codes_for, target=step.method.coding.target)
            fit = fit_at_one_place(
                step, extractor, records, aside, [self.lam], seed, bears, lambda codes: self._draws(seed)
            )
            groups["codes"] = fit.couplings[0].arrays()
            self.code_counts_ = fit.counts[0]
        return groups

    def _draws(self, seed: int) -> Draws:
        return fresh_noise if self.random_state is None else record_noise(key_of(seed))

    def transform(self, X: Any, private: Any = None) -> Floats:
        """Return releases [n, d] of records X [n, columns], with the channel's noise; see `random_state`.

        Args:
            X: the records.
            private: their private labels as in `fit`; methods that look at them ("coded") need them, others ignore
                them. A DataFrame that has the private columns needs none.

        Raises:
            ValueError: X isn't as in the fit, or private labels are needed and missing.
        """
        check_is_fitted(self)
        X, private = as_pandas(X), as_pandas(private)
        typed = self._typed and isinstance(X, pd.DataFrame)
        numbers = validate_data(self, X.notna() if typed else X, dtype=np.float64, reset=False)
        table = self._table(X if typed else numbers)
        key = None if self.random_state is None else key_of(self._seed())
        if not self.extractor_.release.sees_private:
            return self.extractor_.transform(table, key=key)
        names = [attribute.name for attribute in self.extractor_.description.attributes]
        if private is None and typed and set(names) <= set(table.columns):
            private = table[names]
        if private is None:
            raise InputError(
                f"method {self.extractor_.card.method} looks at the private labels of what it releases too: "
                f"transform(X, private); in a Pipeline {ROUTING} and predict(X, private=...)"
            )
        check_consistent_length(X, private)
        require_same_rows(X, private)
        private = private_columns(private)
        if set(names) <= set(private.columns):
            private = private[names]
        elif len(names) == private.shape[1]:
            private = private.set_axis(names, axis=1)
        else:
            raise InputError(f"there are {private.shape[1]} private columns: give {len(names)}")
        return self.extractor_.transform(table, private, key=key)

    def fit_transform(self, X: Any, y: Any = None, private: Any = None) -> Floats:
        """Fit, then release the same records with their private labels.

        A Pipeline calls this with the y of its last step. That y alone would be hidden is refused where metadata
        routing is on, which brings private labels here, and else said in a `DataNotice`.

        Raises:
            ValueError: as `fit`, or y came without private labels though routing is on.
        """
        if private is None and y is not None:
            self._say_that_y_is_hidden()
        return self.fit(X, y, private).transform(X, y if private is None else private)

    def _say_that_y_is_hidden(self) -> None:
        """Warn that y is hidden, or refuse it.

        Raises:
            InputError: metadata routing is on.
        """
        if sklearn.get_config()["enable_metadata_routing"]:
            raise InputError(
                "fit_transform(X, y) came without private labels, and y may be a task: give private=LABELS "
                "to fit of the Pipeline or the search; where y is what to hide, write fit_transform(X, private=y)"
            )
        warnings.warn(
            "fit_transform(X, y) hides y; where y is a task, as in a Pipeline before a classifier, write "
            f"fit(X, y, STEP__private=LABELS), or {ROUTING} and fit(X, y, private=LABELS); "
            "where y is what to hide, write fit_transform(X, private=y)",
            DataNotice,
            stacklevel=3,
        )

    def _table(self, X: Any) -> pd.DataFrame:
        """Return records with the names that the columns had in the fit; without, they are x0, x1 and so on."""
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        return pd.DataFrame(X).set_axis(names, axis=1).reset_index(drop=True)

    def _features(self, table: pd.DataFrame, private: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that become x: numbers and texts."""
        if not self._typed:
            return table
        kinds = {str(name): "category" for name in table if isinstance(table[name].dtype, pd.CategoricalDtype)}
        kinds |= {str(name): "number" for name in table if pd.api.types.is_float_dtype(table[name].dtype)}
        everyone = np.ones(len(table), dtype=bool)
        keep = 'give it the dtype "category" or float'
        features = feature_columns(without_private(table, private), kinds, everyone, keep=keep)
        labels, none = as_classes(private), pd.DataFrame(index=table.index)
        asked_for = [name for name, kind in kinds.items() if kind == "category"]
        return leave_out_copies(features, labels, none, everyone, asked_for, 'give it the dtype "category"', LEAVE_OUT)

    def _seed(self) -> int:
        if self.random_state is None:
            return secrets.randbits(31)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))
