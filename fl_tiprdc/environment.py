"""Environment variables that keep Flower, Ray and trackers from talking to the outside world.

They must be set before those packages are imported, so that the modules that use them import this one first. A
variable that the user has set is left alone.
"""

import os

SILENT = {
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
}

for _name, _value in SILENT.items():
    os.environ.setdefault(_name, _value)
