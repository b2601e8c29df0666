"""The benchmark measures what it says, and leaves its tables and figures."""

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import build_experiment, merge
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.federated.client_store import ClientStore
from fl_tiprdc.report.runtime_figures import runtimes_figure
from fl_tiprdc.report.style import save
from fl_tiprdc.studies import peers
from fl_tiprdc.studies.benchmark import compare_runtimes
from fl_tiprdc.studies.peers import PEERS
from fl_tiprdc.studies.protection_cost import PROTECTIONS, compare_protections
from fl_tiprdc.studies.timing import rounds_of, train_once
from fl_tiprdc.studies.workloads import CODES, DISTINCT, PAPER, PLUS, WIDTH, Workload, synthetic_store
from simulations import benchmark
from strategies.hybrid_strategy import Exchange


def test_the_synthetic_store_has_every_clients_records(tmp_path):
    synthetic_store(tmp_path / "s", 1203, 4)  # more than one piece, and the last one not full
    store = ClientStore(tmp_path / "s")
    assert len(store) == 1203
    first, last = store.records(0), store.records(1202)
    assert first.x.shape == last.x.shape == (4, WIDTH)
    assert not np.array_equal(last.x, first.x)
    again = store.records(1202 - DISTINCT)
    np.testing.assert_array_equal(last.x, again.x)
    np.testing.assert_array_equal(last.private, again.private)


def test_a_round_is_the_sum_of_its_exchanges():
    exchanges = [Exchange(i, r, "p", 1, 0, s, 0, 0) for i, (r, s) in enumerate([(1, 1.0), (1, 0.5), (2, 2.0)])]
    assert rounds_of(exchanges) == [1.5, 2.0]


@pytest.fixture
def crowd(tmp_path):
    """The store of a few clients with records enough to fit some codes."""
    synthetic_store(tmp_path / "crowd", 4, 160)
    return tmp_path / "crowd"


SMALL = {
    "clients": 4,
    "federation": {"updates_per_round": 2},
    "method": {"tiprdc+": {"closing_steps": 1}, "coded": {"local_rounds": 1, "coding": {"codes": 8}}},
}


@pytest.mark.timeout(600)  # the peer starts Flower's engine
def test_runtimes_are_compared_by_rounds_of_training(tmp_path, one_thread):
    def write(root):
        synthetic_store(root, 4, 160)

    workloads = [
        Workload("paper", PAPER, write, SMALL, peers=True),
        Workload("codes", CODES, write, SMALL),
    ]
    found = compare_runtimes(workloads, ["inline"], 2, Screen(quiet=True))
    assert list(found["runtime"]) == ["inline", *PEERS, "inline"]
    assert list(found["workload"].unique()) == ["paper", "codes"]
    assert (found["seconds"] > 0).all()
    assert (found["low"] <= found["seconds"]).all()
    assert (found["seconds"] <= found["high"]).all()
    np.testing.assert_allclose(found["overhead"], found["seconds"] / found["pure_compute"] - 1, rtol=0.05)
    assert (found["peak_mb"] > 100).all()
    save(runtimes_figure(found), tmp_path, "runtimes")
    assert (tmp_path / "runtimes.png").stat().st_size > 5000


def test_pfl_trains_the_model_of_a_plain_loop(tmp_path, monkeypatch, one_thread):
    pytest.importorskip("pfl")
    synthetic_store(tmp_path / "crowd", 4, 160)
    experiment = build_experiment({"clients": 4, "federation": {"rounds": 2}})
    work, sent = peers.perform, []

    def noting(store, instruction, groups, partitions):
        sent.append({f"{g}/{k}": np.array(v) for g, arrays in groups.items() for k, v in arrays.items()})
        return work(store, instruction, groups, partitions)

    monkeypatch.setattr(peers, "perform", noting)
    peers.plain_loop(experiment, tmp_path / "crowd", PAPER)
    peers._train(experiment, tmp_path / "crowd", PAPER, 1, tmp_path / "met", 0)
    plain, pfl = sent[:8], sent[8:]
    assert len(pfl) == 8
    assert all(np.array_equal(plain[0][key], pfl[0][key]) for key in plain[0])
    for key in plain[4]:  # after a round
        np.testing.assert_allclose(pfl[4][key], plain[4][key], atol=1e-6)
    assert any(not np.array_equal(plain[0][key], plain[4][key]) for key in plain[0])


def test_protections_are_compared_by_exchanges(crowd, one_thread):
    def exchanges_of(experiment):
        return train_once("inline", experiment, crowd, PLUS)

    settings = merge(SMALL, {"federation": {"rounds": 2}})
    found = compare_protections(settings, exchanges_of)
    assert len(found) == 2 * len(PROTECTIONS)  # phases
    assert set(found["protection"]) == set(PROTECTIONS)
    assert (found["mb_up"] > 0).all()


def test_more_and_more_clients_leave_a_table_and_a_figure(tmp_path, capsys, ray_session, one_thread):
    folder = tmp_path / "b"
    benchmark.main(["--parts", "scale", "--rounds", "2", "--counts", "100,120", "--output", str(folder)])
    scale = pd.read_csv(folder / "scale.csv")
    assert list(scale["clients"]) == [100, 120]
    assert (scale["question_seconds"] > 0).all()
    assert (scale["peak_mb"] > 100).all()
    assert (folder / "scale.png").stat().st_size > 5000
    assert "results:" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--parts", "x"], ["--runtimes", "x"], ["--rounds", "0"], ["--counts", "0,5"]])
def test_wrong_values_are_named_and_nothing_is_written(wrong, tmp_path):
    with pytest.raises(InputError, match=wrong[1].split(",")[0]):
        benchmark.main([*wrong, "--output", str(tmp_path / "b")])
    assert not list(tmp_path.iterdir())
