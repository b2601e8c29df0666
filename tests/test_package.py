"""The wheel: what it holds, and that it works where there is no checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import fl_tiprdc
from fl_tiprdc.command_line.presets import PRESETS
from tests.test_flower_apps import TINY

pytestmark = pytest.mark.timeout(600)  # a busy machine takes minutes
CHECKOUT = Path(fl_tiprdc.__file__).resolve().parent.parent
CONFIG = f"""
settings = ["federated"]
track = []
runtime = "inline"
federation.rounds = 1
{TINY}"""
# calls the console command as the shell does, and then writes down where each module came from
TRACED = """
import json, pathlib, runpy, sys
listing, command, *arguments = sys.argv[1:]
sys.argv = [command, *arguments]
try:
    runpy.run_path(command, run_name="__main__")
finally:
    places = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    pathlib.Path(listing).write_text(json.dumps(places))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of a copy of the tracked folders."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("source")
    for name in ("fl_tiprdc", "strategies", "simulations"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, folder / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "-w", "dist", "."], cwd=folder, check=True)
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An empty environment with the package alone; what it depends on is found where this interpreter has it."""
    environment = tmp_path_factory.mktemp("installed")
    venv.create(environment, symlinks=True)
    (site,) = environment.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", environment, "install", "-q"]
    subprocess.run([*pip, "--no-compile", "--no-deps", "--no-index", wheel], check=True)
    # the folder, not what its .pth files add: a checkout that is installed in place is none of the package's
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return environment


@pytest.fixture
def call(installed, tmp_path):
    """Calls `fl-tiprdc` in an empty folder; asserts that no module is the checkout's."""
    folder = tmp_path / "empty"
    folder.mkdir()

    def run(*arguments: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        of_package = installed / "bin"
        command = [of_package / "python", "-c", TRACED, tmp_path / "modules.json", of_package / "fl-tiprdc"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": "80", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        places = json.loads((tmp_path / "modules.json").read_text())
        ours = {name: place for name, place in places.items() if name.split(".")[0] in ("fl_tiprdc", "strategies")}
        assert "fl_tiprdc" in ours
        assert all(str(place).startswith(str(installed)) for place in ours.values() if place), ours
        assert not [place for place in places.values() if place and place.startswith(f"{CHECKOUT}/fl_tiprdc/")]
        return done

    return run


def test_the_wheel_has_the_library_the_strategies_the_presets_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"fl_tiprdc", "strategies"}
    assert {f"fl_tiprdc/presets/{path.name}" for path in PRESETS.values()} <= set(names)
    assert {"fl_tiprdc/data/adult.parquet", "fl_tiprdc/py.typed", "fl_tiprdc/report/web/page.html.j2"} <= set(names)


def test_the_help_fits_a_screen_and_the_version_is_told(call):
    for arguments in ((), ("--help",), ("deploy",)):
        lines = call(*arguments).stdout.splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80
    assert call("--version").stdout == f"fl-tiprdc {fl_tiprdc.__version__}\n"


def test_the_catalogue_lists_what_is_installed(call):
    lines = call("catalogue").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "\n  paper-lfw " in text
    assert "simulations/" not in text.partition("presets (")[0]  # studies are a checkout's


def test_a_run_leaves_its_results_in_the_folder_where_it_was_called(call, tmp_path):
    (tmp_path / "small.toml").write_text(CONFIG)
    table = tmp_path / "people.csv"
    rows = [f"{20 + i % 50},{i % 7},{'mf'[i % 2]},{int(i % 50 > 25)}" for i in range(240)]
    table.write_text("\n".join(["age,hours,sex,rich", *rows]))
    data = ["--dataset", "table", "--data", str(table), "--private", "sex", "--tasks", "rich", "--clients", "3"]
    done = call("run", "--quick", *data, "--config", str(tmp_path / "small.toml"), FORCE_COLOR="1", NO_COLOR="1")
    assert "worst attack" in done.stdout
    assert not re.search(r"\x1b\[[\d;]*[34]\dm", done.stdout + done.stderr)  # on a terminal too
    (results,) = (tmp_path / "empty" / "results").glob("table-sex-iid-3-*")
    assert {"metrics.csv", "summary.json", "config.toml", "report.html"} <= {path.name for path in results.iterdir()}
    summary = json.loads((results / "summary.json").read_text())
    assert summary["command"].startswith("fl-tiprdc run --quick --dataset table")
    assert summary["commit"] == "unknown"
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["results"]
