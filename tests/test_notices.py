"""Notices about a person's data, as a program prints them."""

import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = """
import sys, warnings
from pathlib import Path
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.data.table_file import read_table

def main(arguments):
    for path in sys.argv[1:]:
        read_table(Path(path))
        with warnings.catch_warnings():  # Python forgets here what it has warned of
            warnings.simplefilter("ignore")

guard(main)
"""


def test_a_notice_is_printed_once_though_a_table_is_read_twice(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("# exported\nsex,age\nm,3\nf,4\n")
    command = [sys.executable, "-c", PROGRAM, str(path), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["note: table 'people.csv': left out line 1, which is no header: '# exported'"]
