"""The notebook runs, the site builds, and what a person is promised is there."""

import importlib
import json
import re
import subprocess
import sys
import tomllib

import pytest

import fl_tiprdc
from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


@pytest.mark.timeout(600)
def test_the_notebook_runs():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:  # a small one
        for usual, small in {"STEPS = 300": "STEPS = 5", "n = 6000": "n = 2000", "4500": "1500"}.items():
            cell.source = cell.source.replace(usual, small)
        cell.source = cell.source.replace("(0.0, 0.5, 1.0)", "(0.0, 1.0)")
    nbclient.NotebookClient(notebook, timeout=280, kernel_name="python3").execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[-1].outputs[-1].data["text/plain"].endswith("True")
    table = code[-2].outputs[-1].data["text/plain"]
    assert {"attack", "income", "owns_house", "certified", "raw"} <= set(table.split())


def test_the_notebook_shows_what_came_out():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] for cell in cells)
    text = json.dumps([cell["outputs"] for cell in cells])
    assert "no attacker who sees a published code tells female from male with an AUC above" in text
    assert "error" not in {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert not re.search(r"/(root|home|work|tmp)/", text)


def test_the_panels_table_is_that_of_the_committed_run():
    """Numbers that were copied into the page follow the run that stands behind them."""
    summary = json.loads((ROOT / "results" / "reference" / "main" / "summary.json").read_text())
    points = {(point["setting"], point["method"], point["lam"]): point for point in summary["points"]}
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").partition("## The panel's view")[2]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line[:3] == "| `"]
    assert {method for method, *_ in rows[:8]} == {"tiprdc", "tiprdc+"}
    for method, dial, *values in rows[:8]:
        sides = [points[setting, method, float(dial[4:])] for setting in ("centralized", "federated")]
        expected = [side[name] for name in ("attack", "retention") for side in sides]
        assert values == [f"{value:.3f}" for value in expected], (method, dial)
    wanted = (("baseline", "gaussian-noise"), ("federated", "tiprdc+"))
    rows = [row for row in summary["frontier_areas"] if (row["setting"], row["method"]) in wanted]
    areas = [f"{row['area']:.2f}" for row in rows]
    assert len(areas) == 2
    assert set(areas) <= set(re.findall(r"0\.\d\d", page.partition("Area under the frontier")[2][:200]))


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    pytest.importorskip("latex2mathml")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        fetched = re.findall(
            r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(https?:[^"]+)', page.read_text()
        )
        assert not fetched, page
    assert (tmp_path / "site" / "results" / "reference" / "coded" / "adult-sex-iid" / "frontier.png").is_file()
    assert "<math" in (tmp_path / "site" / "method.html").read_text()
    assert "gradient_clients" in (tmp_path / "site" / "reference" / "settings.html").read_text()


def test_the_gallery_is_what_the_reference_results_give(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    text = importlib.import_module("write_gallery").gallery()
    assert (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8") == text
    names = re.findall(r"^## (.+)", text, re.MULTILINE)
    assert {"adult, hiding sex", "digits, hiding slant", "names, hiding gender"} <= set(names)
    assert len(names) == len(set(names))
    for command, name in re.findall(r"^    python (\S+).*?^!\[.*?\(\.\./(\S+)\)$", text, re.MULTILINE | re.DOTALL):
        assert (ROOT / command).is_file()
        assert (ROOT / name).is_file()


def test_what_says_the_version_says_the_same():
    version = fl_tiprdc.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == version
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_readmes_badges_are_true():
    readme = (ROOT / "README.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if "badge/python" in readme:
        low, high = re.search(r"badge/python-(3\.\d+)%20to%20(3\.\d+)", readme).groups()
        assert project["requires-python"] == f">={low},<3.{int(high.split('.')[1]) + 1}"
    if "badge/license" in readme:
        assert re.search(r"badge/license-([\w.]+--[\d.]+)", readme)[1].replace("--", "-") == project["license"]
