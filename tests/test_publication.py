"""What clients publish, and what the server accepts and keeps."""

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from flwr.app import Array, ArrayRecord, Message

from fl_tiprdc.config import Point
from fl_tiprdc.data.publication_store import read_store, write_part
from fl_tiprdc.errors import InputError, TooManyFailuresError
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.federated.local_messages import stamp
from fl_tiprdc.federated.local_work import publication_of
from fl_tiprdc.federated.publication import Traffic, publish
from fl_tiprdc.federated.publication_check import check_part
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.release.arrays import released_groups
from fl_tiprdc.wire.messages import pack_arrays
from strategies.roster import take_roster
from tests.cheating import Cheat, add_labels, sends
from tests.conftest import grid_of, initial_arrays, noise_left
from tests.inline_grid import InlineGrid


@pytest.fixture
def release(small, make_store, population):
    """A store of 5 clients, the instruction of a point and the groups of an extractor."""
    experiment = small(clients=5)
    store = make_store(5, "by-private")
    instruction = instruction_for(experiment, Point("tiprdc+", 0.5, 0))
    return store, instruction, released_groups(initial_arrays(population, experiment, "tiprdc+"))


def representations(store, partition, instruction, groups) -> np.ndarray:
    """The numbers that one client publishes."""
    return publication_of(store, partition, instruction, groups).z


def send(store, instruction, groups, folder, grid=None, allowed=0.0) -> Traffic:
    grid = grid or grid_of(store)
    return publish(grid, take_roster(grid, len(store)), groups, instruction, 8, folder, allowed, 60)


def test_the_store_holds_representations_and_nothing_else(release, tmp_path, population):
    store, instruction, groups = release
    received = send(store, instruction, groups, tmp_path / "published")
    crowd = population.contributors
    assert received.up > crowd.x.shape[0] * 8 * 4
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
    assert set(facts) == {"d", "sigma", "lam", "clients", "parts", "refused", "strangers"}


def test_read_store_returns_what_clients_computed(release, tmp_path):
    store, instruction, groups = release
    send(store, instruction, groups, tmp_path / "p")
    client, record, z = read_store(tmp_path / "p")
    for i in range(5):
        mine = client == i
        assert np.array_equal(record[mine], np.arange(len(store.records(i))))
        np.testing.assert_array_equal(z[mine], representations(store, i, instruction, groups))
    with pytest.raises(InputError, match="holds no published part"):
        read_store(tmp_path)


def test_asking_again_gives_no_new_noise(release):
    store, instruction, groups = release
    first = representations(store, 0, instruction, groups)
    again = representations(store, 0, replace(instruction, exchange=99, seed=5), groups)
    np.testing.assert_array_equal(first, again)  # or else many answers would average the noise away
    louder = representations(store, 0, replace(instruction, sigma=1.0), groups)
    assert np.abs(first - louder).max() > 0.1
    quiet = representations(store, 0, replace(instruction, sigma=0.0), groups)
    np.testing.assert_allclose(np.linalg.norm(quiet, axis=1), np.sqrt(8), rtol=1e-5)
    noise = (first - quiet) / instruction.sigma
    assert abs(noise.std() - 1) < 0.15
    other = (representations(store, 1, instruction, groups) - 0)[: len(first)]
    assert not np.allclose(other[:5], first[:5])


def test_averaging_two_releases_of_the_same_extractor_takes_no_noise_away(release, tmp_path):
    store, instruction, groups = release
    instruction = replace(instruction, sigma=1.5)
    clean = np.concatenate([representations(store, i, replace(instruction, sigma=0.0), groups) for i in range(5)])
    found = []
    for exchange in (1, 2, 3):
        asked = replace(instruction, exchange=exchange, seed=exchange)
        send(store, asked, groups, tmp_path / f"{exchange}")
        found.append(read_store(tmp_path / f"{exchange}")[2])
    assert noise_left(found[0], clean) == pytest.approx(1.5, rel=0.05)
    mean = np.mean(found, axis=0)
    assert noise_left(mean, clean) == pytest.approx(noise_left(found[0], clean), rel=1e-6)
    fresh = clean + np.random.default_rng(0).normal(scale=1.5, size=clean.shape)  # a second answer's own
    assert noise_left((found[0] + fresh) / 2, clean) == pytest.approx(1.5 / np.sqrt(2), rel=0.05)


