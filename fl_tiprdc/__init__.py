"""Federated TIPRDC: train a crowd's anonymising feature extractor together, publish, audit.

Importing the package silences what Flower and Ray would otherwise send to the outside world, and keeps Ray
on the loopback interface. Variables that the user has set are left alone.

`Extractor` loads what a run released; `TiprdcTransformer` is the method for scikit-learn.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fl_tiprdc.extractor.released import Extractor as Extractor
    from fl_tiprdc.extractor.transformer import TiprdcTransformer as TiprdcTransformer

for _name, _value in {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # On Linux this one makes a local Ray listen on 127.0.0.1 only; a real cluster needs it unset or "1".
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
}.items():
    os.environ.setdefault(_name, _value)

__version__ = "0.2.0"

# imported when first asked for, so that the package itself needs no torch
_LAZY = {
    "Extractor": "fl_tiprdc.extractor.released",
    "TiprdcTransformer": "fl_tiprdc.extractor.transformer",
}
__all__ = ["Extractor", "TiprdcTransformer", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
