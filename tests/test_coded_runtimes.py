"""Codes by every runtime and by secure aggregation: what is the same to the last bit, and what but for rounding."""

import shutil

import numpy as np
import pytest

from fl_tiprdc.config import FederationConfig, Point
from fl_tiprdc.data.publication_store import read_published_codes
from fl_tiprdc.evaluation.certified import certify_release
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.publication import Traffic, publish
from fl_tiprdc.federated.server_app import Trained, instruction_for
from fl_tiprdc.release.arrays import GroupArrays, released_groups
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.statistics import Request, couplings_as_arrays
from strategies.code_questions import CodeQuestions
from strategies.roster import take_roster
from strategies.server_draws import TrainingName
from strategies.update_protection import update_protection
from tests.coded_crowd import CODES, coded, publication_at, server_of, store_of
from tests.conftest import adult, grid_of
from tests.test_runtimes import largest_difference

CLIENTS, LAM = 6, 1.0
QUICK = {"lambdas": (LAM,), "federation": {"rounds": 1}}
FEW_QUESTIONS = {"coupling_rounds": 1, "lloyd_rounds": 0}


@pytest.fixture(scope="module")
def crowd():
    return adult(1000, 10).contributors


@pytest.fixture(scope="module")
def store(crowd, tmp_path_factory):
    return store_of(crowd, tmp_path_factory.mktemp("clients") / "store", spec="dirichlet:0.5")


@pytest.fixture(scope="module")
def inline(crowd, store, tmp_path_factory) -> tuple[Trained, np.ndarray]:
    """What a fit in this process ends with, and what was published."""
    folder = tmp_path_factory.mktemp("inline")
    (one,) = server_of(coded(FEW_QUESTIONS, **QUICK), crowd, folder)(grid_of(store))
    return one, read_published_codes(publication_at(folder, LAM))


def by_runtime(runtime, crowd, store, folder) -> tuple[Trained, np.ndarray]:
    (one,) = launch(runtime, server_of(coded(FEW_QUESTIONS, **QUICK), crowd, folder), store.root, 2)
    return one, read_published_codes(publication_at(folder, LAM))


def test_flower_publishes_the_codes_of_the_inline_runtime(inline, crowd, store, tmp_path):
    """Both work client by client: extractor, codes, counts and publication are the same to the last bit."""
    one, published = by_runtime("flower", crowd, store, tmp_path)
    assert one.groups.keys() == inline[0].groups.keys()
    assert largest_difference(one.groups, inline[0].groups) == 0
    assert np.array_equal(one.counts, inline[0].counts)
    assert np.array_equal(published, inline[1])


def test_ray_cohort_publishes_by_the_same_codes(inline, crowd, store, tmp_path, ray_session, one_thread):
    """It trains clients side by side, so that the extractor differs in its last bits, and so does what is drawn.

    Draws derive from the release, so that no two have any in common. By the same release every client has the same
    codes.
    """
    one, published = by_runtime("ray-cohort", crowd, store, tmp_path / "whole")
    assert (
        largest_difference({"extractor": one.groups["extractor"]}, {"extractor": inline[0].groups["extractor"]}) < 1e-5
    )
    assert largest_difference({"codes": one.groups["codes"]}, {"codes": inline[0].groups["codes"]}) < 1e-2
    assert np.array_equal(one.counts.sum(1), inline[0].counts.sum(1))  # certifying people of each class
    assert len(published) == len(inline[1])

    instruction = instruction_for(coded(FEW_QUESTIONS, **QUICK), inline[0].point)

    def publish_again(grid) -> Traffic:
        roster = take_roster(grid, CLIENTS)
        return publish(grid, roster, released_groups(inline[0].groups), instruction, 8, tmp_path / "again", 0.0, 60)

    launch("ray-cohort", publish_again, store.root, 2)
    assert np.array_equal(read_published_codes(tmp_path / "again"), inline[1])


# ---- secure aggregation