def test_records_and_clients_have_noise_of_their_own(release):
    store, instruction, groups = release
    noise = [
        representations(store, i, instruction, groups)
        - representations(store, i, replace(instruction, sigma=0.0), groups)
        for i in range(5)
    ]
    # its mean over records is as small as that of independent draws: no record's noise tells another's
    together = np.concatenate(noise) / instruction.sigma
    assert np.abs(together.mean(0)).max() < 4 / np.sqrt(len(together))
    both = [side[:30].ravel() for side in noise[:2]]
    assert abs(np.corrcoef(*both)[0, 1]) < 4 / np.sqrt(30 * 8)


GOOD = 2 * np.eye(4, dtype=np.float32)[:3] + np.float32([[0.1, 0, 0, 0.05]])  # d = 4, σ = 0.1


@pytest.mark.parametrize(
    ("z", "why"),
    [
        (np.zeros((3, 5), np.float32), r"shape \(3, 5\)"),
        (np.zeros(4, np.float32), r"shape \(4,\)"),
        (np.zeros((3, 4)), "float64"),
        (np.full((3, 4), np.nan, np.float32), "not finite"),
        (np.array([[0, 0, np.inf, 0]], np.float32), "not finite"),
        (np.full((1, 4), 10, np.float32), r"norm of 20.00, the channel allows"),
        (np.zeros((2, 4), np.float32), r"norm of 0, the channel's noise alone gives"),
        (np.concatenate([GOOD, GOOD[:1]]), "has a record twice"),
        (2 * np.eye(4, dtype=np.float32), "norms of 2.00 only: it comes without the channel's noise"),
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
        noise = sigma * generator.normal(size=(20000, 16))  # of an extractor that says nothing
        check_part(noise.astype(np.float32), 16, sigma, True)
    check_part(GOOD[[0, 0]], 4, 0.0, False)  # without noise two people may have the same representation


def test_parts_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_part(tmp_path, 3, GOOD)
    before = (tmp_path / "part-000003.parquet").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for client in (3, 4):  # one that is there already, and a new one
        with pytest.raises(OSError, match=f"No space left on device: .*part-00000{client}"):
            write_part(tmp_path, client, GOOD + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["part-000003.parquet"]
    assert (tmp_path / "part-000003.parquet").read_bytes() == before


def shape_says(rows: int):
    """What makes client 1 say that its array has so many rows, whatever its bytes are."""

    def spoil(reply) -> None:
        z = pack_arrays({"z": np.zeros((3, 8), np.float32)})["z"]
        reply.content["representations"] = ArrayRecord({"z": Array(z.dtype, (rows, 8), z.stype, z.data)})

    return spoil


def leave_out(reply) -> None:
    del reply.content["representations"]


Z = np.zeros((3, 8), np.float32)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (sends(z=np.full((3, 8), 100, np.float32)), r"client 1's reply has a norm of 282.84"),
        (sends(z=np.full((3, 8), np.nan, np.float32)), "client 1's reply has values that are not finite"),
        (sends(z=Z[:, :5]), r"client 1's reply has shape \(3, 5\)"),
        (sends(z=Z.astype(np.float64)), "client 1's reply isn't a float32 array"),
        (sends(z=np.zeros((123, 8), np.float32)), "client 1's reply has 123 records; the client said to hold 122"),
        (shape_says(10**15), f"client 1's reply has {10**15} records; the client said to hold 122"),
        (shape_says(4), "client 1's reply isn't a float32 array of shape"),
        (shape_says(-3), "client 1's reply isn't a float32 array of shape"),
        (sends(z=Z, labels=Z), "client 1's reply isn't the one array asked for"),
        (sends(), "client 1's reply isn't the one array asked for"),
        (add_labels, "client 1's reply isn't the one array asked for: it has labels, representations"),
        (leave_out, "client 1's reply isn't the one array asked for"),
        (lambda reply: [reply], "client 1 sent 2 replies"),
    ],
)
def test_a_refused_part_is_no_part_and_counts_as_a_failure(spoil, why, release, tmp_path):
    store, instruction, groups = release
    assert len(store.records(1)) == 122
    cheat = Cheat(store, spoil)
    send(store, instruction, groups, tmp_path / "p", cheat, allowed=0.2)
    assert set(read_store(tmp_path / "p")[0].tolist()) == {0, 2, 3, 4}
    facts = json.loads((tmp_path / "p" / "release.json").read_text())
    assert facts["clients"] == len(facts["parts"]) == 4
    assert list(facts["refused"]) == ["1"]
    assert re.search(why, facts["refused"]["1"])
    with pytest.raises(TooManyFailuresError, match=f"1 of 5 clients published nothing usable: {why}"):
        send(store, instruction, groups, tmp_path / "q", cheat)
    assert not (tmp_path / "q" / "release.json").exists()
    with pytest.raises(InputError, match=r"is no whole release: cannot read release\.json"):
        read_store(tmp_path / "q")


def test_parts_of_nodes_that_are_no_clients_are_not_kept(release, tmp_path):
    store, instruction, groups = release

    def foreign(reply):
        question = stamp(Message(reply.content, dst_node_id=77, message_type="query.publish"))
        return [stamp(Message(reply.content, reply_to=question))]

    send(store, instruction, groups, tmp_path / "p", Cheat(store, foreign))
    assert np.bincount(read_store(tmp_path / "p")[0]).tolist() == store.sizes.tolist()
    assert json.loads((tmp_path / "p" / "release.json").read_text())["strangers"] == 1


def test_a_part_that_two_clients_send_is_nobodys(release, tmp_path):
    store, instruction, groups = release

    class Copying(InlineGrid):
        def answer_all(self, messages, timeout):
            replies = super().answer_all(messages, timeout)
            for thief in (1, 3):  # as many records as the client whose part they send, or fewer
                own = store.sizes[thief]
                z = representations(store, 0, instruction, groups)
                replies[thief].content["representations"] = pack_arrays({"z": z[: min(own, len(z))]})
            return replies

    assert store.sizes[0] <= store.sizes[[1, 3]].min()
    send(store, instruction, groups, tmp_path / "p", grid_of(store, Copying), allowed=0.6)
    assert set(read_store(tmp_path / "p")[0].tolist()) == {2, 4}
    facts = json.loads((tmp_path / "p" / "release.json").read_text())
    assert list(facts["refused"]) == ["0", "1", "3"]
    assert facts["refused"]["1"] == "client 1's part is client 0's"
    with pytest.raises(TooManyFailuresError, match="3 of 5 clients published nothing usable"):
        send(store, instruction, groups, tmp_path / "q", grid_of(store, Copying))


def test_a_half_written_store_is_refused_and_publishing_again_repairs_it(release, tmp_path):
    store, instruction, groups = release

    def stop(parts):
        if parts == 3:
            raise KeyboardInterrupt

    whole, half = tmp_path / "whole", tmp_path / "half"
    send(store, instruction, groups, whole)
    grid = grid_of(store)
    with pytest.raises(KeyboardInterrupt):
        publish(grid, take_roster(grid, 5), groups, instruction, 8, half, 0.0, 60, on_part=stop)
    (half / ".part-000003.parquet.partial").write_bytes(b"PAR1")  # what a kill in the middle of a write leaves
    assert len(list(half.glob("part-*.parquet"))) == 3
    with pytest.raises(InputError, match=r"is no whole release: cannot read release\.json"):
        read_store(half)
    send(store, instruction, groups, half)
    assert {p.name: p.read_bytes() for p in half.iterdir()} == {p.name: p.read_bytes() for p in whole.iterdir()}


def test_the_audit_takes_no_altered_store(release, tmp_path):
    store, instruction, groups = release
    send(store, instruction, groups, tmp_path / "p")
    assert len(read_publication(tmp_path / "p").z) == 360
    write_part(tmp_path / "p", 2, representations(store, 3, instruction, groups))
    with pytest.raises(InputError, match=r"part-000002.parquet' is not as it was published"):
        read_publication(tmp_path / "p")
    (tmp_path / "p" / "part-000002.parquet").unlink()
    with pytest.raises(InputError, match=r"part-000002.parquet' is missing"):
        read_publication(tmp_path / "p")


def test_the_manifest_has_each_parts_rows_and_checksum(release, tmp_path):
    store, instruction, groups = release
    send(store, instruction, groups, tmp_path / "p")
    parts = json.loads((tmp_path / "p" / "release.json").read_text())["parts"]
    assert list(parts) == [f"part-{i:06d}.parquet" for i in range(5)]
    assert [facts["rows"] for facts in parts.values()] == store.sizes.tolist()
    for name, facts in parts.items():
        assert facts["rows"] == pq.read_table(tmp_path / "p" / name).num_rows
        assert facts["sha256"] == hashlib.sha256((tmp_path / "p" / name).read_bytes()).hexdigest()


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "is not as it was published"),
        (lambda path: path.write_bytes(b""), "is not as it was published"),
        (flip_a_bit, "is not as it was published"),
        (lambda path: path.write_bytes(path.with_name("part-000003.parquet").read_bytes()), "is not as it was publ"),
    ],
    ids=["missing", "truncated", "empty", "altered", "another's"],
)
def test_a_store_that_is_not_as_it_was_published_is_not_read(harm, why, release, tmp_path):
    store, instruction, groups = release
    send(store, instruction, groups, tmp_path / "p")
    harm(tmp_path / "p" / "part-000002.parquet")
    with pytest.raises(InputError, match=f"part-000002.parquet' {why}"):
        read_store(tmp_path / "p")


