"""Clients keep the extractor of a question for the next ones: it crosses the wire once, unless somebody has lost it."""

import shutil

import numpy as np
import pytest

from fl_tiprdc.config import Point
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.kept_extractors import MOST_EXTRACTORS, KeptExtractors
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.codes import digest_of
from fl_tiprdc.release.statistics import Request
from strategies.code_questions import CodeQuestions
from strategies.hybrid_strategy import Exchange
from strategies.roster import take_roster
from tests.coded_crowd import CLIENTS, adult, coded, grid_of, store_of

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


def test_the_extractor_is_sent_once_and_again_to_who_lost_it(tmp_path):
    crowd, experiment = adult(600, 10).contributors, coded()
    store = store_of(crowd, tmp_path / "store")
    step = HybridStep(crowd.description, experiment.network, experiment.method_config("coded"))
    extractor = {name: value.numpy() for name, value in step.initial(0)["extractor"].items()}
    grid, exchanges = grid_of(store), list[Exchange]()
    roster = take_roster(grid, CLIENTS, seed=0)
    config = dict(instruction_for(experiment, Point("coded", 0.0, 0)).pack())
    asked = CodeQuestions(grid, roster, extractor, config, 0, experiment.federation, 0, exchanges.append, None)
    first, second = (asked.answer(COUNT)["counts"] for _ in range(2))
    shutil.rmtree(store.root / "extractors")
    third, fourth = (asked.answer(COUNT)["counts"] for _ in range(2))
    assert all(np.array_equal(first, other) for other in (second, third, fourth))
    assert first.sum() == 600
    size = CLIENTS * sum(value.nbytes for value in extractor.values())
    assert [exchange.bytes_down > size for exchange in exchanges] == [True, False, True, False]
    assert [exchange.exchange for exchange in exchanges] == [1, 2, 4, 5]  # the third was asked in vain
