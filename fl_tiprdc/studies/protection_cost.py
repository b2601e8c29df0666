"""Measure what protected updates cost: seconds and bytes of an exchange with noise, secure aggregation, both."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from fl_tiprdc.config import Experiment, build_experiment
from strategies.hybrid_strategy import Exchange

PROTECTIONS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "--dp-noise 1": {"noise": 1.0},
    "--secagg": {"secagg": True},
    "both": {"noise": 1.0, "secagg": True},
}


def compare_protections(
    settings: Mapping[str, Any], exchanges_of: Callable[[Experiment], Sequence[Exchange]]
) -> pd.DataFrame:
    """Return one row for each protection and phase: medians over exchanges after the first round.

    Args:
        settings: of the experiment.
        exchanges_of: trains one point.
    """
    rows: list[dict[str, object]] = []
    for name, protection in PROTECTIONS.items():
        for exchange in exchanges_of(build_experiment({**settings, "protection": protection})):
            if exchange.round > 1:
                rows.append(
                    {
                        "protection": name,
                        "phase": exchange.phase,
                        "clients": exchange.clients,
                        "seconds": exchange.seconds,
                        "mb_down": exchange.bytes_down / 1e6,
                        "mb_up": exchange.bytes_up / 1e6,
                    }
                )
    return pd.DataFrame(rows).groupby(["phase", "protection"], sort=False).median().reset_index()
