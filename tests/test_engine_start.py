"""How Ray starts: in any folder, in nobody else's cluster, or with a line that says why it can't."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fl_tiprdc.flower.commands import flower_environment
from tests.conftest import ROOT

START = """
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.federated.launch import start_ray

def main(arguments):
    start_ray(1)
    import ray
    print(ray.get(ray.remote(lambda: "it works").remote()))
    ray.shutdown()

guard(main)
"""


def start(**environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", START],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "RAY_TMPDIR"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def stale_cluster(folder: Path) -> None:
    """Leave what a cluster leaves that has died: its address."""
    (folder / "ray").mkdir()
    (folder / "ray" / "ray_current_cluster").write_text("127.0.0.1:6391")


@pytest.mark.parametrize("name", ["x" * 90, "é 収入"])
def test_ray_starts_whatever_the_name_of_the_temporary_folder(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    stale_cluster(folder)
    done = start(TMPDIR=str(folder))
    assert (done.returncode, done.stdout) == (0, "it works\n"), done.stderr[-2000:]


def test_a_start_without_an_address_joins_no_cluster(short_folder):
    stale_cluster(Path(short_folder))
    done = start(RAY_TMPDIR=short_folder, RAY_ADDRESS="127.0.0.1:6391")
    assert (done.returncode, done.stdout) == (0, "it works\n"), done.stderr[-2000:]


def test_the_processes_of_flwr_run_are_told_to_join_no_cluster(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6391")
    assert flower_environment()["RAY_ADDRESS"] == "local"
    loaded = "import os, fl_tiprdc.flower.client; print(os.environ['RAY_ADDRESS'])"  # by a SuperLink of somebody else's
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "local\n"


def test_a_ray_that_cannot_start_ends_the_work_with_a_line():
    began = time.monotonic()
    done = start(RAY_TMPDIR="/proc/fl")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("failed: Ray cannot start on this machine: ")
    assert time.monotonic() - began < 120
