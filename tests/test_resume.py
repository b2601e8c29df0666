"""A run that is killed goes on where it was, and ends as if nothing had happened."""

import multiprocessing
import multiprocessing.process
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file

import fl_tiprdc
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands.run import main
from fl_tiprdc.config import Point
from fl_tiprdc.data.crowd import Crowd, Population
from fl_tiprdc.data.publication_store import read_store
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.fingerprint import fingerprint
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.experiment.run import record_run
from fl_tiprdc.federated.checkpoint import read_checkpoint, write_checkpoint
from fl_tiprdc.federated.server_app import train_point
from strategies.roster import take_roster
from tests.conftest import grid_of

CONFIG = """
methods = ["tiprdc", "tiprdc+"]
lambdas = [0.5, 0.9]
clients = 12
[network]
representation = 8
extractor_hidden = [16]
adversary_hidden = [16]
critic_hidden = [16]
[centralized]
steps = 30
[federation]
rounds = 4
updates_per_round = 6
gradient_clients = 6
[audit]
attackers = ["logistic", "white-box-kernel"]
probes = ["logistic"]
further = ["reidentification"]
bootstrap = 20
"""


def write_table(path: Path) -> None:
    generator = np.random.default_rng(0)
    sex = generator.integers(0, 2, 900)
    age = generator.normal(40, 10, 900) + 3 * sex
    income = (age + generator.normal(0, 5, 900) > 42).astype(int)
    columns = {f"x{i}": generator.normal(size=900) + 0.5 * sex for i in range(4)}
    pd.DataFrame({"age": age, **columns, "sex": sex, "income": income}).to_csv(path, index=False)


PROGRAMS = multiprocessing.get_context("forkserver")  # imports the program once for all that are started
PROGRAMS.set_forkserver_preload(["fl_tiprdc.commands.run"])


def called(arguments: list[str], log: Path) -> None:
    """Be the program, in a process of its own."""
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["run", *arguments]
    guard(main)


def begun(folder: Path, output: str, *flags: str) -> multiprocessing.process.BaseProcess:
    people = ("--dataset", "table", "--data", str(folder / "people.csv"), "--private", "sex", "--tasks", "income")
    settings = ("--config", str(folder / "small.toml"), "--output", str(folder / output))
    process = PROGRAMS.Process(target=called, args=([*people, *flags, *settings], folder / "log"))
    process.start()
    return process


def kept(folder: Path, output: str) -> int:
    """Checkpoints written so far, by their time: each new one counts."""
    return sum(1 for _ in (folder / f".{output}.partial" / "kept").rglob("*.[ps]a*"))


