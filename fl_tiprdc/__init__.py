"""Federated TIPRDC: train a crowd's anonymising feature extractor together, publish, audit.

Importing the package silences what Flower and Ray would otherwise send to the outside world, and keeps Ray
on the loopback interface. Variables that the user has set are left alone.
"""

import os

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
}.items():
    os.environ.setdefault(_name, _value)

__version__ = "0.1.0"
