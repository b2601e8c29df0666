"""The apps that `flwr run` starts, here without Flower's processes: tests/test_processes.py has those."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flwr.app import Context, RecordDict
from flwr.serverapp import Grid

import fl_tiprdc.flower.commands as flower_commands
from fl_tiprdc.command_line.flags import experiment_parser, read_experiment
from fl_tiprdc.commands.run import main
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import InputError, RunFailedError
from fl_tiprdc.experiment.run_folder import ROOT, default_output
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.federated.local_messages import FIRST_NODE, answer, identify, stamp
from fl_tiprdc.flower.app_folder import app_table
from fl_tiprdc.flower.client import client_app
from fl_tiprdc.flower.run_config import ELSEWHERE, flags_of, read_run_config, run_config_defaults
from fl_tiprdc.flower.server import server_app
from fl_tiprdc.flower.simulated_clients import simulated_store

TINY = """
baselines = []
methods = ["tiprdc"]
lambdas = [0.5]
[network]
representation = 8
extractor_hidden = [24]
adversary_hidden = [16]
critic_hidden = [16]
critic_embedding = 8
[audit]
attackers = ["logistic"]
probes = ["logistic"]
bootstrap = 20
further = []
"""

OTHERS = {"output", "quick", "resume", "config"}  # that run.py has beside its settings


def write_table(path: Path, rows: int = 300) -> dict[str, str]:
    """A table of people, and the flags that name it."""
    draw = np.random.default_rng(0)
    sex, age = draw.integers(0, 2, rows), draw.normal(40, 10, rows).round(1)
    job = np.array(["cook", "clerk", "smith"])[(draw.random(rows) * 2 + sex * 0.9).astype(int)]
    rich = (age + 8 * sex + draw.normal(0, 6, rows) > 45).astype(int)
    frame = {"age": age, "job": job, "hours": draw.normal(30, 5, rows) + 4 * sex, "sex": np.array(["f", "m"])[sex]}
    pd.DataFrame(frame | {"rich": rich}).to_csv(path, index=False)
    return {"dataset": "table", "data": str(path), "private": "sex", "tasks": "rich"}


class NodesGrid(Grid):
    """Nodes that have a run config, as Flower's; nobody but them knows which client they are."""

    def __init__(self, run_config, clients, own=lambda client: {}):
        identify()
        self._run_config, self._clients, self._own = run_config, clients, own

    set_run = run = create_message = None

    def get_node_ids(self):
        return {FIRST_NODE + 7 * i for i in range(self._clients)}

    def push_messages(self, messages):
        self._replies = {reply.metadata.reply_to_message_id: reply for reply in self.send_and_receive(messages)}
        return list(self._replies)

    def pull_messages(self, message_ids):
        return [self._replies[number] for number in message_ids]

    def send_and_receive(self, messages, *, timeout=None):
        for message in reversed(list(messages)):
            node = message.metadata.dst_node_id
            client = (node - FIRST_NODE) // 7
            config = {"partition-id": client, "num-partitions": self._clients, **self._own(client)}
            yield answer(client_app, stamp(message), Context(1, node, config, RecordDict(), self._run_config))