def test_a_part_that_was_never_published_is_not_read(release, tmp_path):
    store, instruction, groups = release
    send(store, instruction, groups, tmp_path / "p")
    write_part(tmp_path / "p", 5, np.zeros((2, 8), np.float32))
    with pytest.raises(InputError, match=r"part-000005.parquet' is no part of the release"):
        read_store(tmp_path / "p")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"parts": [1]}', '{"parts": {"part-000000.parquet": {}}}'])
def test_a_damaged_manifest_is_named(text, release, tmp_path):
    store, instruction, groups = release
    send(store, instruction, groups, tmp_path / "p")
    (tmp_path / "p" / "release.json").write_text(text)
    with pytest.raises(InputError, match=r"release.json' is no manifest of a release"):
        read_store(tmp_path / "p")


def test_rows_must_be_those_of_the_manifest(release, tmp_path):
    store, instruction, groups = release
    send(store, instruction, groups, tmp_path / "p")
    facts = json.loads((tmp_path / "p" / "release.json").read_text())
    facts["parts"]["part-000000.parquet"]["rows"] = 71
    (tmp_path / "p" / "release.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"part-000000.parquet' has 39 rows, the manifest says 71"):
        read_store(tmp_path / "p")


def test_publishing_again_leaves_nothing_of_the_earlier_release(release, tmp_path):
    store, instruction, groups = release
    send(store, instruction, groups, tmp_path / "p")
    send(store, instruction, groups, tmp_path / "p", Cheat(store, leave_out), allowed=0.2)
    assert set(read_store(tmp_path / "p")[0].tolist()) == {0, 2, 3, 4}