def counted(crowd, store, groups: GroupArrays, secagg: bool) -> dict[str, np.ndarray]:
    """The answers to some questions about the same codes, with or without secure aggregation."""
    experiment = coded(FEW_QUESTIONS, **QUICK, protection={"secagg": secagg})
    grid = grid_of(store)
    roster, point = take_roster(grid, CLIENTS), Point("coded", LAM, 0)
    shutil.rmtree(store.root / "opened", ignore_errors=True)
    classes = {"classes": np.array([2], np.float32)}
    codes = Codes.of_arrays(groups["codes"])
    cells = {"cells": codes.codewords[None], "group": np.zeros(2, np.float32)}
    shares = {
        "codewords": codes.codewords,
        "potentials": codes.potentials[None],
        "temperature": np.array(codes.temperature, np.float32),
        "group": codes.group.astype(np.float32),
    }
    requests = [
        Request("class-counts", classes, {"counts": (2, 2)}),
        Request("cells", cells, {"counts": (1, CODES), "points": (1, CODES, 8)}),
        Request("shares", shares, {"shares": (1, 2, CODES)}),
        Request("code-counts", {**classes, **couplings_as_arrays([codes])}, {"counts": (1, 2, CODES)}),
    ]
    federation: FederationConfig = experiment.federation
    protected = update_protection(experiment.protection, roster, TrainingName(f"test {secagg}"), 0, federation)
    config = dict(instruction_for(experiment, point).pack())
    found: dict[str, np.ndarray] = {}
    crowd = CodeQuestions(grid, roster, groups["extractor"], config, 0, federation, 0, lambda exchange: None, protected)
    for request in requests:
        sums = crowd.answer(request)
        found |= {f"{request.name}/{name}": np.asarray(value) for name, value in sums.items()}
    return found


def test_secure_aggregation_gives_the_same_counts_of_the_same_codes(inline, crowd, store):
    """Counts are whole numbers, which fixed point keeps: they are equal. Other sums are equal but for rounding."""
    one, _ = inline
    openly, secretly = (counted(crowd, store, released_groups(one.groups), secagg) for secagg in (False, True))
    for name in ("class-counts/counts", "cells/counts", "code-counts/counts"):
        assert np.array_equal(np.rint(openly[name]), np.rint(secretly[name])), name
        np.testing.assert_allclose(openly[name], np.rint(openly[name]), atol=1e-9)
        np.testing.assert_allclose(secretly[name], openly[name], atol=1e-3)
    for name in ("cells/points", "shares/shares"):
        np.testing.assert_allclose(secretly[name], openly[name], atol=1e-3, rtol=1e-5)
    counts = [np.rint(one["code-counts/counts"][0]).astype(np.int64) for one in (openly, secretly)]
    assert np.array_equal(counts[0], one.counts)
    where = ("federated", "coded", LAM, 0)
    certificates = [certify_release(where, each, crowd.description.attributes, 0.05).as_record() for each in counts]
    assert certificates[0] == certificates[1]


def test_a_whole_fit_by_secure_aggregation_gives_nearly_the_same_codes(inline, crowd, store, tmp_path):
    """The extractor differs in its last bits, so codes do, and draws are others: as between runtimes."""
    shutil.rmtree(store.root / "opened", ignore_errors=True)
    experiment = coded(FEW_QUESTIONS, **QUICK, protection={"secagg": True})
    (secure,) = server_of(experiment, crowd, tmp_path)(grid_of(store))
    one, published = inline
    assert largest_difference({"e": secure.groups["extractor"]}, {"e": one.groups["extractor"]}) < 1e-5
    assert largest_difference({"c": secure.groups["codes"]}, {"c": one.groups["codes"]}) < 1e-2
    assert np.array_equal(secure.counts.sum(1), one.counts.sum(1))
    assert {exchange.clients for exchange in secure.exchanges} == {CLIENTS}
    assert len(read_published_codes(publication_at(tmp_path, LAM))) == len(published)
