"""The comparison of partitions, on a slice of the real data."""

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.report.partition_figure import partition_figure
from fl_tiprdc.studies.partitions import compare_partitions
from simulations import partitions

CONFIG = """
methods = ["tiprdc+"]
lambdas = [0.1, 0.9]
dials = {gaussian-noise = [1.0]}
clients = 6
runtime = "inline"
[centralized]
steps = 5
[federation]
rounds = 1
updates_per_round = 2
gradient_clients = 3
[audit]
attackers = ["logistic"]
probes = ["logistic"]
bootstrap = 5
"""


@pytest.fixture
def arguments(adult_is_small, tmp_path):
    (tmp_path / "small.toml").write_text(CONFIG)
    return ["--config", str(tmp_path / "small.toml"), "--output", str(tmp_path / "study")]


def test_every_partition_is_a_run_and_the_rest_is_done_once(arguments, tmp_path, capsys):
    partitions.main([*arguments, "--partitions", "iid,by-private"])
    folder = tmp_path / "study"
    settings = {name: set(pd.read_csv(folder / name / "metrics.csv")["setting"]) for name in ("iid", "by-private")}
    assert settings == {"iid": {"raw", "baseline", "centralized", "federated"}, "by-private": {"raw", "federated"}}
    points = pd.read_csv(folder / "points.csv")
    counts = points.groupby("partition").size().to_dict()
    assert counts == {"raw": 1, "baseline": 1, "centralized": 2, "iid": 2, "by-private": 2}
    table = pd.read_csv(folder / "partitions.csv")
    assert set(table["partition"]) == set(counts)
    assert (folder / "partitions.png").stat().st_size > 5000
    before = (folder / "points.csv").read_text()
    capsys.readouterr()
    partitions.main([*arguments, "--partitions", "iid,by-private"])  # finished runs are taken
    out = capsys.readouterr().out
    assert "by-private: taken from" in out
    assert "train federated" not in out
    assert (folder / "points.csv").read_text() == before


def test_other_settings_are_run_anew(arguments, tmp_path, capsys):
    partitions.main([*arguments, "--partitions", "iid", "--settings", "federated"])
    capsys.readouterr()
    partitions.main([*arguments, "--partitions", "iid", "--settings", "federated", "--lambdas", "0.5"])
    assert "taken from" not in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "study" / "points.csv").query("setting == 'federated'")["lam"]) == {0.5}


def some_points() -> pd.DataFrame:
    rows = []
    for seed in (0, 1):
        rows.append(("raw", "raw", "raw", 0.0, seed, 0.94, 1.0))
        for partition, setting, loss in (("centralized", "centralized", 0), ("iid", "federated", 0.1)):
            for lam, attack, retention in ((0.1, 0.8, 0.9), (0.9, 0.5, 0.6)):
                rows.append((partition, setting, "tiprdc+", lam, seed, attack, retention - loss))
    frame = pd.DataFrame(rows, columns=["partition", "setting", "method", "lam", "seed", "attack", "retention"])
    outside = frame["attack"] - 0.05  # without the extractor an attacker finds less
    return frame.assign(attack_low=frame["attack"] - 0.01, attack_high=frame["attack"] + 0.01, attack_outside=outside)


def test_the_table_says_how_far_below_centralized_a_partition_is():
    table = compare_partitions(some_points()).set_index("partition")
    assert table.loc["centralized", "retention"] == pytest.approx(0.7)  # a third of the way from 0.5 to 0.8
    assert table.loc["centralized", "retention_outside"] == pytest.approx(0.75)  # at 0.65 with the extractor
    assert table.loc["iid", "below_centralized"] == pytest.approx(0.1)
    assert table.loc["iid", "spearman"] == pytest.approx(-1)
    assert np.isnan(table.loc["raw", "retention"])


def test_the_figure_has_a_curve_for_each_partition():
    figure = partition_figure(some_points())
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["raw data", "centralized", "federated, iid"]
    (axes,) = figure.axes
    assert axes.get_xlabel()
    assert axes.get_ylabel()
