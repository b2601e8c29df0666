"""The pages on extractors and publications: every block runs, with names that the page defines."""

import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.commands.audit import main as audit_command
from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.adult import load_adult
from fl_tiprdc.data.publication_store import write_part
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS
from fl_tiprdc.federated.publication_card import PublicationFacts, write_card
from tests.test_coded_extractor import SEX, any_codes
from tests.test_extractor import built

PAGES = Path(__file__).resolve().parent.parent / "docs" / "how-to"
RUN = "results/adult-sex-iid-100"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)


def publish(folder: Path, coded: bool) -> None:
    codes, rng = any_codes(3, 2), np.random.default_rng(0)
    parts = {}
    for client in range(3):
        mine = rng.integers(0, len(codes), 4).astype(np.uint16)
        parts[f"part-{client:06d}.parquet"] = write_part(folder, client, codes.codewords[mine], mine if coded else None)
    facts = {"d": 3, "sigma": 0.0, "lam": 0.9, "clients": 3, "parts": parts, "refused": {}, "strangers": 0}
    (folder / "release.json").write_text(json.dumps(facts))
    write_card(folder, PublicationFacts("adult", "coded" if coded else "tiprdc", (SEX,), codes if coded else None))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project's folder after a run: some of Adult, an extractor, two publications."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(CLASSIFIERS, "centers", raising=False)  # what a page registers goes with its test
    (tmp_path / "fl_tiprdc" / "data").mkdir(parents=True)
    with resources.as_file(resources.files("fl_tiprdc.data") / "adult.parquet") as path:
        pd.read_parquet(path)[:2500].to_parquet("fl_tiprdc/data/adult.parquet")
    description = load_adult(DataConfig(), ("sex",), 0.2).contributors.description
    extractor, _ = built(description)
    extractor.save(f"{RUN}/extractors/federated/tiprdc+/lam-0.5/seed-0")
    publish(tmp_path / RUN / "publication/federated/tiprdc+/lam-0.5/seed-0", False)
    publish(tmp_path / RUN / "publication/federated/coded/lam-0.9/seed-0", True)
    return tmp_path


def run_in_order(page: str) -> list[dict[str, object]]:
    """Run a page's blocks as they stand, but with short trainings; return the names that there are after each."""
    names: dict[str, object] = {}
    after: list[dict[str, object]] = []
    for block in blocks(page):
        exec(block.replace("TiprdcTransformer(", "TiprdcTransformer(steps=3, representation=8, "), names)
        after.append(dict(names))
    return after


PACKAGES = {  # beyond those that the project needs anyhow
    "use-the-extractor.md": ("onnxscript", "onnxruntime"),
    "read-a-publication.md": ("polars", "duckdb"),
}


def check_extractors(after: list[dict[str, object]], printed: str) -> None:
    """Check what the page on extractors says that its blocks give."""
    release, pipeline, codes, onnx, onnx_codes = (after[place] for place in (1, 3, 7, 9, 10))
    assert "[('Female', 'Male')]" in printed
    assert re.search(r"With probability 0\.95|Not certifiable", printed)
    assert sorted(pipeline["pipeline"].classes_) == sorted(set(pipeline["income"]))
    assert np.allclose(onnx["z"], release["z"], atol=1e-5)  # with the key: what transform gave
    assert np.array_equal(codes["codes"], codes["extractor"].transform_codes(codes["people"], key=codes["key"]))
    assert (onnx_codes["code"] == codes["codes"]).mean() > 0.999


def check_own_attacker(after: list[dict[str, object]], printed: str) -> None:
    """Check that the page's attacker tells two groups apart, where it is registered."""
    labels, names = np.arange(40)[:, None] % 2, after[0]
    x = (labels + np.zeros((1, 3))).astype(np.float32)
    (answers,) = CLASSIFIERS["centers"](x, labels, [2], x, 0)
    assert (answers.argmax(1) == labels[:, 0]).all()
    assert names["main"] is audit_command


CHECKS = {"audit-a-publication.md": check_own_attacker, "use-the-extractor.md": check_extractors}


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md") if blocks(path.name)))
def test_the_blocks_of_a_page_run_in_order(page, project, capsys):
    for package in PACKAGES.get(page, ()):
        pytest.importorskip(package)
    after = run_in_order(page)
    if page in CHECKS:
        CHECKS[page](after, capsys.readouterr().out)


@pytest.mark.parametrize("number", range(len(blocks("read-a-publication.md"))))
def test_each_block_of_the_page_on_publications_runs_by_itself(number, project):
    for package in PACKAGES["read-a-publication.md"]:
        pytest.importorskip(package)
    names: dict[str, object] = {}
    exec(blocks("read-a-publication.md")[number], names)
    assert len(names["table"] if "table" in names else names["z"]) == 12
