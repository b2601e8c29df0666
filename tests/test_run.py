"""The main job, end to end on a slice of the real data."""

import json
import tomllib
from functools import partial
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.data.publication_store import read_store
from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.evaluation.frontier import VALIDATION
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.experiment.carry_out import carry_out
from fl_tiprdc.experiment.closing_table import closing_table
from fl_tiprdc.experiment.closing_words import closing_words, next_steps
from fl_tiprdc.experiment.run import record_run, run_experiment
from fl_tiprdc.experiment.screen import Screen
from tests.conftest import adult, break_client, grid_of


def quiet() -> Console:
    return Console(quiet=True)


@pytest.fixture(scope="module")
def finished(small, population, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("finished")
    experiment = small(lambdas=(0.1, 0.9), methods=("tiprdc", "tiprdc+"), dials={"gaussian-noise": (1.0, 2.0)})
    return experiment, tmp_path / "run", run_experiment(experiment, population, tmp_path / "run", quiet())


def test_a_run_leaves_every_file(finished, population):
    experiment, folder, _ = finished
    assert not list(folder.parent.glob(".*"))  # nothing half-made stays behind
    for name in ("config.toml", "metrics.csv", "rounds.csv", "summary.json", "report.html"):
        assert (folder / name).stat().st_size > 100, name
    for figure in ("frontier", "comparison", "tasks", "training", "bounds"):
        assert (folder / "figures" / f"{figure}.png").read_bytes()[:4] == b"\x89PNG"
        assert "<svg" in (folder / "figures" / f"{figure}.svg").read_text()
    asked = json.loads(experiment.model_dump_json(exclude_none=True))
    assert not asked["private"]  # the people say what is private of them
    assert tomllib.loads((folder / "config.toml").read_text()) == {**asked, "private": ["sex"]}

    metrics = pd.read_csv(folder / "metrics.csv")
    assert list(metrics.columns) == COLUMNS
    assert set(metrics["setting"]) == {"raw", "centralized", "federated", "baseline"}
    trained = metrics[metrics["setting"].isin(["centralized", "federated"])]
    assert set(zip(trained["method"], trained["lam"], strict=True)) == {
        (m, lam) for m in ("tiprdc", "tiprdc+") for lam in (0.1, 0.9)
    }
    assert set(metrics[metrics["kind"] == "attack"]["target"]) == {"sex"}
    assert set(metrics[metrics["kind"] == "task"]["target"]) == set(population.contributors.tasks)
    assert set(metrics["model"]) == {"logistic", "majority"}
    chance = metrics[(metrics["model"] == "majority") & (metrics["metric"] == "auc")]
    assert (chance["value"] == 0.5).all()
    chosen_by = metrics["metric"] == VALIDATION
    assert (metrics["low"] <= metrics["high"])[~chosen_by].all()
    assert metrics.loc[chosen_by, ["low", "high"]].isna().all(axis=None)

    summary = json.loads((folder / "summary.json").read_text())
    assert {"seconds", "bytes", "frontier_areas", "capacities", "comparison", "points", "versions", "commit"} <= set(
        summary
    )
    assert {(row["setting"], row["method"]) for row in summary["frontier_areas"]} == {
        ("raw", "raw"),
        ("baseline", "gaussian-noise"),
        *((s, m) for s in ("centralized", "federated") for m in ("tiprdc", "tiprdc+")),
    }
    assert summary["bytes"]["publication"] > 360 * 8 * 4
    # (d/2) log2(1 + 1/σ²) with d = 8
    sigma = experiment.method_config("tiprdc+").sigma(0.9)
    bits = {(row["method"], row["lam"]): row["bits"] for row in summary["capacities"]}
    assert bits["tiprdc+", 0.9] == pytest.approx(4 * np.log2(1 + sigma**-2), abs=0.01)
    assert "tiprdc" not in {row["method"] for row in summary["capacities"]}  # no channel, no bound
    assert len(summary["guarantees"]) == len(summary["points"])
    for row in summary["guarantees"]:
        assert row["attribute"] == "sex"
        assert row["most_information"] <= row["entropy"]
    assert {(row["task"], row["attribute"], row["group"]) for row in summary["worst_groups"]} <= {
        (task, "sex", name) for task in population.contributors.tasks for name in ("Female", "Male")
    }
    assert "equivalence" not in summary  # one seed shows nothing


def test_rounds_and_publication(finished):
    _, folder, points = finished
    rounds = pd.read_csv(folder / "rounds.csv")
    federated = rounds[rounds["setting"] == "federated"]
    counts = federated.groupby(["method", "lam", "phase"]).size().to_dict()
    for lam in (0.1, 0.9):
        assert counts["tiprdc", lam, "local-training"] == 3
        assert counts["tiprdc+", lam, "hybrid-gradient"] == 6
        assert counts["tiprdc+", lam, "adversary-gradient"] == 6 + 10  # ten at the end, where the step size falls
    assert (federated["clients"] == federated["method"].map({"tiprdc": 6, "tiprdc+": 4})).all()
    assert (federated["failures"] == 0).all()
    assert [name for name in rounds if name.startswith("failures")] == ["failures"]  # of no kind
    assert json.loads((folder / "summary.json").read_text())["failures"] == {}
    client, _, z = read_store(folder / "publication" / "federated" / "tiprdc+" / "lam-0.9" / "seed-0")
    assert len(client) == 360
    assert z.shape == (360, 8)
    raw = points[points["setting"] == "raw"]
    assert raw["retention"].tolist() == [pytest.approx(1)]
    assert len(points) == 1 + 2 + 2 * 2 * 2
    for setting in ("centralized", "federated"):
        assert (folder / "extractors" / setting / "tiprdc+" / "lam-0.9" / "seed-0" / "extractor.safetensors").exists()


@pytest.mark.parametrize("runtime", ["inline", "ray-cohort"])
def test_the_same_seed_gives_the_same_metrics(runtime, small, population, tmp_path, request):
    if runtime == "ray-cohort":
        request.getfixturevalue("ray_session")
    texts = []
    for name in ("first", "second"):
        run_experiment(
            small(runtime=runtime, seeds=(3,), methods=("tiprdc+",), actors=2), population, tmp_path / name, quiet()
        )
        texts.append((tmp_path / name / "metrics.csv").read_text())
    assert texts[0] == texts[1]


def test_another_seed_gives_other_metrics(small, population, tmp_path):
    run_experiment(small(seeds=(3, 4), methods=("tiprdc+",)), population, tmp_path / "run", quiet())
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    mine, theirs = (metrics[(metrics["setting"] == "federated") & (metrics["seed"] == s)] for s in (3, 4))
    assert len(mine) == len(theirs) > 0
    assert not np.allclose(mine["value"], theirs["value"])


def work_over(grid, population):
    """What a run does over clients that are there."""
    return partial(carry_out, population=population, grid=grid)


def test_a_second_run_takes_the_place_of_the_first_only_when_it_is_whole(small, make_store, population, tmp_path):
    folder = tmp_path / "runs" / "run"
    run_experiment(small(methods=("tiprdc+",)), population, folder, quiet())
    before = (folder / "metrics.csv").read_text()
    store = make_store()
    for partition in range(3):
        break_client(store, partition)
    with pytest.raises(TooManyFailuresError):
        record_run(small(seeds=(9,)), folder, quiet(), work_over(grid_of(store), population))
    assert (folder / "metrics.csv").read_text() == before
    # what was done is kept, out of sight
    assert {path.name for path in folder.parent.iterdir()} == {"run", ".run.partial"}


def test_a_run_in_which_clients_fail_ends_with_status_1_and_one_line(small, make_store, population, tmp_path, capsys):
    store, folder = make_store(), tmp_path / "runs" / "run"
    for partition in range(6):
        break_client(store, partition)
    with pytest.raises(SystemExit) as ended:
        guard(lambda _: record_run(small(), folder, Screen(), work_over(grid_of(store), population)))
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("failed: 4 of 4 clients failed in exchange 1")  # of tiprdc+, which is begun first
    assert "x has values that are not finite" in error
    assert error.count("\n") == 1
    assert [path.name for path in folder.parent.iterdir()] == [".run.partial"]  # the centralized part, for --resume


def test_several_private_attributes_and_seeds(small, tmp_path):
    experiment = small(private=("sex", "race"), seeds=(0, 1), methods=("tiprdc+",), partition="by-private", clients=10)
    points = run_experiment(experiment, adult(400, 300, ("sex", "race")), tmp_path / "run", quiet())
    assert set(points[points["setting"] == "federated"]["seed"]) == {0, 1}
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert set(metrics[metrics["kind"] == "attack"]["target"]) == {"sex", "race"}
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [(row["lam"], row["seeds"]) for row in summary["equivalence"]] == [(0.5, 2), (None, 2)] * 2
    assert {row["attribute"] for row in summary["guarantees"]} == {"sex", "race"}


def test_the_closing_table_fits_a_terminal_of_80_characters():
    both = ("centralized", "federated")
    rows = [("raw", "raw", 0.0), ("baseline", "gaussian-noise", 1.0), *((setting, "coded", 0.98) for setting in both)]
    points = pd.DataFrame(
        {"setting": setting, "method": method, "lam": lam, "seed": 0, "attack": 0.5, "attack_low": 0.5}
        | {"attack_high": 0.5, "exact": 0.5, "certified": 0.575, "retention": 0.9, "limit": 0.933}
        for setting, method, lam in rows
    )
    screen = Console(file=StringIO(), width=80)
    screen.print(closing_table(points))
    text = screen.file.getvalue()
    assert "…" not in text
    assert "gaussian-noise" in text
    assert text.count("0.575") == 2
    assert "0.933 at λ = 0.98" in " ".join(text.split())


def some_points(**columns) -> pd.DataFrame:
    rows = [("raw", "raw", 0.0, 0.93), ("federated", "coded", 0.5, 0.7), ("federated", "coded", 1.0, 0.53)]
    frame = pd.DataFrame(rows, columns=["setting", "method", "lam", "attack"]).assign(seed=0, retention=0.825)
    return frame.assign(**columns)


def test_closing_words_tell_attack_tasks_and_bound_of_the_strictest_release():
    (line,) = closing_words(some_points(exact=[None, 0.7, 0.52], certified=[None, 0.75, 0.581]), ["sex"])
    assert line.startswith(
        "federated coded, λ = 1: the best attack, the exact one included, tells sex with an AUC of 0.530 "
    )
    assert "(0.5 is chance, raw data give 0.930); unknown tasks keep 82 % of raw data's advantage" in line
    assert line.endswith("certified: no attacker gets more than 0.581.")
    (line,) = closing_words(some_points(), ["sex", "race"])
    assert "the best attacker of the panel tells sex and race with an AUC of 0.530" in line
    assert line.endswith("no bound covers attackers that nobody has tried.")
    assert closing_words(some_points(attack=float("nan")), ["sex"]) == []
    assert closing_words(pd.DataFrame(), ["sex"]) == []


def test_next_steps_name_the_report_and_the_strictest_publication(tmp_path):
    folder = tmp_path / "a b"
    folder.mkdir()
    assert next_steps(folder, some_points()) == []
    (folder / "report.html").write_text("")
    first, second = next_steps(folder, some_points(certified=[None, 0.75, 0.581]))
    assert first == f"next: open {folder / 'report.html'}"
    assert second.endswith(f"fl-tiprdc audit '{folder / 'publication' / 'federated' / 'coded' / 'lam-1' / 'seed-0'}'")
