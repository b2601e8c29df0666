"""Clients keep the extractor and the codes that they are asked about: they are sent once, unless somebody lost them."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from fl_tiprdc.config import Point
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.certificate import codes_for
from fl_tiprdc.federated.client_app import client_app_of
from fl_tiprdc.federated.kept_arrays import MOST_IN_MEMORY, MOST_KEPT, KeptArrays
from fl_tiprdc.federated.local_messages import FIRST_NODE, stamp
from fl_tiprdc.federated.local_work import count, with_kept
from fl_tiprdc.federated.publication import publish
from fl_tiprdc.federated.server_app import fit_over_crowd, instruction_for
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.arrays import digest_of, released_groups
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.statistics import Request, couplings_as_arrays, couplings_in
from fl_tiprdc.wire.messages import CONFIG, PUBLISH, LocalArrays
from strategies.code_questions import CodeQuestions
from strategies.hybrid_strategy import Exchange
from strategies.roster import Roster, take_roster
from tests.coded_crowd import CLIENTS, coded, publication_at, server_of, store_of
from tests.conftest import adult, grid_of

EXTRACTOR = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
COUNT = Request("class-counts", {"classes": np.array([2], dtype=np.float32)}, {"counts": (2, 2)})


def test_what_is_kept_is_read_again(tmp_path):
    kept = KeptArrays(tmp_path / "kept")
    digest = kept.keep(EXTRACTOR)
    assert digest == kept.keep(EXTRACTOR) == digest_of(EXTRACTOR)
    assert np.array_equal(kept.read(digest)["weight"], EXTRACTOR["weight"])
    assert [file.name for file in (tmp_path / "kept").iterdir()] == [f"{digest}.npz"]


def test_what_was_read_stays_in_memory_as_long_as_it_is_on_the_disk(tmp_path):
    kept = KeptArrays(tmp_path)
    digests = [kept.keep({"a": np.full(3, i, np.float32)}) for i in range(MOST_IN_MEMORY + 1)]
    first = kept.read(digests[0])["a"]
    assert kept.read(digests[0])["a"] is first
    assert [kept.read(digest)["a"][0] for digest in digests] == list(range(MOST_IN_MEMORY + 1))
    assert kept.read(digests[0])["a"] is not first  # it made room for the others
    (tmp_path / f"{digests[0]}.npz").unlink()
    with pytest.raises(InputError, match="isn't kept here"):
        kept.read(digests[0])


def test_what_was_read_makes_room_last(tmp_path):
    kept = KeptArrays(tmp_path)
    digest = kept.keep(EXTRACTOR)
    path = tmp_path / f"{digest}.npz"
    os.utime(path, (0, 0))
    kept.read(digest)
    assert path.stat().st_mtime > 0


def test_what_is_missing_damaged_or_no_digest_is_refused(tmp_path):
    kept = KeptArrays(tmp_path)
    digest = kept.keep(EXTRACTOR)
    with pytest.raises(InputError, match="isn't kept here"):
        kept.read("0" * 64)
    for name in ("../secret", "", digest[:-1]):
        with pytest.raises(InputError, match="no SHA-256"):
            kept.read(name)
    (tmp_path / f"{digest}.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="isn't kept here"):
        kept.read(digest)
    with (tmp_path / f"{digest}.npz").open("wb") as file:
        np.savez(file, weight=EXTRACTOR["weight"] + 1)
    with pytest.raises(InputError, match="damaged"):
        kept.read(digest)


def test_a_disk_that_takes_nothing_is_no_failure(tmp_path, caplog):
    (tmp_path / "kept").touch()
    assert KeptArrays(tmp_path / "kept").keep(EXTRACTOR) == digest_of(EXTRACTOR)
    assert "can't be kept" in caplog.text


def test_old_extractors_make_room(tmp_path):
    kept = KeptArrays(tmp_path)
    digests = [kept.keep({"weight": np.full(3, i, dtype=np.float32)}) for i in range(MOST_KEPT + 3)]
    assert len(list(tmp_path.iterdir())) == MOST_KEPT
    kept.read(digests[-1])


@pytest.fixture(scope="module")
def crowd():
    return adult(1400, 10).contributors


@pytest.fixture
def store(crowd, tmp_path):
    return store_of(crowd, tmp_path / "store")


def questions(crowd, store, exchanges, **federation) -> tuple[CodeQuestions, dict[str, np.ndarray]]:
    """What asks the crowd about an extractor, and the extractor."""
    experiment, grid = coded(federation=federation), grid_of(store)
    step = HybridStep(crowd.description, experiment.network, experiment.method_config("coded"))
    extractor = {name: value.numpy() for name, value in step.initial(0)["extractor"].items()}
    roster = take_roster(grid, CLIENTS, seed=0)
    config = dict(instruction_for(experiment, Point("coded", 0.0, 0)).pack())
    asked = CodeQuestions(grid, roster, extractor, config, 0, experiment.federation, 0, exchanges.append, None)
    return asked, extractor


def test_the_extractor_is_sent_once_and_again_to_who_lost_it(crowd, store):
    exchanges = list[Exchange]()
    asked, extractor = questions(crowd, store, exchanges)
    first, second = (asked.answer(COUNT)["counts"] for _ in range(2))
    shutil.rmtree(store.root / "kept")
    third, fourth = (asked.answer(COUNT)["counts"] for _ in range(2))
    assert all(np.array_equal(first, other) for other in (second, third, fourth))
    assert first.sum() == 1400
    size = CLIENTS * sum(value.nbytes for value in extractor.values())
    assert [exchange.bytes_down > size for exchange in exchanges] == [True, False, True, False]
    assert [exchange.exchange for exchange in exchanges] == [1, 2, 4, 5]  # the third was asked in vain


def test_a_sample_answers_what_isnt_asked_of_everybody(crowd, store):
    exchanges = list[Exchange]()
    asked, extractor = questions(crowd, store, exchanges, codebook_clients=3)
    whole = asked.answer(replace(COUNT, everybody=True))["counts"]
    some, again = (asked.answer(COUNT)["counts"] for _ in range(2))
    assert asked.sampled
    assert [exchange.clients for exchange in exchanges] == [CLIENTS, 3, 3]
    assert whole.sum() == 1400
    assert 600 < some.sum() < 800
    assert np.array_equal(some, again)  # the same clients
    size = 3 * sum(value.nbytes for value in extractor.values())
    assert [exchange.bytes_down > size for exchange in exchanges] == [True, False, False]


def test_a_codebook_of_a_samples_records_is_fitted_to_and_certified_by_everybody(crowd, store, tmp_path):
    experiment = coded(federation={"codebook_clients": 5})
    trained = server_of(experiment, crowd, tmp_path)(grid_of(store))
    asked = [(exchange.phase, exchange.clients) for exchange in trained[0].exchanges]
    assert asked[1:3] == [("codes.class-counts", CLIENTS), ("codes.class-counts", 5)]
    assert {clients for phase, clients in asked if phase == "codes.cells"} == {5}
    assert {clients for phase, clients in asked if phase in ("codes.shares", "codes.code-counts")} == {CLIENTS}
    certifying = sum(int(store.certifying(client, 0.25).sum()) for client in range(CLIENTS))
    assert [one.counts.sum() for one in trained] == [certifying, certifying]


def test_a_coupling_of_a_samples_records_is_certified_by_the_sample_and_everybody_publishes(crowd, store, tmp_path):
    experiment = coded(federation={"codebook_clients": 3, "coupling_clients": 5})
    trained = server_of(experiment, crowd, tmp_path)(grid_of(store))
    asked = {(exchange.phase, exchange.clients) for exchange in trained[0].exchanges if exchange.round > 1}
    assert {clients for phase, clients in asked if phase == "codes.class-counts"} == {5, 3}
    assert {clients for phase, clients in asked if phase == "codes.cells"} == {3}
    assert {clients for phase, clients in asked if phase in ("codes.shares", "codes.code-counts")} == {5}
    certifying = [int(store.certifying(client, 0.25).sum()) for client in range(CLIENTS)]
    assert trained[0].counts.sum() == trained[1].counts.sum() < sum(certifying)
    extractor = trained[0].groups["extractor"]
    sent = sum(LocalArrays(arrays).count_bytes() for arrays in (extractor, trained[1].groups["codes"]))
    assert trained[1].release_bytes == (CLIENTS - 5) * sent  # the others have it from the questions
    assert len(list(publication_at(tmp_path, 1.0).glob("part-*"))) == CLIENTS
    assert "by the people of 5 of 6 clients" in trained[1].note


def test_a_samples_coupling_is_the_same_by_secure_aggregation(crowd, store, tmp_path):
    def counts(secagg):
        shutil.rmtree(store.root / "opened", ignore_errors=True)
        federation = {"codebook_clients": 5, "coupling_clients": 5}
        experiment = coded(lambdas=(1.0,), federation=federation, protection={"secagg": secagg})
        (one,) = server_of(experiment, crowd, tmp_path / str(secagg))(grid_of(store))
        return one.counts.sum(1), one.exchanges[-1].clients

    (openly, asked), (secretly, members) = counts(False), counts(True)
    assert np.array_equal(openly, secretly)
    assert asked == members == 5


def test_absent_clients_let_no_difference_of_sums_be_of_a_few(crowd, store):
    federation = {"rounds": 1, "codebook_clients": 3, "allowed_failures": 0.2}
    experiment = coded(lambdas=(1.0,), federation=federation, protection={"secagg": True})  # 6 clients and 3
    grid = grid_of(store)
    whole = take_roster(grid, CLIENTS)
    here = Roster({whole.node(c): c for c in range(5)}, {c: whole.size(c) for c in range(5)}, absent=(5,))
    points = [Point("coded", 1.0, 0)]
    with pytest.raises(InputError, match="over 5 clients and 3 of them"):
        fit_over_crowd(grid, here, lambda done: None, experiment, crowd.description, points, codes_for)


def test_a_publication_is_sent_only_what_clients_have_lost(crowd, store, tmp_path):
    experiment = coded(lambdas=(0.0, 1.0))
    trained = server_of(experiment, crowd, tmp_path)(grid_of(store))
    assert [one.release_bytes for one in trained] == [0, 0]
    groups, instruction = released_groups(trained[1].groups), instruction_for(experiment, trained[1].point)
    size = CLIENTS * sum(LocalArrays(arrays).count_bytes() for arrays in groups.values())

    def publish_again(folder, kept=range(CLIENTS)):
        grid = grid_of(store)
        traffic = publish(grid, take_roster(grid, CLIENTS), groups, instruction, 8, folder, 0.0, 60, kept=kept)
        return traffic.down, [part.read_bytes() for part in sorted(folder.glob("part-*"))]

    first = [part.read_bytes() for part in sorted(publication_at(tmp_path, 1.0).glob("part-*"))]
    assert publish_again(tmp_path / "kept") == (0, first)
    assert publish_again(tmp_path / "sent", kept=()) == (size, first)
    assert publish_again(tmp_path / "sent", kept=range(1, CLIENTS)) == (size // CLIENTS, first)
    shutil.rmtree(store.root / "kept")  # all of them have lost it
    assert publish_again(tmp_path / "lost") == (size, first)


def test_what_real_clients_did_in_another_run_or_attempt_stops_none(crowd, store, tmp_path):
    """Who lost what it kept is asked once more, so that sums of the same number are of other questions than before."""
    protected = coded(lambdas=(1.0,), runtime="deployment", protection={"secagg": True})

    def counts(folder: str, lost_after: int = 0):
        def tell(done):
            if done == lost_after:
                shutil.rmtree(store.root / "kept")

        kept = tmp_path / folder / "kept" / "training.safetensors"
        serve = server_of(protected, crowd, tmp_path / folder, kept, tell)
        (one,) = serve(grid_of(store))
        return [exchange.exchange for exchange in one.exchanges], one.counts

    numbers, first = counts("one")
    others, second = counts("another", lost_after=numbers[3])
    assert numbers == list(range(1, len(numbers) + 1))
    assert others == [*numbers[:4], *(number + 1 for number in numbers[4:])]
    assert np.array_equal(first, second)
    assert np.array_equal(counts("one", lost_after=numbers[2])[1], first)  # an interrupted run that goes on


def test_noise_is_asked_of_kept_releases_too(crowd, store, tmp_path):
    """Codes that a client keeps are no way around the least noise that it asks for."""
    experiment = coded(lambdas=(1.0,))
    (one,) = server_of(experiment, crowd, tmp_path)(grid_of(store))
    named = {name: digest_of(arrays) for name, arrays in released_groups(one.groups).items()}
    asked = replace(instruction_for(experiment, one.point), **named)
    assert with_kept(store, asked, {}).keys() == {"extractor", "codes"}
    message = stamp(Message(RecordDict({CONFIG: asked.pack()}), FIRST_NODE, PUBLISH))
    app = client_app_of(lambda context, seed: store)
    app(message, Context(1, FIRST_NODE, {"partition-id": 0}, RecordDict(), {}))
    strict = Context(1, FIRST_NODE, {"partition-id": 0, "least-sigma": 0.5}, RecordDict(), {})
    with pytest.raises(InputError, match="this client's least is"):
        app(message, strict)
    with pytest.raises(InputError, match="isn't kept here"):
        with_kept(store, replace(asked, codes="1" * 64), {})


@pytest.mark.parametrize("changed", [(), ("potentials",), ("codewords",), ("cells", "fill"), ("codewords", "cells")])
@pytest.mark.parametrize("alike", [True, False])
def test_couplings_are_packed_without_what_they_share(changed, alike):
    draw = np.random.default_rng(0)
    codewords, other = (draw.normal(size=(4, 3)).astype(np.float32) for _ in range(2))
    plan = np.eye(4, dtype=np.float32)
    keep, fill = np.ones((1, 4), np.float32), np.full((1, 4), 0.25, np.float32)
    first = Codes(
        codewords, codewords if alike else other, np.zeros((1, 4), np.float32), 1.0, plan, keep, fill, np.zeros(2, int)
    )
    new = {
        "codewords": codewords + 1,
        "cells": codewords + 1,
        "potentials": first.potentials + 1,
        "fill": np.eye(4, dtype=np.float32)[:1],
    }
    second = replace(first, **{name: new[name] for name in changed})
    packed = couplings_as_arrays([first, second, second])
    assert [codes.digest for codes in couplings_in(packed)] == [first.digest, second.digest, second.digest]
    assert {name for name in packed if name[0] == "1"} == {f"1/{name}" for name in (*changed, "temperature")}
    assert ("0/cells" in packed) is not alike


def test_digests_tell_names_and_shapes_apart():
    """A server that had two groups of one digest could have clients keep one and name the other."""
    four, eight = np.arange(4, dtype=np.float32), np.arange(8, dtype=np.float32)
    text = four[:2].tobytes().decode("latin-1")
    groups = [
        {"a": four, "b": four},
        {"a": four, "c": four},
        {"a": eight},
        {"a": eight.reshape(2, 4)},
        {"a": four.reshape(2, 2), "b": four},
        {f"a{text}": four[2:], "b": four},
        {"a": four[0]},
        {"a": four[:1]},
    ]
    assert len({digest_of(group) for group in groups}) == len(groups)


def test_a_kept_codebook_names_no_columns_that_the_method_does_not(crowd, store):
    """Levels of known columns would tell of single columns: they are checked wherever they come from."""
    asked = replace(instruction_for(coded(), Point("coded", 0.0, 0)), phase="codes.class-counts")
    question = {"classes": np.array([2], dtype=np.float32)}
    groups = {"extractor": EXTRACTOR, "codebook": {"known": np.zeros((1, 3), np.float32)}, "question": question}
    with pytest.raises(InputError, match="columns that the method doesn't name"):
        count(store, asked, groups, [0], 1)


def test_a_sample_with_too_few_of_a_class_is_refused(crowd, store, tmp_path):
    few = store_of(crowd, tmp_path / "by-private", spec="by-private")
    experiment = coded(federation={"codebook_clients": 1})
    with pytest.raises(InputError, match=r"bears \d codes; ask more of them \(federation.codebook_clients\)"):
        server_of(experiment, crowd, tmp_path)(grid_of(few))