@pytest.mark.timeout(900)  # five starts of a program
def test_a_run_killed_three_times_ends_like_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_table(tmp_path / "people.csv")
    (tmp_path / "small.toml").write_text(CONFIG)
    log = tmp_path / "log"
    undisturbed = begun(
        tmp_path, "whole", "--runtime", "inline"
    )  # the same numbers in every runtime, and no start of Ray
    undisturbed.join()
    assert undisturbed.exitcode == 0, log.read_text()

    generator = np.random.default_rng()
    # how many finished parts there are when it is killed: of 2 centralized, 4 federated, 13 audits and some attacks
    killed_at = np.sort(generator.choice(np.arange(1, 18), 3, replace=False))
    # where a run goes on may change, and Ray takes long to start
    for parts, runtime in zip(killed_at, ("ray-cohort", "inline", "ray-cohort"), strict=True):
        process = begun(tmp_path, "killed", "--resume", "--runtime", runtime)
        while kept(tmp_path, "killed") < parts and process.is_alive():
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.5))  # in the middle of what follows
        assert process.is_alive(), log.read_text()
        process.kill()
        process.join()
        assert not (tmp_path / "killed").exists(), "half a run looks whole"
    log.unlink()
    last = begun(tmp_path, "killed", "--resume", "--runtime", "inline")
    last.join()
    assert last.exitcode == 0, log.read_text()
    assert "results:" in log.read_text()

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    message = f"killed at {killed_at}"
    assert (whole / "metrics.csv").read_bytes() == (killed / "metrics.csv").read_bytes(), message
    rounds = [pd.read_csv(run / "rounds.csv").drop(columns="seconds") for run in (whole, killed)]
    pd.testing.assert_frame_equal(*rounds)
    files = [sorted(p.relative_to(run) for p in run.rglob("*.safetensors")) for run in (whole, killed)]
    assert files[0] == files[1]
    assert len(files[0]) == 8
    for name in files[0]:
        a, b = load_file(whole / name), load_file(killed / name)
        assert a.keys() == b.keys(), (name, message)
        assert all(np.array_equal(a[key], b[key]) for key in a), (name, message)
    for release in sorted(p.parent.relative_to(whole) for p in whole.rglob("release.json")):
        for a, b in zip(read_store(whole / release), read_store(killed / release), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not list(tmp_path.glob(".*"))
    assert not (killed / "kept").exists()


@pytest.mark.parametrize("method", ["tiprdc", "tiprdc+"])
def test_training_goes_on_from_a_checkpoint(small, population, make_store, tmp_path, method):
    experiment = small()
    store = make_store()
    description = population.contributors.description
    path = tmp_path / "training.safetensors"
    point = Point(method, 0.5, 0)

    def train(stop_after: int | None = None, checkpoint: Path | None = None):
        grid = grid_of(store)

        def stop(point, exchange):
            if exchange.exchange == stop_after:
                raise KeyboardInterrupt

        return train_point(
            grid, take_roster(grid, len(store)), experiment, description, point, stop, checkpoint=checkpoint
        )

    undisturbed = train()
    total = len(undisturbed.exchanges)
    with pytest.raises(KeyboardInterrupt):
        train(total - 1, path)
    written = read_checkpoint(path, undisturbed_settings(experiment, point))
    assert written is not None
    assert 0 < len(written[1]) < total
    resumed = train(checkpoint=path)
    for name, group in undisturbed.groups.items():
        for key, array in group.items():
            np.testing.assert_array_equal(array, resumed.groups[name][key])
    assert [e.exchange for e in resumed.exchanges] == list(range(1, total + 1))
    again = train(checkpoint=path)  # there is nothing left to do
    assert [e.seconds for e in again.exchanges] == [e.seconds for e in resumed.exchanges]
    np.testing.assert_array_equal(*(next(iter(t.groups["extractor"].values())) for t in (again, undisturbed)))


def undisturbed_settings(experiment, point):
    from fl_tiprdc.federated.server_app import settings_of

    return settings_of(experiment, point)


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "deep" / "training.safetensors"
    assert read_checkpoint(path, "a") is None
    write_checkpoint(path, "a", {"groups/extractor/w": np.ones(3, np.float32)}, [])
    assert read_checkpoint(path, "a")[1] == []
    with pytest.raises(InputError, match="other settings"):
        read_checkpoint(path, "b")
    whole = path.read_bytes()
    for wrong in (whole[:-4], whole[:20], b"", b"\x80\x04pickle"):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(path, "a")
    save_file({"groups/extractor/w": np.ones(3, np.float32)}, path)
    with pytest.raises(InputError, match="damaged"):
        read_checkpoint(path, "a")
    assert list(path.parent.iterdir()) == [path]  # no half-written one beside it


def test_a_damaged_part_that_was_kept_is_refused_by_its_name(tmp_path):
    kept = Kept(tmp_path)
    kept.keep("centralized/x", {"a": np.ones(3, np.float32)})
    assert kept.arrays("centralized/x")["a"].sum() == 3
    table = pd.DataFrame({"auc": [0.5]})
    ticker = SimpleNamespace(tick=lambda count=1: None)
    assert kept.tables("audit", {"point": lambda: table}, ticker, "")[0].equals(table)
    assert kept.tables("audit", {"point": lambda: 1 / 0}, ticker, "")[0].equals(table)  # not done again
    for name, read in (
        ("centralized/x.safetensors", lambda: kept.arrays("centralized/x")),
        ("audit/point.parquet", lambda: kept.tables("audit", {"point": lambda: table}, ticker, "")),
    ):
        whole = (tmp_path / name).read_bytes()
        for wrong in (whole[:-4], whole[:6], b""):
            (tmp_path / name).write_bytes(wrong)
            with pytest.raises(InputError, match=rf"{name}', kept from the interrupted run, is damaged"):
                read()


def test_a_part_of_which_one_table_is_not_kept_is_done_again(tmp_path):
    kept, ticker = Kept(tmp_path), SimpleNamespace(tick=lambda count=1: None)
    tables = tuple(pd.DataFrame({"value": [number]}) for number in (1, 2))
    stages = ("audit", "answers")
    kept.several(stages, {"point": lambda: tables}, ticker, "")
    (back,) = kept.several(stages, {"point": lambda: 1 / 0}, ticker, "")
    assert [table["value"].tolist() for table in back] == [[1], [2]]
    (tmp_path / "answers" / "point.parquet").unlink()
    (back,) = kept.several(stages, {"point": lambda: tables[::-1]}, ticker, "")
    assert [table["value"].tolist() for table in back] == [[2], [1]]


def others_than(population: Population) -> Iterator[Population]:
    """Populations that differ from it in one value: of the records, labels, people or names of either side."""
    for side in ("contributors", "held_out"):
        crowd = getattr(population, side)
        x, private, person = crowd.x.copy(), crowd.private.copy(), crowd.participant.copy()
        x[-1, 0] += 1e-6 + abs(x[-1, 0])
        private[-1] = 1 - private[-1]
        person[-1] = person[0]
        name, labels = next(iter(crowd.tasks.items()))
        others = {other: values for other, values in crowd.tasks.items() if other != name}
        flipped = labels.copy()
        flipped[-1] = 1 - flipped[-1]
        for change in (
            {"x": x},
            {"private": private},
            {"participant": person},
            {"tasks": {**others, name: flipped}},
        ):
            yield replace(population, **{side: replace(crowd, **change)})
    yield Population(*map(renamed, (population.contributors, population.held_out)))


def renamed(crowd: Crowd) -> Crowd:
    """The crowd with another name for its first task."""
    return replace(
        crowd, tasks={name if i else "renamed": values for i, (name, values) in enumerate(crowd.tasks.items())}
    )


@pytest.mark.parametrize(("package", "same"), [("studies", True), ("hybrid", False), ("report", False)])
def test_a_study_is_no_part_of_the_code_that_a_run_was_made_by(package, same, tmp_path, monkeypatch):
    """Else a changed column of a study would train all of its cells anew."""
    file = tmp_path / "fl_tiprdc" / package / "file.py"
    file.parent.mkdir(parents=True)
    monkeypatch.setattr(fl_tiprdc, "__file__", str(tmp_path / "fl_tiprdc" / "__init__.py"))
    file.write_text("one = 1")
    before = fingerprint(None)
    file.write_text("one = 2")
    assert (fingerprint(None) == before) == same


def test_resuming_with_other_settings_data_or_code_is_refused(small, population, tmp_path, monkeypatch):
    def fail(experiment, publication, stages, kept):
        kept.keep("centralized/x", {"a": np.ones(1, np.float32)})
        raise KeyboardInterrupt

    def resume(people=population, **changes):
        record_run(small(**changes), tmp_path / "run", Console(quiet=True), fail, True, people)

    with pytest.raises(KeyboardInterrupt):
        record_run(small(), tmp_path / "run", Console(quiet=True), fail, people=population)
    made = tmp_path / ".run.partial" / "kept" / "centralized" / "x.safetensors"
    assert made.is_file()
    with pytest.raises(InputError, match="another 'lambdas'"):
        resume(lambdas=(0.3,))
    assert made.is_file()
    for people in others_than(population):
        with pytest.raises(InputError, match=r"^the interrupted run had other data, [^\n]*leave --resume$"):
            resume(people)
    with monkeypatch.context() as patch:
        patch.setattr(fl_tiprdc, "__version__", "0.0.1")
        with pytest.raises(InputError, match=r"^the interrupted run had another version of the code, "):
            resume()
    assert made.is_file()
    with pytest.raises(KeyboardInterrupt):  # where it takes place may change
        resume(runtime="ray-cohort")
    assert made.is_file()
