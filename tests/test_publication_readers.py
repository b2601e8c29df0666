"""A publication opens with the usual readers of Parquet, as docs/how-to/read-a-publication.md shows."""

import re
from pathlib import Path

import numpy as np
import pytest

from fl_tiprdc.data.publication_store import write_part

PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "read-a-publication.md"
PLACE = "results/adult-sex-iid-100/publication/federated/tiprdc+/lam-0.5/seed-0"
SNIPPETS = dict(re.findall(r"## (\w+)\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL))


def test_the_page_shows_each_reader():
    assert set(SNIPPETS) == {"pandas", "polars", "DuckDB", "datasets"}


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("reader", sorted(SNIPPETS))
def test_a_publication_opens_with(reader, coded, tmp_path, monkeypatch):
    pytest.importorskip(reader.lower())
    generator = np.random.default_rng(0)
    sizes = (4, 0, 2, 5)  # a client may have no record
    parts = [generator.normal(size=(n, 3)).astype(np.float32) for n in sizes]
    codes = [generator.integers(0, 300, n).astype(np.uint16) for n in sizes]
    for client, z in enumerate(parts):
        write_part(tmp_path / PLACE, client, z, codes[client] if coded else None)
    (tmp_path / PLACE / "release.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(SNIPPETS[reader], names)
    table = names["table"]
    frame = getattr(table, "to_pandas", lambda: table)()
    frame = frame.sort_values(["client", "record"])
    numbers = ["z000", "z001", "z002"]
    assert list(frame) == ["client", "record", *(["code"] if coded else []), *numbers]
    assert list(frame["client"]) == [0] * 4 + [2] * 2 + [3] * 5
    assert np.array_equal(frame[numbers].to_numpy(), np.concatenate(parts))
    if coded:
        assert frame["code"].dtype == np.uint16
        assert np.array_equal(frame["code"], np.concatenate(codes))
