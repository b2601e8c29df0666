"""The certificate's bounds of simulated counts lie above the attack that is known there, the sharp one nearest."""

import pandas as pd
import pytest

from fl_tiprdc.studies import sharpness as study
from simulations import sharpness


@pytest.mark.parametrize("codes", [64, 512])  # of the many some have no people of a class
def test_a_leak_is_bounded_and_the_sharp_bound_is_nearer(codes):
    row = study.simulate(9_500, codes, "fitted", 8)
    assert row["holds"] == 1
    assert 0.5 < row["exact"] < row["sharp"] < row["bounded_differences"]
    assert row["exact"] == pytest.approx(0.5 + 0.0033 * codes**0.5, abs=0.004)  # s / √12 grows with √K
    none = study.simulate(9_500, codes, "none", 2)
    assert none["exact"] == 0.5 < none["sharp"] < row["sharp"]


def test_the_command_leaves_a_table_that_is_the_same_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "PEOPLE", (2_000,))
    monkeypatch.setattr(study, "CODES", (16, 32))
    for name in ("first", "second"):
        sharpness.main(["--draws", "2", "--output", str(tmp_path / name)])
    first, second = ((tmp_path / name / "sharpness.csv").read_bytes() for name in ("first", "second"))
    assert first == second
    table = pd.read_csv(tmp_path / "first" / "sharpness.csv")
    assert table[["people", "codes", "leak"]].values.tolist() == [
        [2_000, codes, leak] for codes in (16, 32) for leak in ("none", "fitted")
    ]
    assert "results:" in capsys.readouterr().out
