"""Trackers, the real ones: what a run tells them is what they hold afterwards."""

import ast
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

import fl_tiprdc  # noqa: F401  switches telemetry off
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run import record_run, run_experiment
from fl_tiprdc.experiment.tracking import trackers
from fl_tiprdc.experiment.tracking.tracker import Place, Tracker, curves, plain, point_metrics
from fl_tiprdc.experiment.tracking.trackers import TRACKERS, Trackers, named_trackers

POINTS = pd.DataFrame(
    {
        "setting": ["federated", "federated"],
        "method": "tiprdc+",
        "lam": [0.1, 0.9],
        "seed": 0,
        "attack": [0.8, 0.6],
        "attack_low": [0.7, 0.5],
        "attacker": "mlp",
        "attribute": "sex",
        "retention": [0.9, 0.7],
    }
)
TASKS = POINTS[["setting", "method", "lam", "seed"]].assign(task="owns house?", retention=[0.9, float("nan")])
ROUNDS = pd.DataFrame(
    {
        "setting": ["centralized"] * 2 + ["federated"] * 3,
        "method": "tiprdc+",
        "lam": [0.1, 0.1, 0.9, 0.9, 0.9],
        "seed": 0,
        "round": [10, 20, 1, 1, 2],
        "phase": ["update"] * 2 + ["hybrid-gradient"] * 3,
        "privacy": [0.5, 0.4, 0.3, float("nan"), 0.2],
        "exchange": [None, None, 1, 2, 3],
        "seconds": [None, None, 0.1, 0.2, 0.3],
    }
)
SUMMARY = {"frontier_areas": [{"setting": "federated", "method": "tiprdc+", "area": 0.75}], "commit": "abc"}
NAMES = ["federated/tiprdc+/lam-0.1/seed-0", "federated/tiprdc+/lam-0.9/seed-0"]
TRAINING = "centralized/tiprdc+/lam-0.1/seed-0"


@pytest.fixture
def followed(small, tmp_path):
    """Tells a tracker of a whole run."""

    def follow(*names: str) -> list[str]:
        folder, said = tmp_path / "results" / ".one.partial", []
        (folder / "figures").mkdir(parents=True)
        (folder / "config.toml").write_text("clients = 6\n")
        told = Trackers(names, said.append)
        told.started(small(), Place("one", folder, tmp_path / "results"))
        with Stages(Console(quiet=True), told) as stages, stages.stage("train federated", 4) as ticker:
            for _ in range(4):
                ticker.tick()
        told.exchanges(ROUNDS)
        told.points(POINTS, TASKS)
        told.finished(SUMMARY)
        return said

    return follow


def test_tensorboard_has_curves_points_and_settings(followed, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert followed("tensorboard") == []
    root = tmp_path / "results" / ".one.partial" / "tensorboard"

    def scalars(series: str, tag: str) -> list[tuple[int, float]]:
        events = accumulator.EventAccumulator(str(root / series))
        events.Reload()
        return [(one.step, pytest.approx(one.value)) for one in events.Scalars(tag)]

    assert scalars(NAMES[1], "training/privacy") == [(1, 0.3), (3, 0.2)]
    assert scalars(TRAINING, "training/privacy") == [(10, 0.5), (20, 0.4)]
    assert scalars(NAMES[1], "audit/attack") == [(0, 0.6)]
    assert scalars("run", "progress/train federated")[-1] == (4, 1.0)
    assert scalars("run", "seconds/train federated")


def test_mlflow_in_a_local_file_has_curves_points_and_files(followed, tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking")
    pytest.importorskip("alembic")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert followed("mlflow") == []
    client = tracking.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'results' / 'mlflow.db'}")
    runs = {
        run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("fl-tiprdc").experiment_id])
    }
    assert set(runs) == {"one", *NAMES, TRAINING}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    whole = runs["one"]
    assert whole.data.params["federation.rounds"] == "3"
    assert whole.data.metrics["frontier area/federated/tiprdc_"] == 0.75
    assert whole.data.metrics["progress/train federated"] == 1.0
    assert [file.path for file in client.list_artifacts(whole.info.run_id)] == ["config.toml", "figures"]
    assert (tmp_path / "results" / "mlflow-artifacts").is_dir()
    point = runs[NAMES[1]]
    assert point.data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert point.data.params["lam"] == "0.9"
    assert point.data.tags["attacker"] == "mlp"
    assert point.data.metrics["attack"] == 0.6
    history = client.get_metric_history(point.info.run_id, "privacy")
    assert [(one.step, one.value) for one in history] == [(1, 0.3), (3, 0.2)]


