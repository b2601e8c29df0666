"""What clients publish, and what the server accepts and keeps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_app import build_client_app, representations
from fl_tiprdc.federated.inline_grid import InlineGrid
from fl_tiprdc.federated.publication import check_part, publish, read_store, write_part
from fl_tiprdc.federated.server_app import Point, instruction_for
from strategies.hybrid_strategy import TooManyFailuresError
from strategies.roster import take_roster
from tests.conftest import initial_arrays


@pytest.fixture
def release(small, make_store, population):
    """A store of 5 clients, the instruction of a point and an extractor."""
    experiment = small(clients=5)
    store = make_store(5, "by-private")
    instruction = instruction_for(experiment, Point("tiprdc+", 0.5, 0))
    return store, instruction, initial_arrays(population, experiment, "tiprdc+")["extractor"]


def grid_of(store) -> InlineGrid:
    return InlineGrid(build_client_app(str(store.root)), store)


def send(store, instruction, extractor, folder, grid=None, allowed=0.0) -> int:
    grid = grid or grid_of(store)
    return publish(grid, take_roster(grid, len(store)), extractor, instruction, 8, folder, allowed, 60)


def test_the_store_holds_representations_and_nothing_else(release, tmp_path, population):
    store, instruction, extractor = release
    received = send(store, instruction, extractor, tmp_path / "published")
    crowd = population.contributors
    assert received > crowd.x.shape[0] * 8 * 4
    files = sorted(path.name for path in (tmp_path / "published").iterdir())
    assert files == [f"part-{i:06d}.parquet" for i in range(5)] + ["release.json"]
    numbers = [f"z{i:03d}" for i in range(8)]
    columns: dict[str, np.ndarray] = {}
    for i in range(5):
        table = pq.read_table(tmp_path / "published" / files[i])
        assert table.column_names == ["client", "record", *numbers]
        assert not table.schema.metadata  # no pandas block, nothing beside the columns
        assert table["client"].unique().to_pylist() == [i]
        for name in numbers:
            columns[name] = np.concatenate([columns.get(name, np.empty(0)), table[name].to_numpy()])
    assert all(len(column) == 360 for column in columns.values())
    order = np.concatenate([store.records(i).private[:, 0] for i in range(5)])  # by-private: u in client order
    x = np.concatenate([store.records(i).x for i in range(5)])
    for column in columns.values():
        assert len(np.unique(column)) > 300  # real numbers, no labels in disguise
        assert abs(np.corrcoef(column, order)[0, 1]) < 0.999
        assert not (np.abs(x - column[:, None]) < 1e-6).all(0).any()
    facts = json.loads((tmp_path / "published" / "release.json").read_text())
    assert set(facts) == {"d", "sigma", "lam", "clients", "parts", "refused"}


def test_read_store_returns_what_clients_computed(release, tmp_path):
    store, instruction, extractor = release
    send(store, instruction, extractor, tmp_path / "p")
    client, record, z = read_store(tmp_path / "p")
    for i in range(5):
        mine = client == i
        assert np.array_equal(record[mine], np.arange(len(store.records(i))))
        np.testing.assert_array_equal(z[mine], representations(store, i, instruction, extractor))
    with pytest.raises(InputError, match="holds no published part"):
        read_store(tmp_path)


def test_asking_again_gives_no_new_noise(release):
    store, instruction, extractor = release
    first = representations(store, 0, instruction, extractor)
    again = representations(store, 0, replace(instruction, exchange=99, seed=5), extractor)
    np.testing.assert_array_equal(first, again)  # or else many answers would average the noise away
    louder = representations(store, 0, replace(instruction, sigma=1.0), extractor)
    assert np.abs(first - louder).max() > 0.1
    quiet = representations(store, 0, replace(instruction, sigma=0.0), extractor)
    np.testing.assert_allclose(np.linalg.norm(quiet, axis=1), np.sqrt(8), rtol=1e-5)
    noise = (first - quiet) / instruction.sigma
    assert abs(noise.std() - 1) < 0.15
    other = (representations(store, 1, instruction, extractor) - 0)[: len(first)]
    assert not np.allclose(other[:5], first[:5])


GOOD = np.zeros((3, 4), dtype=np.float32)


@pytest.mark.parametrize(
    ("z", "why"),
    [
        (np.zeros((3, 5), np.float32), r"shape \(3, 5\)"),
        (np.zeros(4, np.float32), r"shape \(4,\)"),
        (np.zeros((3, 4)), "float64"),
        (np.full((3, 4), np.nan, np.float32), "not finite"),
        (np.array([[0, 0, np.inf, 0]], np.float32), "not finite"),
        (np.full((1, 4), 10, np.float32), r"norm of 20.00, the channel allows"),
    ],
)
def test_a_part_that_the_channel_cannot_give_is_refused(z, why):
    check_part(GOOD, 4, 0.1, True)
    check_part(np.empty((0, 4), np.float32), 4, 0.1, True)
    with pytest.raises(InputError, match=why):
        check_part(z, 4, 0.1, True)


def test_honest_parts_always_pass():
    generator = np.random.default_rng(0)
    for sigma in (0.05, 0.5, 3.0):
        e = generator.normal(size=(20000, 16))
        z = 4 * e / np.linalg.norm(e, axis=1, keepdims=True) + sigma * generator.normal(size=e.shape)
        check_part(z.astype(np.float32), 16, sigma, True)


def test_parts_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        write_part(tmp_path, 3, GOOD)
    assert not list(tmp_path.glob("*.parquet"))


class Cheat(InlineGrid):
    """Client 1 publishes something else than asked."""

    def _answer(self, messages, timeout):
        replies = super()._answer(messages, timeout)
        from fl_tiprdc.federated.messages import pack_arrays

        replies[1].content["representations"] = pack_arrays({"z": np.full((3, 8), 100, np.float32)})
        return replies


def test_a_refused_part_is_no_part_and_counts_as_a_failure(release, tmp_path):
    store, instruction, extractor = release
    cheat = Cheat(build_client_app(str(store.root)), store)
    send(store, instruction, extractor, tmp_path / "p", cheat, allowed=0.2)
    assert set(read_store(tmp_path / "p")[0].tolist()) == {0, 2, 3, 4}
    with pytest.raises(TooManyFailuresError, match="1 of 5 clients published nothing usable: client 1's part has a"):
        send(store, instruction, extractor, tmp_path / "q", cheat)
