"""Generated people are as the study says, and a larger crowd leaves a table and a figure."""

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.studies import crowd_sizes as study
from fl_tiprdc.studies.crowd_sizes import TASKS, Generated
from simulations import crowd_sizes


@pytest.fixture(scope="module")
def drawn():
    generated = Generated(0)
    columns, private, tasks = generated.draw(100_000, "test")
    return private, tasks, *generated.best_scores(columns)


def calibration(probabilities: np.ndarray, happened: np.ndarray) -> float:
    """Return how far what happened is from what was predicted, in standard deviations, at worst of ten bins."""
    bins = np.array_split(np.argsort(probabilities), 10)
    p = np.array([probabilities[rows].mean() for rows in bins])
    seen = np.array([happened[rows].mean() for rows in bins])
    return float(np.abs((seen - p) / np.sqrt(p * (1 - p) * 10 / len(happened))).max())


def test_the_best_scores_are_probabilities(drawn):
    private, tasks, second, scores = drawn
    assert calibration(second, private) < 4
    for task in range(TASKS):
        own = np.where(private == 1, scores[1, :, task], scores[0, :, task])
        assert calibration(own, tasks[:, task]) < 4


def test_people_depend_on_the_seed_and_their_name_alone():
    first, again = Generated(3), Generated(3)
    again.draw(5, "others")
    for a, b in zip(first.draw(7, "people"), again.draw(7, "people"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.draw(7, "people")[0], Generated(4).draw(7, "people")[0])


def test_columns_are_standardized_and_a_leakless_release_keeps_most():
    crowd = Generated(0).crowd(50_000, "test")
    np.testing.assert_allclose(crowd.x.std(0), 1, atol=0.02)
    assert 0.8 < Generated(0).limit(50_000) < 0.99


@pytest.mark.timeout(600)
def test_a_size_leaves_a_row_and_the_figure_and_is_taken_the_second_time(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study, "HELD_OUT", 2_000)
    flags = ["--sizes", "1000", "--output", str(tmp_path / "sizes")]
    crowd_sizes.main(flags)
    written = (tmp_path / "sizes" / "sizes.csv").read_bytes()
    (row,) = pd.read_csv(tmp_path / "sizes" / "sizes.csv").to_dict("records")
    assert row["people"] == 1000
    assert 0 < row["retention"] < row["limit"]
    assert 0.5 <= row["exact"] < row["certified"] < 1
    assert (tmp_path / "sizes" / "sizes.png").stat().st_size > 5000
    crowd_sizes.main(flags)
    assert "taken from" in capsys.readouterr().out
    assert (tmp_path / "sizes" / "sizes.csv").read_bytes() == written
