"""Attackers of packages that are no part of this one: CatBoost, LightGBM and TabM, imported only when asked for.

They take and return what every classifier of the registry does, see `classifiers`. Their packages are in the extra
`attackers`.
"""

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch import nn

from fl_tiprdc.data.crowd import Floats, Ints
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.mlp import Perceptron
from fl_tiprdc.seeding import derive

PACKAGES = {"catboost": "catboost", "lightgbm": "lightgbm", "tabm": "tabm"}  # attacker -> what it imports
TABM_BLOCKS, TABM_WIDTH, TABM_NETWORKS = 2, 128, 16
THREADS = 1  # audits of several releases run side by side


def check_installed(names: Sequence[str]) -> None:
    """Check that the packages of attackers are installed.

    Raises:
        InputError: naming the attacker, and how to install what it needs.
    """
    for name in names:
        if name in PACKAGES and find_spec(PACKAGES[name]) is None:
            raise InputError(f"attacker '{name}' needs {PACKAGES[name]}: pip install 'fl-tiprdc[attackers]'")


def _trees(model: Any, x: Floats, labels: Ints, classes: int, test: Floats) -> Floats:
    """Return probabilities [m, classes] of a model with scikit-learn's methods, fitted to labels [n]."""
    full = np.zeros((len(test), classes), dtype=np.float32)
    seen, codes = np.unique(labels, return_inverse=True)
    if len(seen) == 1:  # there is nothing to tell apart
        full[:, seen] = 1
        return full
    model.fit(x, codes.reshape(-1))
    full[:, seen] = model.predict_proba(test)
    return full


def catboost(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """CatBoost: ordered boosting of symmetric trees (Prokhorenkova et al. 2018)."""
    check_installed(["catboost"])
    from catboost import CatBoostClassifier

    return [
        _trees(
            CatBoostClassifier(
                iterations=300,
                random_seed=derive(seed, "catboost") % 2**31,
                thread_count=THREADS,
                verbose=False,
                allow_writing_files=False,
            ),
            x,
            labels[:, i],
            k,
            test,
        )
        for i, k in enumerate(classes)
    ]


def lightgbm(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """LightGBM: boosting of trees that grow leaf by leaf (Ke et al. 2017)."""
    check_installed(["lightgbm"])
    from lightgbm import LGBMClassifier

    return [
        _trees(
            LGBMClassifier(
                n_estimators=150,
                learning_rate=0.05,
                subsample=0.8,
                subsample_freq=1,
                random_state=derive(seed, "lightgbm") % 2**31,
                n_jobs=THREADS,
                deterministic=True,
                verbose=-1,
            ),
            x,
            labels[:, i],
            k,
            test,
        )
        for i, k in enumerate(classes)
    ]


def _tabm_network(width: int, outputs: int) -> nn.Module:
    from tabm import TabM

    network: nn.Module = TabM.make(
        n_num_features=width,
        d_out=outputs,
        k=TABM_NETWORKS,
        n_blocks=TABM_BLOCKS,
        d_block=TABM_WIDTH,
        dropout=0.0,  # early stopping is the only regularizer here, as of the perceptrons
        start_scaling_init="random-signs",
    )
    return network


def tabm(x: Floats, labels: Ints, classes: Sequence[int], test: Floats, seed: int) -> list[Floats]:
    """TabM: many perceptrons that share most of their weights (Gorishniy et al. 2025), stopped early."""
    check_installed(["tabm"])
    return Perceptron(seed, build=partial(_tabm_network, x.shape[1])).fit_predict(x, labels, classes, test)
