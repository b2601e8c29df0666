"""The pages on extractors and publications: every block runs, with names that the page defines."""

import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.adult import load_adult
from fl_tiprdc.data.publication_store import write_part
from fl_tiprdc.federated.publication_card import PublicationFacts, write_card
from tests.test_coded_extractor import SEX, any_codes
from tests.test_extractor import built

PAGES = Path(__file__).resolve().parent.parent / "docs" / "how-to"
RUN = "results/adult-sex-iid-100"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)


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
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "fl_tiprdc" / "data").mkdir(parents=True)
    with resources.as_file(resources.files("fl_tiprdc.data") / "adult.parquet") as path:
        pd.read_parquet(path)[:2500].to_parquet("fl_tiprdc/data/adult.parquet")
    description = load_adult(DataConfig(), ("sex",), 0.2).contributors.description
    extractor, _ = built(description)
    extractor.save(f"{RUN}/extractors/federated/tiprdc+/lam-0.5/seed-0")
    publish(tmp_path / RUN / "publication/federated/tiprdc+/lam-0.5/seed-0", False)
    publish(tmp_path / RUN / "publication/federated/coded/lam-0.9/seed-0", True)
    return tmp_path


def test_the_page_on_extractors_runs(project, capsys):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    names: dict[str, object] = {}
    kept: list[dict[str, object]] = []
    for block in blocks("use-the-extractor.md"):
        exec(block.replace("TiprdcTransformer(", "TiprdcTransformer(steps=3, representation=8, "), names)
        kept.append(dict(names))
    assert len(kept) == 9
    assert re.search(r"With probability 0\.95|Not certifiable", capsys.readouterr().out)
    assert np.allclose(kept[7]["z"], kept[1]["z"], atol=1e-5)  # ONNX with the key: what transform gave
    assert (kept[8]["code"] == kept[5]["codes"]).mean() > 0.999
    again = names["extractor"].transform_codes(names["numbers"], names["private"], key=names["key"])
    assert np.array_equal(again, kept[5]["codes"])


@pytest.mark.parametrize("number", range(len(blocks("read-a-publication.md"))))
def test_each_block_of_the_page_on_publications_runs_by_itself(number, project):
    for package in ("polars", "duckdb"):
        pytest.importorskip(package)
    names: dict[str, object] = {}
    exec(blocks("read-a-publication.md")[number], names)
    assert len(names["table"] if "table" in names else names["z"]) == 12