@pytest.fixture
def run_config(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    own = {
        "clients": 3,
        **write_table(tmp_path / "people.csv"),
        "rounds": 1,
        "seeds": "4",
        "settings": "federated",
        "partition": "by-private",
        "config": str(tmp_path / "tiny.toml"),
        "output": str(tmp_path / "run"),
    }
    return run_config_defaults() | own


def test_the_projects_run_config_is_the_flags_of_run_py():
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert written == app_table(), "python -m fl_tiprdc.flower.app_folder prints what belongs there"
    flags = {key.replace("-", "_") for key in written["config"]} - {*OTHERS, "coordinator", "open_updates"}
    assert flags | set(ELSEWHERE) == set(vars(experiment_parser("").parse_args([]))) - OTHERS


def test_defaults_give_way_and_what_is_given_wins(tmp_path):
    defaults = run_config_defaults()
    assert flags_of(defaults) == []
    experiment, _, output = read_run_config(defaults | {"quick": True, "lambdas": 0.5, "clients": 7}, "flower")
    same = read_experiment(experiment_parser("").parse_args(["--quick", "--lambdas=0.5", "--clients=7"]))
    assert experiment == same.model_copy(update={"runtime": "flower"})
    assert experiment.federation.rounds == 4  # of --quick
    assert output == default_output(same)
    assert output.parent == ROOT / "results"
    assert output.name.startswith("adult-sex-iid-7-")  # with what tells --quick from a whole run
    assert read_run_config(defaults | {"output": "results/mine"}, "flower")[2] == ROOT / "results" / "mine"
    with pytest.raises(InputError, match="unknown method"):
        read_run_config(defaults | {"methods": "tiprdc,magic"}, "flower")


def test_simulated_clients_hold_what_run_py_gives_them(run_config, tmp_path):
    experiment, _, _ = read_run_config(run_config, "flower")
    crowd = load_population("table", ("sex",), experiment.held_out, experiment.data).contributors
    for seed in (0, 4):  # a run of several seeds asks for both
        parts = partition(crowd.private, 3, "by-private", seed)
        write_client_store(tmp_path / str(seed), crowd.records(), parts, crowd.description, seed)
        wanted, found = ClientStore(tmp_path / str(seed)), simulated_store(run_config, {"num-partitions": 3}, seed)
        assert found.description == wanted.description
        for i in range(3):
            assert found.size(i) == wanted.size(i)
            assert found.secret(i) == wanted.secret(i)
            np.testing.assert_array_equal(found.records(i).x, wanted.records(i).x)
            np.testing.assert_array_equal(found.records(i).private, wanted.records(i).private)


def test_the_server_app_leaves_what_run_py_leaves(run_config, tmp_path):
    server_app(NodesGrid(run_config, 3), Context(1, 1, {}, RecordDict(), run_config))
    flags = flags_of(run_config | {"output": str(tmp_path / "other")})
    main([*flags, "--runtime", "inline"])
    mine, other = tmp_path / "run", tmp_path / "other"
    names = [
        {str(path.relative_to(folder)).partition(".tfevents.")[0] for path in folder.rglob("*")}  # then comes a time
        for folder in (mine, other)
    ]
    assert names[0] == names[1]
    tables = [pd.read_csv(folder / "metrics.csv") for folder in (mine, other)]
    # stacked clients and single ones round differently: the last of six digits may differ
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=2e-6)
    assert 'runtime = "flower"' in (mine / "config.toml").read_text()


@pytest.mark.parametrize("nodes", [2, 4])
def test_a_federation_of_another_size_is_refused(nodes, run_config, tmp_path, capsys):
    with pytest.raises(InputError, match=f"has {nodes} nodes and the run 3 clients: --federation-config 'num-super"):
        server_app(NodesGrid(run_config, nodes), Context(1, 1, {}, RecordDict(), run_config))
    assert capsys.readouterr().err.startswith(f"failed: the federation has {nodes} nodes")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=f"{nodes} nodes and the run 3 clients"):
        simulated_store(run_config, {"num-partitions": nodes}, 0)


def stub(folder: Path, *lines: str) -> None:
    """Put a package in Flower's place, whose command `flwr` does so."""
    package = folder / "flwr" / "cli"
    package.mkdir(parents=True, exist_ok=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "app.py").write_text("\n    ".join(["import shutil, sys\ndef app():", *lines]) + "\n")


def run_that_is(status: str) -> tuple[str, ...]:
    """What Flower's own says; it ends with status 0 whatever happens."""
    runs = {"runs": [{"status": status, "status-details": "because"}]}
    return (
        "if sys.argv[1] == 'ls':",
        f"    print({json.dumps(runs)!r})",
        "else:",
        "    print('Successfully started run 42')",
        "    shutil.copy(sys.argv[6], 'run-config.toml')",
    )


def test_a_failed_run_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    stub(tmp_path, *run_that_is("finished:completed"))
    flower_commands.submit({"rounds": 1, "lambdas": "0.1,0.5"}, "somewhere")
    assert tomllib.loads(Path("run-config.toml").read_text()) == {"rounds": 1, "lambdas": "0.1,0.5"}
    assert "started run 42" in capfd.readouterr().out
    stub(tmp_path, *run_that_is("finished:failed"))
    with pytest.raises(RunFailedError, match="run 42 is finished:failed: because"):
        flower_commands.submit({"rounds": 1}, "somewhere")
    stub(tmp_path, "print('no such connection')", "sys.exit(1)")
    with pytest.raises(RunFailedError, match="started nothing: no such connection"):
        flower_commands.submit({}, "somewhere")


def test_a_wrong_value_fails_before_anything_starts(run_config):
    with pytest.raises(InputError):
        read_run_config(run_config | {"clients": 0}, "flower")
