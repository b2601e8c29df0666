"""The benchmark measures what it says, and leaves its tables and figures."""

import numpy as np
import pandas as pd
import pytest

import simulations.benchmark as benchmark
import simulations.protection_cost as protection_cost
from fl_tiprdc.config import build_experiment, merge
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_store import ClientStore
from strategies.hybrid_strategy import Exchange


def test_the_synthetic_store_has_every_clients_records(tmp_path):
    benchmark.synthetic_store(tmp_path / "s", 1203, 4)  # more than one piece, and the last one not full
    store = ClientStore(tmp_path / "s")
    assert len(store) == 1203
    first, last = store.records(0), store.records(1202)
    assert first.x.shape == last.x.shape == (4, benchmark.WIDTH)
    np.testing.assert_allclose(np.sort(last.x[:, 0]), np.sort(first.x[:, 0]))
    assert not np.array_equal(last.x, first.x)


def test_a_round_is_the_sum_of_its_exchanges():
    exchanges = [Exchange(i, r, "p", 1, 0, s, 0, 0) for i, (r, s) in enumerate([(1, 1.0), (1, 0.5), (2, 2.0)])]
    assert benchmark.rounds_of(exchanges) == [1.5, 2.0]


@pytest.mark.timeout(900)  # it starts Ray once for each count and protection
def test_tables_and_figures(tmp_path, monkeypatch, capsys, ray_session, one_thread):
    def small_store(root):
        benchmark.synthetic_store(root, 4, 40)

    monkeypatch.setattr(benchmark, "CLIENTS", 4)
    monkeypatch.setattr(benchmark, "ROWS", 40)
    monkeypatch.setattr(benchmark, "adult_store", small_store)
    # two updates a round and one towards the end, where there are forty and more
    few = {"federation": {"updates_per_round": 2}, "method": {"tiprdc+": {"closing_steps": 1}}}
    for module in (benchmark, protection_cost):
        monkeypatch.setattr(module, "build_experiment", lambda settings: build_experiment(merge(settings, few)))
    benchmark.main(
        ["--runtimes", "inline,ray-cohort", "--rounds", "2", "--counts", "4,8", "--output", str(tmp_path / "b")]
    )
    runtimes = pd.read_csv(tmp_path / "b" / "runtimes.csv")
    assert list(runtimes["runtime"]) == ["inline", "ray-cohort", *benchmark.PEERS, "inline", "ray-cohort"]
    assert (runtimes["seconds"] > 0).all()
    assert (runtimes["low"] <= runtimes["seconds"]).all()
    assert (runtimes["seconds"] <= runtimes["high"]).all()
    np.testing.assert_allclose(runtimes["overhead"], runtimes["seconds"] / runtimes["pure_compute"] - 1, rtol=0.05)
    scale = pd.read_csv(tmp_path / "b" / "scale.csv")
    assert list(scale["clients"]) == [4, 8]
    assert (scale["peak_mb"] > 100).all()
    protection = pd.read_csv(tmp_path / "b" / "protection.csv")
    assert len(protection) == 2 * len(protection_cost.PROTECTIONS)  # phases
    assert set(protection["protection"]) == set(protection_cost.PROTECTIONS)
    assert (protection["mb_up"] > 0).all()
    for name in ("runtimes", "scale"):
        assert (tmp_path / "b" / f"{name}.png").stat().st_size > 5000
    assert "results:" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--parts", "x"], ["--runtimes", "x"], ["--rounds", "0"], ["--counts", "0,5"]])
def test_wrong_values_are_named_and_nothing_is_written(wrong, tmp_path):
    with pytest.raises(InputError, match=wrong[1].split(",")[0]):
        benchmark.main([*wrong, "--output", str(tmp_path / "b")])
    assert not list(tmp_path.iterdir())
