"""Releases of codes by a federation: what is trained, published, refused and resumed."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.publication_store import read_published_codes, read_store, whole_parts
from fl_tiprdc.errors import InputError, TooManyFailuresError
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.federated.local_work import publication_of
from fl_tiprdc.federated.publication import publish
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.release.arrays import released_groups
from fl_tiprdc.release.codes import Codes
from strategies.roster import take_roster
from tests.cheating import Cheat, add_labels, sends
from tests.coded_crowd import CLIENTS, CODES, coded, publication_at, server_of, store_of
from tests.conftest import adult, grid_of

WIDTH = 8  # numbers in a representation


@pytest.fixture(scope="module")
def people() -> Population:
    return adult()


@pytest.fixture(scope="module")
def served(people, tmp_path_factory):
    """The clients' store, what the server ended with for each λ, and the folder of their publications."""
    folder, crowd = tmp_path_factory.mktemp("served"), people.contributors
    store = store_of(crowd, folder / "clients")
    return store, server_of(coded(), crowd, folder / "published")(grid_of(store)), folder / "published"


# ---- what is published


def test_a_part_has_the_code_and_its_codeword_and_nothing_else(served):
    store, trained, folder = served
    for one in trained:
        where = publication_at(folder, one.point.lam)
        codewords = one.groups["codes"]["codewords"]
        assert codewords.shape == (CODES, WIDTH)
        names = sorted(path.name for path in where.iterdir())
        assert names == [f"part-{i:06d}.parquet" for i in range(CLIENTS)] + ["release.json"]
        for partition, (part, _, rows) in enumerate(whole_parts(where)):
            table = pq.read_table(part)
            assert table.column_names == ["client", "record", "code", *(f"z{i:03d}" for i in range(WIDTH))]
            assert str(table.schema.field("code").type) == "uint16"
            assert not table.schema.metadata
            assert rows == table.num_rows == store.size(partition)
            assert table["record"].to_pylist() == list(range(rows))
            numbers = np.stack([table[f"z{i:03d}"].to_numpy() for i in range(WIDTH)], axis=1)
            np.testing.assert_array_equal(numbers, codewords[table["code"].to_numpy()])
        facts = json.loads((where / "release.json").read_text())
        assert set(facts) >= {"d", "sigma", "lam", "clients", "parts", "refused", "strangers"}
        text = json.dumps(facts)
        assert "sex" not in text
        assert len(read_publication(where).z) == sum(store.sizes)
    assert trained[0].published_bytes < 20 * sum(store.sizes)  # codes travel, not codewords


def test_published_codes_hide_the_private_class_of_those_they_were_fitted_on(served, people):
    store, trained, folder = served
    apart = []
    for one in trained:
        codes = read_published_codes(publication_at(folder, one.point.lam))
        private = np.concatenate([store.records(i).private[:, 0] for i in range(CLIENTS)])
        shares = [np.bincount(codes[private == u], minlength=CODES) / (private == u).sum() for u in (0, 1)]
        apart.append(0.5 * np.abs(shares[0] - shares[1]).sum())
    assert apart[0] > 0.15  # nobody is coupled
    assert apart[1] < 0.4 * apart[0]
    assert apart[1] < 0.08  # what 1,400 people, each with one draw, leave to chance


def test_the_counts_are_those_of_the_certifying_people_in_the_publication(served):
    store, trained, folder = served
    for one in trained:
        client, record, _ = read_store(publication_at(folder, one.point.lam))
        codes = read_published_codes(publication_at(folder, one.point.lam))
        counted = np.zeros((2, CODES), dtype=np.int64)
        for i in range(CLIENTS):
            mine = store.records(i).private[:, 0]
            aside = store.certifying(i, 0.25)
            own = codes[client == i][np.argsort(record[client == i])]
            np.add.at(counted, (mine[aside], own[aside]), 1)
        assert np.array_equal(counted, one.counts)
        assert 0.2 * sum(store.sizes) < one.counts.sum() < 0.3 * sum(store.sizes)


def test_the_trained_points_share_an_extractor_and_a_training(served):
    _, (first, second), _ = served
    for name, array in first.groups["extractor"].items():
        assert np.array_equal(array, second.groups["extractor"][name])
    assert np.array_equal(first.groups["codes"]["codewords"], second.groups["codes"]["codewords"])
    assert not np.array_equal(first.groups["codes"]["potentials"], second.groups["codes"]["potentials"])
    assert not second.exchanges  # they are the first one's
    phases = [exchange.phase for exchange in first.exchanges]
    assert phases[:2] == ["local-training", "codes.class-counts"]  # two rounds in one exchange
    assert phases[-1] == "codes.code-counts"
    assert [exchange.exchange for exchange in first.exchanges] == list(range(1, len(phases) + 1))
    assert {exchange.clients for exchange in first.exchanges} == {CLIENTS}


