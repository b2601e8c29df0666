"""The classifiers that attack and probe: a registry of functions that fit and predict in one go.

Each takes (x [n, d], labels [n, targets], classes of each target, test [m, d], seed) and returns class
probabilities on the test records, one [m, classes] a target. scikit-learn is imported by those that use it: it takes a
second, and the process that hands out the work needs none of it.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.evaluation.mlp import Perceptron
from fl_tiprdc.evaluation.todays_classifiers import catboost, lightgbm, tabm
from fl_tiprdc.seeding import numpy_generator

Classifier = Callable[[Floats, Ints, Sequence[int], Floats, int], list[Floats]]


MAJORITY = "majority"  # the level of chance: in every audit, and never the worst attacker


def majority(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """Answer the classes' shares for everybody, whatever x says."""
    shares = [np.bincount(labels[:, i], minlength=k) / len(labels) for i, k in enumerate(classes)]
    return [np.tile(share, (len(test), 1)).astype(np.float32) for share in shares]


def _spread(probabilities: Floats, seen: Ints, classes: int) -> Floats:
    """Return columns for all classes, also those that the training records don't have."""
    full = np.zeros((len(probabilities), classes), dtype=np.float32)
    full[:, seen] = probabilities
    return full


def _fit_predict(model: Any, x: Floats, labels: Ints, classes: int, test: Floats) -> Floats:
    if (labels == labels[0]).all():  # scikit-learn refuses a single class
        return majority(x, labels[:, None], [classes], test, 0)[0]
    model.fit(x, labels)
    return _spread(model.predict_proba(test), model.classes_, classes)


def logistic(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """Fit a logistic regression on standardized inputs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    inputs, tested = scaler.transform(x), scaler.transform(test)
    answers = []
    for i, k in enumerate(classes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # what it has by then is an attacker as well
            answers.append(_fit_predict(LogisticRegression(max_iter=300), inputs, labels[:, i], k, tested))
    return answers


def boosting(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """Fit histogram gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    answers = []
    for i, k in enumerate(classes):
        model = HistGradientBoostingClassifier(
            max_iter=100 if k == 2 else 50, max_bins=64, early_stopping=False, random_state=seed % 2**32
        )
        answers.append(_fit_predict(model, x, labels[:, i], k, test))
    return answers


def forest(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """Fit a random forest, one for all targets."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(n_estimators=20, min_samples_leaf=10, max_samples=0.25, random_state=seed % 2**32)
    targets = labels if len(classes) > 1 else labels[:, 0]
    answers = model.fit(x, targets).predict_proba(test)
    if len(classes) == 1:
        return [_spread(answers, model.classes_, classes[0])]
    return [_spread(p, seen, k) for p, seen, k in zip(answers, model.classes_, classes, strict=True)]


def mlp(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """Train a multilayer perceptron, stopped early on a validation split."""
    return Perceptron(seed).fit_predict(x, labels, classes, test)


NEIGHBORS = (20, 60, 200, 600)  # of which one number is chosen
TRIED_ON = 1000  # records, kept from the neighbors, on which it is chosen


def nearest(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """Answer the classes' shares among the nearest standardized records; as many as do best on records kept apart."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    inputs = scaler.transform(x)
    shuffled = numpy_generator(seed, "nearest").permutation(len(x))
    cut = min(TRIED_ON, len(x) // 5)
    tried, kept = shuffled[:cut], shuffled[cut:]
    counts = [k for k in NEIGHBORS if k <= len(kept)] or [len(kept)]
    model = NearestNeighbors(n_neighbors=counts[-1], algorithm="brute").fit(inputs[kept])
    hot = [np.eye(k, dtype=np.float32)[labels[kept, i]] for i, k in enumerate(classes)]

    def shares(new: Floats, count: int) -> list[Floats]:
        near = model.kneighbors(new, n_neighbors=count, return_distance=False)
        # nobody is sure of a class
        return [(indicators[near].sum(1) + 1 / indicators.shape[1]) / (count + 1) for indicators in hot]

    if not cut:
        return shares(scaler.transform(test), counts[-1])
    near = model.kneighbors(inputs[tried], return_distance=False)
    losses = []
    for count in counts:
        answers = [(indicators[near[:, :count]].sum(1) + 1 / indicators.shape[1]) / (count + 1) for indicators in hot]
        right = [np.take_along_axis(p, labels[tried, i, None], axis=1) for i, p in enumerate(answers)]
        losses.append(-np.mean([np.log(p).mean() for p in right]))
    return shares(scaler.transform(test), counts[int(np.argmin(losses))])


SHAPES = ((512,), (256, 128), (128, 128, 128))  # wide, as the plain one, and deep
RESTARTS = 2


def mlp_tuned(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """Train multilayer perceptrons, wide and deep, several times: the mean answer of the best shape's.

    The shape is the one with the smallest loss on the records that validate.
    """
    by_shape: list[tuple[float, list[list[Floats]]]] = []
    for hidden in SHAPES:
        models = [Perceptron(seed + restart, hidden) for restart in range(RESTARTS)]
        answers = [model.fit_predict(x, labels, classes, test) for model in models]
        by_shape.append((float(np.mean([model.loss for model in models])), answers))
    best = min(by_shape, key=lambda tried: tried[0])[1]
    return [np.mean(of_target, axis=0, dtype=np.float32) for of_target in zip(*best, strict=True)]


BUILT_IN: Mapping[str, Classifier] = {
    "logistic": logistic,
    "boosting": boosting,
    "forest": forest,
    "mlp": mlp,
    "nearest": nearest,
    "mlp-tuned": mlp_tuned,
}
OF_PACKAGES: Mapping[str, Classifier] = {"catboost": catboost, "lightgbm": lightgbm, "tabm": tabm}  # the extra
CLASSIFIERS: dict[str, Classifier] = {**BUILT_IN, **OF_PACKAGES}

TAKE_WIDE = ("mlp", "mlp-tuned", "tabm")  # models that cope with thousands of inputs
