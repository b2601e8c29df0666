"""A training of many rounds stays flat, and what measures that can tell a slope from a jump."""

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.studies.long_run import MEASURES, slopes
from simulations import long_run


def table(**measures) -> pd.DataFrame:
    rounds = np.arange(10, 510, 10)
    flat = {name: np.full(50, 100.0) for name in MEASURES}
    return pd.DataFrame({"round": rounds, **flat, **{name: f(rounds) for name, f in measures.items()}})


def test_slopes_are_those_after_the_warm_up_and_of_no_single_jump():
    found = slopes(
        table(
            driver_mb=lambda r: 100 + 0.02 * r,
            actors_mb=lambda r: np.where(r < 100, r, 100.0),  # caches fill
            files=lambda r: np.where(r > 400, 12.0, 10.0),  # one jump
            log_mb=lambda r: 5 - 0.01 * r,
        )
    ).set_index("measure")["slope_per_100_rounds"]
    assert found["driver_mb"] == pytest.approx(2)
    assert found["actors_mb"] == 0
    assert found["files"] == 0
    assert found["log_mb"] == pytest.approx(-1)


@pytest.mark.alone
@pytest.mark.parametrize(("runtime", "method"), [("inline", "coded"), ("ray-cohort", "tiprdc+")])
def test_forty_rounds_leave_no_trail(runtime, method, tmp_path, capsys, request):
    """A loose bound: 500 rounds are `python simulations/long_run.py`."""
    if runtime == "ray-cohort":
        request.getfixturevalue("ray_session")
    flags = [
        "--rounds",
        "40",
        "--clients",
        "20",
        "--every",
        "1",
        "--actors",
        "2",
        "--runtime",
        runtime,
        "--method",
        method,
    ]
    long_run.main([*flags, "--output", str(tmp_path / "long")])
    samples = pd.read_csv(tmp_path / "long" / "samples.csv")
    assert samples["round"].tolist() == list(range(1, 41))
    assert (samples["driver_mb"] > 50).all()
    if runtime == "ray-cohort":
        assert (samples["actors"] >= 2).all()
        assert (samples["actors_mb"] > 100).all()
    slope = pd.read_csv(tmp_path / "long" / "slopes.csv").set_index("measure")["slope_per_100_rounds"]
    assert slope["driver_mb"] < 20
    assert slope["actors_mb"] < 20
    assert slope["files"] <= 5
    assert slope["log_mb"] < 1
    assert "results:" in capsys.readouterr().out
