"""Flower's own processes on this machine: a deployment with three real clients, and a run that fails."""

import contextlib
import socket
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from fl_tiprdc.command_line.flags import experiment_parser, read_run
from fl_tiprdc.config import Point
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.data.publication_store import read_store
from fl_tiprdc.deploy.certificates import LOOPBACK, make_certificates, make_node_key
from fl_tiprdc.deploy.emulated_hosts import EmulatedHosts, read_link
from fl_tiprdc.deploy.loopback import start_all
from fl_tiprdc.deploy.processes import CONNECTION, HOST, LoopbackDeployment
from fl_tiprdc.deploy.split import coordinator_folder, split
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_store import write_client_store
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.flower.commands import submit
from tests.conftest import serve
from tests.test_flower_apps import TINY, write_table

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]  # a busy machine takes minutes


def processes_of(home: Path) -> list[psutil.Process]:
    """Flower's processes that have this folder as their home, whoever started them."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("FLWR_HOME") == str(home):
                found.append(process)
    return found


def listening(home: Path) -> set[str]:
    """The addresses on which they listen."""
    found: set[str] = set()
    for process in processes_of(home):
        with contextlib.suppress(psutil.Error):
            found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return found


@pytest.fixture(params=["", "40ms,20mbit,1%"], ids=["one host", "hosts of their own"])
def hosts(request):
    """The clients' hosts; None: they are beside the server."""
    if not request.param:
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(EmulatedHosts(3, read_link(request.param)))
        except InputError as error:
            pytest.skip(str(error))
        yield made


def test_three_real_clients_train_the_model_of_a_simulation_and_a_stranger_is_turned_away(tmp_path, hosts):
    (tmp_path / "tiny.toml").write_text(TINY)
    table = [f"--{name}={value}" for name, value in write_table(tmp_path / "people.csv").items()]
    flags = [*table, "--clients=3", "--rounds=1", f"--config={tmp_path / 'tiny.toml'}"]
    experiment, population = read_run(experiment_parser("").parse_args(flags))
    split(experiment, population, tmp_path)
    (coordinator_folder(tmp_path) / "people.npz").unlink()  # what the audit does, other tests see
    keys = tmp_path / "keys"
    server = hosts.server if hosts else HOST
    make_certificates(keys, [*LOOPBACK, server])
    home = tmp_path / "flower"
    with LoopbackDeployment(home, keys, hosts) as deployment:
        start_all(deployment, 3, tmp_path)
        stranger = deployment.start_node(0, make_node_key(keys, "x"), tmp_path / "client-0", "stranger")
        run_config = {
            "clients": 3,
            "rounds": 1,
            "config": str(tmp_path / "tiny.toml"),
            "coordinator": str(coordinator_folder(tmp_path)),
            "output": str(tmp_path / "run"),
        }
        submit(run_config, CONNECTION, home=home)
        assert stranger.wait(30) != 0
        assert "Failed to activate SuperNode" in deployment.log("stranger").read_text()
        assert listening(home) == {server}  # of its own namespace
        with socket.create_connection((server, deployment.port)) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP/1.1 200")  # only TLS
    assert not processes_of(home)

    population = load_population("table", ("sex",), experiment.held_out, experiment.data)
    crowd, point = population.contributors, Point("tiprdc", 0.5, 0)
    parts = partition(crowd.private, 3, "iid", 0)
    write_client_store(tmp_path / "store", crowd.records(), parts, crowd.description, 0)
    simulated = launch(
        "inline",
        lambda grid: serve(grid, experiment, crowd.description, [point], lambda point: tmp_path / "inline"),
        tmp_path / "store",
    )[0]
    place = "federated/tiprdc/lam-0.5/seed-0"
    deployed = load_file(tmp_path / "run" / "extractors" / place / "extractor.safetensors")
    for name, value in simulated.groups["extractor"].items():
        np.testing.assert_allclose(deployed[name], value, atol=1e-5)
    client, _, z = read_store(tmp_path / "run" / "publication" / place)
    same, _, wanted = read_store(tmp_path / "inline")
    np.testing.assert_array_equal(client, same)
    np.testing.assert_allclose(z, wanted, atol=1e-4)  # the paper's release has no noise
