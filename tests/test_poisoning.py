"""Hostile clients do what their kind says, rules ask for enough honest ones, and the study leaves its table."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import Point, build_experiment
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.hostile import KINDS, LEAK, SCALE, Asked, HostileGrid, hostile_clients
from fl_tiprdc.federated.local_grid import SingleProcessGrid
from fl_tiprdc.federated.local_messages import FIRST_NODE
from fl_tiprdc.federated.server_app import instruction_for, train_point
from fl_tiprdc.studies.poisoning import COLUMNS
from simulations import poisoning
from strategies.robust import AGGREGATIONS, check_aggregation
from strategies.roster import take_roster
from tests.conftest import initial_arrays

CLIENTS = 6


@pytest.fixture
def asked(small, make_store, population):
    """asked(phase): clients 1 and 4, at fresh parameters."""

    def make(phase: str) -> Asked:
        experiment = small(clients=CLIENTS)
        method = "tiprdc" if phase == "local-training" else "tiprdc+"
        instruction = replace(instruction_for(experiment, Point(method, 0.5, 0)), phase=phase)
        return Asked(make_store(CLIENTS), instruction, initial_arrays(population, experiment, method), (1, 4))

    return make


def moved(asked: Asked, update) -> dict[str, np.ndarray]:
    """Each group's update, [clients, numbers]."""
    return {
        group: np.concatenate(
            [(value - asked.origin(group, name)).reshape(len(value), -1) for name, value in arrays.items()], axis=1
        )
        for group, arrays in update.groups.items()
    }


@pytest.mark.parametrize("phase", ["local-training", "hybrid-gradient", "adversary-gradient"])
def test_what_hostile_clients_send(phase, asked, one_thread):
    one = asked(phase)
    honest = moved(one, one.honest())
    found = {kind: KINDS[kind](one) for kind in KINDS}
    for kind, update in found.items():
        assert (update.records, update.exchange) == (one.honest().records, one.instruction.exchange), kind
        assert {g: {n: v.shape for n, v in a.items()} for g, a in update.groups.items()} == {
            g: {n: v.shape for n, v in a.items()} for g, a in one.honest().groups.items()
        }
        assert all(v.dtype == np.float32 for a in update.groups.values() for v in a.values())
    for group, update in honest.items():
        np.testing.assert_allclose(moved(one, found["none"])[group], update)
        np.testing.assert_allclose(moved(one, found["sign-flip"])[group], -update, atol=1e-6)
        np.testing.assert_allclose(moved(one, found["scaled-update"])[group], -SCALE * update, atol=2e-5)
    # flipped labels turn what an adversary learns, and change nothing in what the records look like
    assert (moved(one, found["label-flip"])["adversary"] * honest["adversary"]).sum() < 0
    leak = moved(one, found["leak"])
    np.testing.assert_allclose(leak["adversary"], -honest["adversary"], atol=1e-6)
    if "extractor" in honest:
        norms = np.linalg.norm(leak["extractor"], axis=1) / np.linalg.norm(honest["extractor"], axis=1)
        np.testing.assert_allclose(norms, LEAK, rtol=1e-3)


def test_a_step_of_the_leaking_update_helps_the_adversary(asked, one_thread):
    one = asked("hybrid-gradient")
    before = float(one.honest().losses[:, 2].mean())
    step = {name: value.mean(0) for name, value in KINDS["leak"](one).groups["extractor"].items()}
    length = np.sqrt(sum((value**2).sum() for value in step.values()))
    extractor = {name: value - 0.3 * step[name] / length for name, value in one.groups["extractor"].items()}
    after = replace(one, groups={**one.groups, "extractor": extractor}).honest()
    assert float(after.losses[:, 2].mean()) < before  # lower cross-entropy: it leaks more


