"""Whatever reads what is shown, and however: the work ends as it ended."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fl_tiprdc.experiment.closing_table import closing_table
from fl_tiprdc.experiment.screen import Screen, logged, say, show_table
from tests.conftest import ROOT
from tests.test_report import some_points

WORK = """
import sys
from pathlib import Path
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.screen import Screen, say

def main(arguments):
    console = Screen()
    for _ in range(20_000):
        say(console, "λ Δ σ … 収入 results")
    Path(sys.argv[1]).write_text("whole")
    if sys.argv[2] == "wrong":
        raise InputError("λ is wrong")

guard(main)
"""


def work(folder: Path, end: str = "right", shell: str = "", **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WORK, str(folder / "result"), end]
    whole = ["bash", "-c", f'set -o pipefail; "$@" {shell}', "bash", *command]
    return subprocess.run(whole, cwd=ROOT, env=os.environ | environment, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "cp1252", "utf-8"])
def test_letters_that_a_terminal_lacks_are_shown_in_plain_ones(encoding, tmp_path):
    done = work(tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    line = done.stdout.decode(encoding).splitlines()[0]
    if encoding == "utf-8":
        assert line == "λ Δ σ … 収入 results"
    else:
        assert line.startswith("l D s ")
        assert line.endswith(" ?? results")


@pytest.mark.parametrize(("end", "status"), [("right", 0), ("wrong", 2)])
@pytest.mark.parametrize("shell", ["| head -1", ">&-", ">&- 2>&-", "> /dev/full"])
def test_output_that_nobody_takes_changes_neither_work_nor_status(shell, end, status, tmp_path):
    done = work(tmp_path, end, shell)
    assert done.returncode == status
    assert (tmp_path / "result").read_text() == "whole"
    said = done.stderr.decode().splitlines()
    lost = ["note: no more is shown: No space left on device"] if "full" in shell else []
    wrong = ["error: λ is wrong"] if end == "wrong" and "2>" not in shell else []
    assert said == lost + wrong


@pytest.mark.parametrize("width", [1, 12, 30, 60, 80, 200])
def test_a_window_of_any_width_loses_no_number(width):
    points = some_points(lambdas=(0.1, 0.5), seeds=(0,))
    screen = Screen(file=io.StringIO(), width=width)
    show_table(screen, closing_table(points))
    shown = screen.file.getvalue()
    for row in points[points["setting"] != "raw"].itertuples():
        assert f"{row.attack:.3f}" in shown
        assert f"{row.retention:.3f}" in shown
    assert screen.width == width


CHILDREN = """
import sys
from pathlib import Path
from fl_tiprdc.command_line.guard import guard

def main(arguments):
    from joblib import Parallel, delayed
    done = Parallel(n_jobs=2)(delayed(abs)(i) for i in range(4))
    Path(sys.argv[1]).write_text(str(done))

guard(main)
"""


@pytest.mark.parametrize("closed", [">&- 2>&-", "<&- >&- 2>&-", ">&- <&-", "2>&-"])
def test_processes_of_a_run_start_whatever_stream_is_closed(closed, tmp_path):
    command = [sys.executable, "-c", CHILDREN, str(tmp_path / "result")]
    script = ["bash", "-c", f'"$@" {closed}', "bash", *command]
    done = subprocess.run(script, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0
    assert (tmp_path / "result").read_text() == "[0, 1, 2, 3]"


def test_lines_go_to_a_logger_where_a_program_wants_that(caplog):
    screen = logged(logging.getLogger("somebody"))
    with caplog.at_level(logging.INFO, logger="somebody"):
        say(screen, "λ: [red] is a name; " + "long " * 40)
        show_table(screen, closing_table(some_points()))
    assert {record.name for record in caplog.records} == {"somebody"}
    assert caplog.messages[0] == ("λ: [red] is a name; " + "long " * 40).rstrip()
    assert any("tiprdc" in line for line in caplog.messages)
