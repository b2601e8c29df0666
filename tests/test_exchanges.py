"""The study of what a federation sends: what it counts, and how a plan is asked for."""

import json

import pandas as pd
import pytest

from fl_tiprdc.config import build_experiment
from fl_tiprdc.errors import InputError
from fl_tiprdc.report.exchanges_figure import exchanges_figure
from fl_tiprdc.studies.exchanges import LEVEL, TRAININGS, exchange_rows, traffic_of
from simulations.exchanges import main


def finished(folder, exchanges, **sent):
    """What a run leaves: a row for each exchange, one of centralized training, and the bytes."""
    rows = [{"setting": "federated", "exchange": i} for i in range(exchanges)] + [{"setting": "centralized"}]
    pd.DataFrame(rows).to_csv(folder / "rounds.csv", index=False)
    (folder / "summary.json").write_text(json.dumps({"bytes": sent}))
    return folder


def test_codes_share_a_training_and_other_methods_have_one_for_each_lambda(tmp_path):
    folder = finished(tmp_path, 80, training_down=6e6, training_up=3e6, publication_down=2e6, publication=1e6)
    settings = {"lambdas": (0.5, 1.0), "seeds": (0, 1)}
    assert traffic_of(build_experiment(settings | {"methods": ("coded",)}), folder) == (42, 6.0)
    assert traffic_of(build_experiment(settings | {"methods": ("tiprdc+",)}), folder) == (21, 3.0)


def test_rows_say_what_is_kept_at_the_level(tmp_path):
    experiment = build_experiment({"methods": ("coded",), "lambdas": (0.5, 1.0), "clients": 7})
    points = pd.DataFrame(
        {
            "setting": "federated",
            "method": "coded",
            "lam": [0.5, 1.0],
            "seed": 0,
            "attack": [0.7, 0.5],
            "attack_low": 0.5,
            "attack_high": 0.7,
            "retention": [0.9, 0.8],
        }
    )
    rows = exchange_rows("mine", experiment, finished(tmp_path, 40, training=5e6), points)
    assert list(rows["lam"]) == [0.5, 1.0]
    sent = rows[["plan", "clients", "exchanges", "megabytes"]].drop_duplicates()
    assert sent.to_numpy().tolist() == [["mine", 7, 42, 5]]
    assert rows["retention_at"].iloc[0] == pytest.approx(0.85)  # half-way between the two
    figure = exchanges_figure(rows, LEVEL)
    (axes,) = figure.axes
    assert "megabytes" in axes.get_xlabel()
    assert axes.get_legend_handles_labels()[1] == ["mine: 42 exchanges"]


def test_plans_change_what_they_say():
    merged = {name: dict(plan.changes) for name, plan in TRAININGS.items()}
    assert build_experiment(merged["coded-every-4-rounds"]).method_config("coded").local_rounds == 4
    assert build_experiment(merged["coded-every-round"]).method_config("coded").coding is not None


def test_an_unknown_plan_is_named(tmp_path):
    with pytest.raises(InputError, match="unknown plan 'magic': choose one of coded, "):
        main(["--plans", "magic", "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
