"""A publication's card says what is in the folder, and its snippets run."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fl_tiprdc.data.crowd import Attribute
from fl_tiprdc.data.publication_store import clear, read_published_codes, read_store, write_part
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.certified import certify_release, sentence
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.federated.publication_card import LARGER, SIZES, PublicationFacts, write_card
from tests.test_coded_extractor import AGE, SEX, any_codes

CODES = any_codes(3, 2)
SIZES_OF_PARTS = (4, 2, 0, 5)


def publish(folder, codes=CODES, sigma=0.0, sizes=SIZES_OF_PARTS):
    """A publication as `publication.publish` leaves it; its codes [n]."""
    rng = np.random.default_rng(0)
    parts, drawn = {}, []
    for client, n in enumerate(sizes):
        mine = rng.integers(0, len(CODES), n).astype(np.uint16)
        z = CODES.codewords[mine] if codes is not None else rng.normal(size=(n, 3)).astype(np.float32)
        parts[f"part-{client:06d}.parquet"] = write_part(folder, client, z, mine if codes is not None else None)
        drawn.append(mine)
    facts = {"d": 3, "sigma": sigma, "lam": 0.9, "clients": len(parts), "parts": parts, "refused": {"4": "no reply"}}
    (folder / "release.json").write_text(json.dumps({**facts, "strangers": 0}))
    return np.concatenate(drawn)


def coded_facts(**changes):
    rng = np.random.default_rng(0)
    counts = np.stack([np.bincount(rng.integers(0, len(CODES), n), minlength=len(CODES)) for n in (4000, 6000)])
    certified = certify_release(("federated", "coded", 0.9, 0), counts, [SEX], 0.05)
    facts = {
        "dataset": "adult",
        "method": "coded",
        "attributes": (SEX,),
        "codes": CODES,
        "people": 11,
        "certificate": [sentence(name, one) for name, one in certified.certificates.items()],
        "conditions": certified.certificates["sex"].note,
    }
    return PublicationFacts(**{**facts, **changes})


def read_card(folder):
    """Front matter and text of a card."""
    yaml = pytest.importorskip("yaml")
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def test_a_card_names_the_columns_that_attackers_are_taken_to_know(tmp_path):
    publish(tmp_path)
    write_card(tmp_path, coded_facts(known=("age", "marital_status")))
    flat = " ".join(read_card(tmp_path)[1].split())
    assert "among people who are alike in `age` and `marital_status`" in flat
    write_card(tmp_path, coded_facts())
    assert "alike in `" not in read_card(tmp_path)[1]


def test_a_coded_release_has_a_card_and_a_codebook(tmp_path):
    publish(tmp_path)
    write_card(tmp_path, coded_facts())
    front, text = read_card(tmp_path)
    assert front == {
        "pretty_name": "adult: codes that hide sex",
        "license": "unknown",
        "tags": ["privacy", "federated-learning", "fl-tiprdc", "discrete-codes"],
        "size_categories": ["n<1K"],
        "configs": [
            {"config_name": "records", "default": True, "data_files": "part-*.parquet", "batch_size": 10_000},
            {"config_name": "codebook", "data_files": "codebook.parquet"},
        ],
    }
    flat = " ".join(text.split())
    for told in (
        "11 records of 11 people, published by 4 clients of a crowd. 1 client more published nothing",
        "Of each record its client made one of 24 codes, with the numbers that the code stands for, on its own",
        "`sex`: `Female`, `Male`",
        "Method `coded` at λ = 0.9",
        "at most 4.6 bits",
        "sex: With probability 0.95 over the draw of 10,000 certifying people, no attacker who sees a published code",
        "It does not cover attackers who know the record already",
        "Whoever knows some of a person's record already",
        "The same code.",
        "no certificate of one covers both",
        "put it in place of `unknown`",
    ):
        assert told in flat, told
    codebook = pq.read_table(tmp_path / "codebook.parquet")
    assert [str(kind) for kind in codebook.schema.types] == ["uint16", "float", "float", "float"]
    assert codebook.column_names == ["code", "z000", "z001", "z002"]
    assert not codebook.schema.metadata
    assert np.array_equal(codebook.to_pandas().drop(columns="code").to_numpy(), CODES.codewords)


@pytest.mark.parametrize("coded", [False, True])
def test_its_one_liners_open_the_records(coded, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    pytest.importorskip("duckdb")
    folder = tmp_path / "p"
    codes = publish(folder) if coded else publish(folder, None, 0.5)
    write_card(folder, coded_facts() if coded else PublicationFacts("adult", "tiprdc+", (SEX,)))
    monkeypatch.chdir(folder)
    first = re.search(r"```python\n(.*?)```", read_card(folder)[1], re.DOTALL)[1]
    before, _, lines = first.rpartition("\n\n")
    assert len(lines.splitlines()) == 2
    for line in lines.splitlines():
        names: dict[str, object] = {}
        exec(f"{before}\n{line}", names)
        table = names["table"]
        assert isinstance(table, pd.DataFrame)
        assert list(table["client"]) == [0] * 4 + [1] * 2 + [3] * 5
        if coded:
            assert np.array_equal(table["code"], codes)


@pytest.mark.parametrize("number", [1, 2])
def test_its_snippets_join_codes_with_the_codebook(number, tmp_path, monkeypatch):
    pytest.importorskip("duckdb")
    codes = publish(tmp_path)
    write_card(tmp_path, coded_facts())
    snippets = re.findall(r"```python\n(.*?)```", read_card(tmp_path)[1], re.DOTALL)
    assert len(snippets) == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(snippets[number], names)
    table = names["table"]
    assert isinstance(table, pd.DataFrame)
    assert list(table) == ["client", "record", "code", "z000", "z001", "z002"]
    assert np.array_equal(table["code"], codes)
    assert np.array_equal(table[["z000", "z001", "z002"]].to_numpy(), CODES.codewords[codes])
    assert list(table["client"]) == [0] * 4 + [1] * 2 + [3] * 5


def test_the_folder_is_still_read_and_a_new_release_takes_card_and_codebook_away(tmp_path):
    codes = publish(tmp_path)
    write_card(tmp_path, coded_facts())
    assert np.array_equal(read_store(tmp_path)[2], CODES.codewords[codes])
    assert np.array_equal(read_published_codes(tmp_path), codes)
    assert len(read_publication(tmp_path).z) == len(codes)  # an audit takes the codebook for no part
    (tmp_path / ".codebook.parquet.partial").write_bytes(b"PAR1")
    (tmp_path / "notes.txt").write_text("somebody's")
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_its_data_files_open_with_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    codes = publish(tmp_path / "p")
    write_card(tmp_path / "p", coded_facts())
    records = datasets.load_dataset(str(tmp_path / "p"), split="train")
    assert records.column_names == ["client", "record", "code", "z000", "z001", "z002"]
    assert records["code"][:] == codes.tolist()
    codebook = datasets.load_dataset(str(tmp_path / "p"), "codebook", split="train")
    assert codebook.num_rows == len(CODES)


def test_its_front_matter_is_a_dataset_cards(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    publish(tmp_path)
    write_card(tmp_path, coded_facts())
    data = hub.DatasetCard.load(tmp_path / "README.md").data
    assert data.license == "unknown"
    write_card(tmp_path, coded_facts(license="cc-by-4.0"))
    assert hub.DatasetCard.load(tmp_path / "README.md").data.license == "cc-by-4.0"
    assert "put it in place" not in read_card(tmp_path)[1]
    assert data.size_categories == ["n<1K"]


@pytest.mark.parametrize(("sigma", "told"), [(0.5, "at most 3.5 bits"), (0.0, "no limit")])
def test_a_release_of_numbers_has_a_card_too(sigma, told, tmp_path):
    publish(tmp_path, None, sigma)
    write_card(tmp_path, PublicationFacts("adult", "tiprdc+", (SEX, AGE)))
    front, text = read_card(tmp_path)
    assert not (tmp_path / "codebook.parquet").exists()
    assert [config["config_name"] for config in front["configs"]] == ["records"]
    flat = " ".join(text.split())
    assert "representations that hide sex and age" in flat
    assert "11 records, published by 4 clients" in flat
    assert told in flat
    assert ("standard deviation 0.5" in flat) == (sigma > 0)
    assert "Nothing is certified" in flat
    assert "code" not in flat.lower()


def test_names_of_others_break_no_card(tmp_path):
    publish(tmp_path)
    hostile = Attribute('a"b\n---\n# c', ("`x`", "<script>", *map(str, range(20))))
    write_card(tmp_path, coded_facts(dataset="my: data | set", attributes=(hostile,), note="<b> *too* few"))
    front, text = read_card(tmp_path)
    assert front["pretty_name"] == 'my: data | set: codes that hide a"b --- # c'
    assert "\n# c" not in text
    assert "`<script>`" in text
    assert "\\<b\\> \\*too\\* few." in text
    assert "and 14 more" in text


def test_a_card_is_of_a_whole_release(tmp_path):
    with pytest.raises(InputError, match="is no whole release"):
        write_card(tmp_path, coded_facts())


def test_sizes_are_hugging_faces():
    assert [name for _, name in SIZES] + [LARGER] == [
        "n<1K",
        "1K<n<10K",
        "10K<n<100K",
        "100K<n<1M",
        "1M<n<10M",
        "10M<n<100M",
    ]
