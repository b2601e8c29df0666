"""One folder, several runs: they never mix, and usual names tell apart what differs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fl_tiprdc.config import Experiment, build_experiment, merge
from fl_tiprdc.errors import InputError, RunFailedError
from fl_tiprdc.experiment.run_folder import default_output, finish, held, prepare
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from fl_tiprdc.experiment.run_folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(output: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(output)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_into_a_folder_is_refused_and_told_who_is_there(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    process = holder(tmp_path / "run")
    try:
        for output in (tmp_path / "run", tmp_path / "link", tmp_path / "x" / ".." / "run"):
            with pytest.raises(InputError, match=f"being written by another run, process {process.pid}"), held(output):
                raise AssertionError("both write")
        with held(tmp_path / "other"):
            assert process.poll() is None
    finally:
        process.communicate("")
    with held(tmp_path / "run"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]  # no lock is left


def test_what_a_killed_run_leaves_blocks_nobody(tmp_path):
    process = holder(tmp_path / "run")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.iterdir())
    with held(tmp_path / "run"):
        pass
    assert not list(tmp_path.iterdir())


def test_usual_folders_tell_apart_whatever_differs():
    base = {"dataset": "table", "private": ["sex"], "clients": 7, "data": {"file": "a/people.csv", "tasks": ["x"]}}
    changes = [
        {},
        {"data": {"file": "b/people.csv"}},
        {"data": {"tasks": ["y"]}},
        {"private": ["sex", "age"]},
        {"private": ["sex+age"]},
        {"private": ["sex age"]},
        {"private": ["sex-age"]},
        {"private": ["x" * 300]},
        {"private": ["x" * 301]},
        {"seeds": [1]},
        {"methods": ["tiprdc"]},
        {"lambdas": [0.3]},
        {"federation": {"rounds": 3}},
        {"clients": 8},
    ]
    folders = [default_output(build_experiment(merge(base, change))) for change in changes]
    assert len(set(folders)) == len(folders)
    assert all(len(folder.name) < 150 and folder.parent == Path.cwd() / "results" for folder in folders)
    here = build_experiment(merge(base, {"runtime": "inline", "actors": 1, "track": []}))
    assert default_output(here) == folders[0]  # where it takes place is no difference
    assert default_output(Experiment(private=("sex",))) == Path.cwd() / "results" / "adult-sex-iid-100"


def test_a_mount_point_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda self: self == tmp_path)
    with pytest.raises(InputError, match="is a mount point, which can't be replaced: name a folder in it"):
        prepare(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_place_where_no_file_can_be_made_is_no_other_run():
    with pytest.raises(InputError, match="cannot write to output '/proc/x'"), held(Path("/proc/x")):
        pass


def test_results_that_cannot_be_put_in_place_stay_where_they_are(tmp_path):
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "metrics.csv").write_text("whole")
    with pytest.raises(RunFailedError, match=f"they are in '{tmp_path / 'partial'}'"):
        finish(tmp_path / "partial", tmp_path / "partial" / "below")
    assert (tmp_path / "partial" / "metrics.csv").read_text() == "whole"
