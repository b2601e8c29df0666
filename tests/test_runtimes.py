"""Every runtime trains the same model: that of a plain sequential loop."""

import numpy as np
import pytest

from fl_tiprdc.config import Point
from fl_tiprdc.data.publication_store import read_store
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.server_app import Trained
from tests.conftest import grid_of, initial_arrays, serve
from tests.sequential_reference import Reference

PARTITIONS = ("iid", "dirichlet:0.3", "by-private")
# with and without the channel for every objective: the paper's, ours, and each of them with the other's channel
METHODS = {
    "paper-with-channel": {
        "privacy": "negated-cross-entropy",
        "information": "jsd",
        "channel": True,
        "adversary_steps": 0,
        "exchange": "weights",
    },
    "paper-by-gradients": {"privacy": "negated-cross-entropy", "information": "jsd", "adversary_steps": 0},
    "plus-without-channel": {"channel": False},
    "plus-by-weights": {"exchange": "weights"},
    "pairs": {"information": "jsd-pairs", "adversary_steps": 2, "privacy": "maximum-entropy"},
    "infonce": {"information": "infonce", "exchange": "weights"},
}
CLIENT_BY_CLIENT = "client by client"  # as real clients train
NAMES = ("tiprdc", "tiprdc+", *METHODS)


def federate(runtime, experiment, store, population, folder, points) -> list[Trained]:
    def server(grid):
        return serve(
            grid,
            experiment,
            population.contributors.description,
            points,
            lambda point: folder / point.method / str(point.lam) / str(point.seed),
        )

    return server(grid_of(store)) if runtime == CLIENT_BY_CLIENT else launch(runtime, server, store.root, 2)


def largest_difference(a, b) -> float:
    assert {name: set(group) for name, group in a.items()} == {name: set(group) for name, group in b.items()}
    return max(float(np.abs(a[n][k] - b[n][k]).max(initial=0)) for n in a for k in a[n])


def expected(experiment, store, population, method):
    start = initial_arrays(population, experiment, method)
    reference = Reference(experiment, population.contributors.description, method, 0.5, 0, start)
    arrays = reference.train([store.records(i) for i in range(len(store))])
    assert largest_difference(arrays, start) > 1e-3  # something was learned
    return arrays


@pytest.mark.parametrize("partition", PARTITIONS)
def test_cohorts_on_ray_and_in_this_process_and_single_clients_equal_a_plain_loop(
    partition, small, make_store, population, tmp_path, ray_session, one_thread
):
    experiment = small(clients=7, partition=partition, methods=NAMES, method=METHODS)
    store = make_store(7, partition)
    assert len({len(store.records(i)) for i in range(7)}) > 1  # clients of unequal size: padding and masks
    points = [Point(name, 0.5, 0) for name in NAMES]
    cohort = federate("ray-cohort", experiment, store, population, tmp_path / "cohort", points)
    inline = federate("inline", experiment, store, population, tmp_path / "inline", points)
    single = federate(CLIENT_BY_CLIENT, experiment, store, population, tmp_path / "single", points)
    for name, *trained in zip(NAMES, cohort, inline, single, strict=True):
        wanted = expected(experiment, store, population, name)
        for one in trained:
            assert largest_difference(one.groups, wanted) < 1e-5, name


@pytest.mark.parametrize(
    ("exchange", "phases"),
    [
        ("weights", ["local-pretraining"] * 3 + ["local-training"] * 3),
        ("gradients", ["pretraining-gradient"] * 6 + ["adversary-gradient", "hybrid-gradient"] * 6),
    ],
)
def test_pretraining_comes_first_and_leaves_the_critic_alone(
    exchange, phases, small, make_store, population, tmp_path, ray_session, one_thread
):
    method = {"exchange": exchange, "pretraining": 1.0, "closing_steps": 0}
    experiment, store = small(methods=("tiprdc+",), method={"tiprdc+": method}), make_store(6, "by-private")
    points = [Point("tiprdc+", 0.5, 0)]
    cohort, inline = (
        federate(runtime, experiment, store, population, tmp_path / runtime, points)[0]
        for runtime in ("ray-cohort", "inline")
    )
    assert [one.phase for one in inline.exchanges] == phases
    assert largest_difference(cohort.groups, inline.groups) < 1e-5
    first = [one for one in inline.exchanges if "pretraining" in one.phase]
    assert {one.losses["information"] for one in first} == {0.0}


def test_flower_equals_the_others_and_publishes_the_same(small, make_store, population, tmp_path):
    experiment = small(clients=5, partition="dirichlet:0.3", methods=NAMES, method=METHODS)
    store = make_store(5, "dirichlet:0.3")
    points = [Point(name, 0.5, 0) for name in NAMES]
    flower = federate("flower", experiment, store, population, tmp_path / "flower", points)
    inline = federate("inline", experiment, store, population, tmp_path / "inline", points)
    single = federate(CLIENT_BY_CLIENT, experiment, store, population, tmp_path / "single", points)
    for name, a, b, c in zip(NAMES, flower, inline, single, strict=True):
        assert largest_difference(a.groups, b.groups) < 1e-5, name
        assert largest_difference(a.groups, c.groups) < 1e-5, name
        one = read_store(tmp_path / "flower" / name / "0.5" / "0")
        other = read_store(tmp_path / "single" / name / "0.5" / "0")
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
        if experiment.method_config(
            name
        ).channel:  # the same model to the last digit, so the same noise; without a channel z isn't normalized
            np.testing.assert_allclose(one[2], other[2], atol=1e-4)


def test_sampled_clients_are_the_same_in_every_runtime(
    small, make_store, population, tmp_path, ray_session, one_thread
):
    experiment = small(clients=6, federation={"clients_per_round": 3})
    store = make_store(6)
    points = [Point("tiprdc+", 0.5, 0)]
    a = federate("ray-cohort", experiment, store, population, tmp_path / "cohort", points)[0]
    b = federate("inline", experiment, store, population, tmp_path / "inline", points)[0]
    assert {exchange.clients for exchange in a.exchanges} == {3}
    assert largest_difference(a.groups, b.groups) < 1e-5
    other_seed = federate("inline", experiment, store, population, tmp_path / "2", [Point("tiprdc+", 0.5, 1)])[0]
    assert largest_difference(a.groups, other_seed.groups) > 1e-3