def test_asked_twice_a_client_publishes_the_same_codes(served, people, tmp_path):
    store, trained, folder = served
    experiment = coded()
    for one in trained:
        instruction, groups = instruction_for(experiment, one.point), released_groups(one.groups)
        for asked in (instruction, type(instruction)(**{**vars(instruction), "exchange": 77, "seed": 5})):
            again = np.concatenate([publication_of(store, i, asked, groups).codes for i in range(CLIENTS)])
            assert np.array_equal(again, read_published_codes(publication_at(folder, one.point.lam)))
        publish(
            grid_of(store), take_roster(grid_of(store), CLIENTS), groups, instruction, WIDTH, tmp_path / "p", 0.0, 60
        )
        first, second = publication_at(folder, one.point.lam), tmp_path / "p"
        for part in first.glob("part-*"):
            assert part.read_bytes() == (second / part.name).read_bytes()
    # other codes, other draws: who has two releases has no two draws that are the same number
    groups = released_groups(trained[1].groups)
    softer = {**groups["codes"], "temperature": np.float32(10 * groups["codes"]["temperature"])}
    harder = {**groups["codes"], "temperature": np.float32(10.001 * groups["codes"]["temperature"])}
    nearly = [
        publication_of(store, 0, instruction_for(experiment, trained[1].point), {**groups, "codes": codes}).codes
        for codes in (softer, harder)
    ]
    assert (nearly[0] != nearly[1]).mean() > 0.3


def test_clients_have_draws_of_their_own(served, people):
    _, trained, _ = served
    codes = Codes.of_arrays(trained[1].groups["codes"])
    assert codes.sees_private
    assert codes.group.tolist() == [0, 1]


# ---- what is refused


FEW = np.zeros(3, np.uint16)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (sends(code=np.array([0, CODES, 1], np.uint16)), r"codes that are not in 0\.\.7"),
        (sends(code=np.array([0, 65535], np.uint16)), r"codes that are not in 0\.\.7"),
        (sends(code=FEW.astype(np.int64)), "isn't a uint16 array"),
        (sends(code=FEW.astype(np.float32)), "isn't a uint16 array"),
        (sends(code=FEW.astype(np.uint8)), "isn't a uint16 array"),
        (sends(code=FEW[:, None]), r"has shape \(3, 1\)"),
        (sends(code=np.zeros((), np.uint16)), r"has shape \(\)"),
        (sends(code=np.zeros(1000, np.uint16)), "has 1000 records; the client said to hold"),
        (sends(z=np.zeros((3, WIDTH), np.float32)), "isn't the one array asked for"),
        (sends(code=FEW, z=np.zeros((3, WIDTH), np.float32)), "isn't the one array asked for"),
        (sends(code=FEW, sex=FEW), "isn't the one array asked for"),
        (sends(), "isn't the one array asked for"),
        (add_labels, "isn't the one array asked for: it has labels, representations"),
        (lambda reply: [reply], "client 1 sent 2 replies"),
    ],
)
def test_a_part_that_holds_no_codes_is_refused(spoil, why, served, tmp_path):
    store, trained, _ = served
    one = trained[1]
    cheat = Cheat(store, spoil)
    roster, instruction = take_roster(cheat, CLIENTS), instruction_for(coded(), one.point)
    groups = released_groups(one.groups)
    publish(cheat, roster, groups, instruction, WIDTH, tmp_path / "p", 0.2, 60)
    assert set(read_store(tmp_path / "p")[0].tolist()) == {0, 2, 3, 4, 5}
    facts = json.loads((tmp_path / "p" / "release.json").read_text())
    assert list(facts["refused"]) == ["1"]
    assert re.search(why, facts["refused"]["1"])
    with pytest.raises(TooManyFailuresError, match=why):
        publish(cheat, roster, groups, instruction, WIDTH, tmp_path / "q", 0.0, 60)


def test_clients_refuse_a_codebook_that_is_none(served):
    store, trained, _ = served
    groups, instruction = released_groups(trained[1].groups), instruction_for(coded(), trained[1].point)
    for wrong in (
        {"codewords": groups["codes"]["codewords"][:3]},
        {"potentials": np.full((2, CODES), np.nan, np.float32)},
        {"keep": np.full((2, CODES), 7, np.float32)},
    ):
        with pytest.raises(InputError, match=r"^(a|the arrays of a) codebook"):
            publication_of(store, 0, instruction, {**groups, "codes": {**groups["codes"], **wrong}})


# ---- resumed


@pytest.mark.parametrize("stopped_after", [1, 2, 9])
def test_a_fit_goes_on_from_a_checkpoint(stopped_after, served, people, tmp_path):
    store, undisturbed, folder = served
    checkpoint = tmp_path / "training.safetensors"

    def stop(done: int) -> None:
        if done == stopped_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server_of(coded(), people.contributors, tmp_path / "p", checkpoint, stop)(grid_of(store))
    assert checkpoint.exists() == (stopped_after >= 1)
    again = server_of(coded(), people.contributors, tmp_path / "p", checkpoint)(grid_of(store))
    for a, b in zip(again, undisturbed, strict=True):
        assert np.array_equal(a.counts, b.counts)
        for name, arrays in b.groups.items():
            for key, array in arrays.items():
                np.testing.assert_array_equal(a.groups[name][key], array, err_msg=f"{name}/{key}")
        where = [publication_at(root, a.point.lam) for root in (tmp_path / "p", folder)]
        assert np.array_equal(*(read_published_codes(one) for one in where))
    assert len(again[0].exchanges) == len(undisturbed[0].exchanges)
