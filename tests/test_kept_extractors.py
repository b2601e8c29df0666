"""Clients keep the extractor of a question for the next ones: it crosses the wire once, unless somebody has lost it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from fl_tiprdc.config import Point
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.kept_extractors import MOST_EXTRACTORS, KeptExtractors
from fl_tiprdc.federated.publication import publish
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.arrays import released_groups
from fl_tiprdc.release.codes import digest_of
from fl_tiprdc.release.statistics import Request
from fl_tiprdc.wire.messages import LocalArrays
from strategies.code_questions import CodeQuestions
from strategies.hybrid_strategy import Exchange
from strategies.roster import take_roster
from tests.coded_crowd import CLIENTS, adult, coded, grid_of, publication_at, server_of, store_of

EXTRACTOR = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
COUNT = Request("class-counts", {"classes": np.array([2], dtype=np.float32)}, {"counts": (2, 2)})


def test_what_is_kept_is_read_again(tmp_path):
    kept = KeptExtractors(tmp_path / "extractors")
    digest = kept.keep(EXTRACTOR)
    assert digest == kept.keep(EXTRACTOR) == digest_of(EXTRACTOR)
    assert np.array_equal(kept.read(digest)["weight"], EXTRACTOR["weight"])
    assert [file.name for file in (tmp_path / "extractors").iterdir()] == [f"{digest}.npz"]


def test_what_is_missing_damaged_or_no_digest_is_refused(tmp_path):
    kept = KeptExtractors(tmp_path)
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
    (tmp_path / "extractors").touch()
    assert KeptExtractors(tmp_path / "extractors").keep(EXTRACTOR) == digest_of(EXTRACTOR)
    assert "can't be kept" in caplog.text


def test_old_extractors_make_room(tmp_path):
    kept = KeptExtractors(tmp_path)
    digests = [kept.keep({"weight": np.full(3, i, dtype=np.float32)}) for i in range(MOST_EXTRACTORS + 3)]
    assert len(list(tmp_path.iterdir())) == MOST_EXTRACTORS
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
    shutil.rmtree(store.root / "extractors")
    third, fourth = (asked.answer(COUNT)["counts"] for _ in range(2))
    assert all(np.array_equal(first, other) for other in (second, third, fourth))
    assert first.sum() == 1400
    size = CLIENTS * sum(value.nbytes for value in extractor.values())
    assert [exchange.bytes_down > size for exchange in exchanges] == [True, False, True, False]
    assert [exchange.exchange for exchange in exchanges] == [1, 2, 4, 5]  # the third was asked in vain


def test_a_sample_answers_a_fits_questions_and_everybody_what_certifies(crowd, store):
    exchanges = list[Exchange]()
    asked, extractor = questions(crowd, store, exchanges, question_clients=3)
    whole = asked.answer(replace(COUNT, everybody=True))["counts"]
    some, again = (asked.answer(COUNT)["counts"] for _ in range(2))
    assert asked.sampled
    assert [exchange.clients for exchange in exchanges] == [CLIENTS, 3, 3]
    assert whole.sum() == 1400
    assert 600 < some.sum() < 800
    assert np.array_equal(some, again)  # the same clients
    size = 3 * sum(value.nbytes for value in extractor.values())
    assert [exchange.bytes_down > size for exchange in exchanges] == [True, False, False]


def test_a_sampled_fit_is_certified_by_everybody(crowd, store, tmp_path):
    experiment = coded(federation={"question_clients": 5})
    trained = server_of(experiment, crowd, tmp_path)(grid_of(store))
    asked = [(exchange.phase, exchange.clients) for exchange in trained[0].exchanges]
    assert asked[1:3] == [("codes.class-counts", CLIENTS), ("codes.class-counts", 5)]
    assert {clients for phase, clients in asked if phase in ("codes.cells", "codes.shares")} == {5}
    assert asked[-1] == ("codes.code-counts", CLIENTS)
    certifying = sum(int(store.certifying(client, 0.25).sum()) for client in range(CLIENTS))
    assert [one.counts.sum() for one in trained] == [certifying, certifying]


def test_a_publication_needs_the_extractor_of_those_only_who_lost_it(crowd, store, tmp_path):
    experiment = coded(lambdas=(1.0,))
    (one,) = server_of(experiment, crowd, tmp_path)(grid_of(store))
    groups, instruction = released_groups(one.groups), instruction_for(experiment, one.point)
    codes, whole = (sum(LocalArrays(groups[name]).count_bytes() for name in names) for names in (["codes"], groups))
    assert one.release_bytes == CLIENTS * codes

    def publish_again(folder, kept=True):
        grid = grid_of(store)
        traffic = publish(grid, take_roster(grid, CLIENTS), groups, instruction, 8, folder, 0.0, 60, kept=kept)
        return traffic.down, [part.read_bytes() for part in sorted(folder.glob("part-*"))]

    first = [part.read_bytes() for part in sorted(publication_at(tmp_path, 1.0).glob("part-*"))]
    assert publish_again(tmp_path / "sent", kept=False) == (CLIENTS * whole, first)
    shutil.rmtree(store.root / "extractors")  # all of them have lost it
    assert publish_again(tmp_path / "lost") == (CLIENTS * (codes + whole), first)