def test_wandb_offline_has_a_run_and_sends_nothing(followed, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "")
    assert followed("wandb") == []
    (folder,) = (tmp_path / "results" / "wandb").glob("offline-run-*")
    (log,) = folder.glob("run-*.wandb")
    content = log.read_bytes()
    for text in (b"fl-tiprdc", b"frontier area/federated/tiprdc+", b"federated/tiprdc+/lam-0.9/seed-0/privacy"):
        assert text in content
    assert sys.executable.encode() not in content


def test_a_run_is_followed_from_start_to_end(small, population, one_process, tmp_path, monkeypatch):
    told, summaries = [], []

    class Listening(Tracker):
        def __getattribute__(self, name):
            if name in {"started", "exchanges", "points", "finished", "failed"}:
                told.append(name)
            return super().__getattribute__(name)

        def finished(self, summary):
            summaries.append(summary)
            assert (tmp_path / ".one.partial" / "report.html").is_file()

    monkeypatch.setitem(TRACKERS, "mlflow", Listening)
    experiment = small(settings=("centralized",), methods=("tiprdc+",), track=("mlflow",), private=("sex",))
    run_experiment(experiment, population, tmp_path / "one", Console(quiet=True))
    assert told == ["started", "exchanges", "points", "finished"]
    assert summaries == [json.loads((tmp_path / "one" / "summary.json").read_text())]
    del told[:]

    def breaks(*_):
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        record_run(experiment, tmp_path / "two", Console(quiet=True), breaks)
    assert told == ["started", "failed"]


def test_a_tracker_that_breaks_is_left_and_the_run_goes_on(small, monkeypatch, tmp_path):
    told, said = [], []

    class Broken(Tracker):
        def exchanges(self, rounds):
            raise ConnectionError("server is gone\nand more")

        def points(self, points, tasks):
            told.append("broken")

    class Sound(Tracker):
        def points(self, points, tasks):
            told.append("sound")

    monkeypatch.setitem(TRACKERS, "mlflow", Broken)
    monkeypatch.setitem(TRACKERS, "wandb", Sound)
    both = Trackers(("mlflow", "wandb"), said.append)
    both.started(small(), Place("one", tmp_path, tmp_path))
    both.exchanges(ROUNDS)
    both.points(POINTS, TASKS)
    assert told == ["sound"]
    assert said == ["note: tracker 'mlflow' broke and is left: server is gone"]


def test_a_tracker_that_cannot_start_is_wrong_input(small, monkeypatch, tmp_path):
    class Absent(Tracker):
        def started(self, experiment, place):
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")

    class Unreachable(Tracker):
        def started(self, experiment, place):
            raise ConnectionError("no route")

    for tracker, message in ((Absent, r"pip install 'fl-tiprdc\[mlflow\]'"), (Unreachable, "does not start: no route")):
        monkeypatch.setitem(TRACKERS, "mlflow", tracker)
        with pytest.raises(InputError, match=message):
            Trackers(("mlflow",), print).started(small(), Place("one", tmp_path, tmp_path))


def test_names_of_trackers():
    assert named_trackers(("mlflow", "wandb")) == ("mlflow", "wandb")
    assert named_trackers(("none",)) == named_trackers(()) == ()
    for names, message in (
        (("excel",), "unknown tracker"),
        (("none", "wandb"), "alone"),
        (("wandb", "wandb"), "twice"),
    ):
        with pytest.raises(InputError, match=message):
            named_trackers(names)


def test_tables_become_curves_and_numbers():
    first, second = curves(ROUNDS)
    assert (first.name, first.steps) == (TRAINING, [10, 20])
    assert second.values["seconds"] == [0.1, 0.2, 0.3]
    assert list(curves(pd.DataFrame())) == []
    rows = POINTS.to_dict("records")
    assert point_metrics(rows[0], TASKS) == {
        "attack": 0.8,
        "attack_low": 0.7,
        "retention": 0.9,
        "retention_owns house_": 0.9,
    }
    assert "retention_owns house_" not in point_metrics(rows[1], TASKS)
    assert plain("a:b?") == "a_b_"


def test_trackers_are_imported_only_when_used():
    for path in Path(trackers.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:  # of the module, not of its functions
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"torch", "mlflow", "wandb", "tensorboard"}, path
