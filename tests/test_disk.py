"""A full disk and folders that can't be written to: a clear end, and nothing that looks whole and isn't."""

import builtins
import errno
import io
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands import audit, run
from fl_tiprdc.evaluation.audit import AuditedRelease
from fl_tiprdc.experiment import run_folder
from fl_tiprdc.experiment.on_disk import on_disk
from fl_tiprdc.experiment.run import record_run
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.whole_file import reserve, write_whole
from simulations import benchmark, partitions, updates
from tests.conftest import ROOT
from tests.entry_points import caller, tree
from tests.invented_metrics import some_outcome

FULL = "No space left on device"


class FullDisk:
    """Files below a folder can be opened for writing so many times; then there is no room for what is written."""

    def __init__(self, folder: Path, files: int, monkeypatch) -> None:
        self.folder, self.left, self._open = str(folder), files, builtins.open
        for module in (builtins, io):
            monkeypatch.setattr(module, "open", self.open)

    def open(self, file, mode="r", *rest, **named):
        writes = isinstance(file, (str, os.PathLike)) and set(mode) & set("wxa+") and str(file).startswith(self.folder)
        if writes:
            self.left -= 1
            if self.left < 0:
                self._open(file, mode, *rest, **named).close()  # an empty file is there
                raise OSError(errno.ENOSPC, FULL, str(file))
        return self._open(file, mode, *rest, **named)


def end_of(main, capsys) -> tuple[object, list[str]]:
    with pytest.raises(SystemExit) as exit_:
        guard(main)
    return exit_.value.code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("files", [0, 1, 2, 4, 9, 14, 15])
def test_a_run_on_a_full_disk_leaves_the_earlier_one(files, small, monkeypatch, capsys, tmp_path):
    (tmp_path / "out").mkdir()
    for name in run_folder.MARKS:
        (tmp_path / "out" / name).write_text("earlier")
    before = tree(tmp_path)
    experiment = small(clients=3, private=("sex",), methods=("tiprdc+",), lambdas=(0.1, 0.9))
    with monkeypatch.context() as patch:
        disk = FullDisk(tmp_path, files, patch)
        found = some_outcome()
        status, lines = end_of(lambda _: record_run(experiment, tmp_path / "out", Screen(), lambda *_: found), capsys)
    if disk.left >= 0:  # there was room for all
        assert status == 0
        assert files >= 15
        assert set(tree(tmp_path / "out")) > {"report.html", "summary.json"}
        return
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith("failed: cannot write '")
    assert lines[0].endswith(f"': {FULL}")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("files", [0, 1, 3, 4, 5])
def test_updates_on_a_full_disk_keeps_whole_files_only(files, adult_is_small, monkeypatch, capsys, tmp_path):
    (tmp_path / "small.toml").write_text("[network]\nrepresentation = 4\nextractor_hidden = [8]\n")
    output = tmp_path / "out"
    output.mkdir()
    flags = ["--clients", "6", "--rounds", "1", "--shadows", "1", "--noise", "0", "--members", "2", "--bootstrap", "5"]
    flags += ["--partitions", "iid", "--exchanges", "weights", "--moments", "end", "--output", str(output)]
    flags += ["--config", str(tmp_path / "small.toml")]
    for name in ("updates.csv", "config.toml", "updates.png"):
        (output / name).write_bytes(b"earlier")
    with monkeypatch.context() as patch:
        FullDisk(tmp_path, files, patch)
        status, lines = end_of(lambda _: updates.main(flags), capsys)
    found = tree(output)
    assert not [name for name in found if "writing" in name]
    whole = {
        "updates.csv": b"rank-correlation",
        "config.toml": b"[federation]",
        "updates.png": b"IEND",
        "updates.svg": b"</svg>",
    }
    assert all(content == b"earlier" or whole[name] in content for name, content in found.items())
    # the first file is the one by which the folder is tried before the work begins
    assert sum(content != b"earlier" for content in found.values()) == max(0, files - 1)
    if files < 5:
        assert (status, len(lines)) == (1 if files else 2, 1)
        assert lines[0].endswith(FULL)


def test_a_real_run_that_may_write_no_more_ends_with_one_line(tmp_path):
    """The kernel refuses: files of this process may have 64 KiB."""
    (tmp_path / "small.toml").write_text(
        'settings = ["federated"]\nmethods = ["tiprdc+"]\nlambdas = [0.5]\nruntime = "inline"\nclients = 3\n'
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "simulations" / "run.py"), "--config", "small.toml", "--output", "out"],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16)),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("failed: cannot write")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


GIVEN = {
    audit: ["z.npz", "--labels", "people.csv", "--private", "sex"],
    benchmark: [],
    partitions: ["--clients", "3"],
    run: ["--clients", "3"],
    updates: ["--clients", "60"],
}


@pytest.mark.parametrize("module", GIVEN, ids=lambda module: module.__name__)
def test_folders_that_take_no_files_are_found_before_the_work(module, monkeypatch, capsys, tmp_path):
    """/sys takes no folder and no file, from nobody."""
    pd.DataFrame({"sex": ["m", "f"] * 20}).to_csv(tmp_path / "people.csv", index=False)
    np.savez(tmp_path / "z.npz", z=np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32))
    call = caller(monkeypatch, capsys, tmp_path)
    for output in ("/sys/fl-tiprdc", "/sys/fl-tiprdc/below", *(["/sys"] if module not in (audit, run) else [])):
        status, (line,) = call(module, *GIVEN[module], "--output", output)
        assert status == 2
        assert line.startswith(f"error: cannot write to output '{output}': ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(monkeypatch, capsys, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o500)
    call = caller(monkeypatch, capsys, tmp_path)
    for module in (benchmark, partitions, run, updates):
        status, (line,) = call(module, *GIVEN[module], "--output", "mine/out")
        assert status == 2
        assert line.endswith("Permission denied")


def test_a_file_is_whole_or_the_earlier_one(monkeypatch, tmp_path):
    path = tmp_path / "a.bin"
    write_whole(path, b"one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(OSError, match=r"Input/output error: '.*a\.bin'"):
            write_whole(path, b"two")
    assert tree(tmp_path) == {"a.bin": b"one"}
    write_whole(path, memoryview(b"two"))
    assert tree(tmp_path) == {"a.bin": b"two"}


def test_room_for_a_memory_map_is_asked_for_at_once(monkeypatch, tmp_path):
    path = tmp_path / "x.npy"
    kept = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(1000, 100))
    assert path.stat().st_blocks * 512 < 400_000  # a hole
    reserve(path)
    assert path.stat().st_blocks * 512 >= 400_000
    kept[:] = 1
    assert kept.sum() == 100_000


def test_large_arrays_of_a_release_are_read_from_the_disk_and_are_the_same(tmp_path):
    generator = np.random.default_rng(0)
    large, small = generator.normal(size=(3000, 100)).astype(np.float32), np.ones((2, 3), np.float32)
    releases = [on_disk(AuditedRelease("baseline", "m", lam, 0, lam * large, small), tmp_path) for lam in (1.0, 2.0)]
    for lam, release in zip((1.0, 2.0), releases, strict=True):
        assert isinstance(release.contributors, np.memmap)
        assert not release.contributors.flags.writeable
        np.testing.assert_array_equal(release.contributors, lam * large)
        assert release.held_out is small
        assert release.clean is None
    assert len(list(tmp_path.iterdir())) == 2