def test_only_hostile_clients_are_hostile_and_only_in_training(small, make_store, population, one_thread):
    store = make_store(CLIENTS)
    experiment = small(clients=CLIENTS, methods=("tiprdc",), federation={"rounds": 1})

    def sent(kind, *arguments) -> dict[int, np.ndarray]:
        updates = {}

        class Listening(kind):
            def answer_all(self, messages, timeout):
                replies = super().answer_all(messages, timeout)
                for reply in replies:
                    arrays = reply.content["extractor"].__dict__["arrays"].values()
                    updates[reply.metadata.src_node_id - FIRST_NODE] = np.concatenate([a.ravel() for a in arrays])
                return replies

        grid = Listening(store, *arguments)
        description = population.contributors.description
        train_point(grid, take_roster(grid, CLIENTS), experiment, description, Point("tiprdc", 0.5, 0))
        return updates

    honest, poisoned = sent(SingleProcessGrid), sent(HostileGrid, "sign-flip", {1, 4})
    different = {i for i in honest if not np.allclose(honest[i], poisoned[i], atol=1e-5)}
    assert different == {1, 4}
    grid = HostileGrid(store, "sign-flip", {1, 4})
    assert len(take_roster(grid, CLIENTS).partitions) == CLIENTS


def test_hostile_clients_are_a_share_that_a_seed_decides():
    assert hostile_clients(100, 0.2, 0) == hostile_clients(100, 0.2, 0) != hostile_clients(100, 0.2, 1)
    assert len(hostile_clients(100, 0.2, 0)) == 20
    assert hostile_clients(100, 0.0, 0) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"clients": 4}, "tiprdc may have 4 in an exchange, f = 1"),
        (
            {"methods": ("tiprdc+",), "federation": {"gradient_clients": 4}},
            r"tiprdc\+ may have 4 in an exchange, f = 1",
        ),
        ({"federation": {"clients_per_round": 10, "byzantine": 0.4}}, "10 in an exchange, f = 4"),
        ({"clients": 12, "federation": {"byzantine": 0.4, "allowed_failures": 0.1}}, "11 in an exchange, f = 5"),
    ],
)
def test_multi_krum_needs_enough_replies(changes, why):
    federation = {"aggregation": "multi-krum", **changes.get("federation", {})}
    with pytest.raises(InputError, match=f"multi-krum needs more than 2 f \\+ 2 replies.*{why}"):
        check_aggregation(build_experiment({**changes, "federation": federation}))
    check_aggregation(build_experiment({"federation": {"aggregation": "multi-krum"}}))
    for other in set(AGGREGATIONS) - {"multi-krum"}:
        check_aggregation(build_experiment({**changes, "federation": {**federation, "aggregation": other}}))


def test_the_study_leaves_a_table_and_goes_on_where_it_was(adult_is_small, one_process, tmp_path, capsys):
    (tmp_path / "small.toml").write_text(
        "clients = 10\n[federation]\nupdates_per_round = 2\ngradient_clients = 8\ngradient_records = 8\n"
        '[audit]\nattackers = ["logistic"]\nprobes = ["logistic"]\n'
        "[network]\nrepresentation = 8\nextractor_hidden = [24]\nadversary_hidden = [16]\ncritic_hidden = [16]\n"
    )
    flags = ["--config", str(tmp_path / "small.toml"), "--output", str(tmp_path / "p"), "--rounds", "1"]
    poisoning.main([*flags, "--kinds", "none,leak", "--rules", "mean,multi-krum"])
    table = pd.read_csv(tmp_path / "p" / "poisoning.csv")
    assert table[["kind", "rule"]].to_numpy().tolist() == [
        ["none", "mean"], ["none", "multi-krum"], ["leak", "mean"], ["leak", "multi-krum"]
    ]  # fmt: skip
    assert list(table.columns) == COLUMNS
    assert table["attack"].between(0.3, 1).all()
    assert table["retention"].between(-0.5, 1.5).all()
    assert "results:" in capsys.readouterr().out
    table.assign(seconds=-1.0).to_csv(tmp_path / "p" / "poisoning.csv", index=False)
    poisoning.main([*flags, "--kinds", "none,leak", "--rules", "mean"])
    again = pd.read_csv(tmp_path / "p" / "poisoning.csv")
    assert again["seconds"].tolist() == [-1, -1]  # no finished cell is done again
