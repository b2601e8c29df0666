"""Clients that raise, actors that are killed, time that runs out, a cluster that is there already."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import ray
from flwr.app import Message

from fl_tiprdc.config import Point
from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.federated.cohort_grid import RayCohortGrid
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.local_messages import FIRST_NODE, RAISED
from fl_tiprdc.wire.messages import unpack_groups
from tests.conftest import break_client, grid_of, serve, train_messages

pytestmark = pytest.mark.alone  # it measures time

CLIENTS = 6


@pytest.fixture
def messages(small, population):
    """Makes one exchange's messages: messages(epochs)."""

    def make(epochs: int = 1) -> list[Message]:
        return train_messages(population, small(clients=CLIENTS, federation={"local_epochs": epochs}))

    return make


@pytest.fixture
def grid(make_store, ray_session):
    grid = RayCohortGrid(make_store(CLIENTS), actors=2)
    yield grid
    grid.close()


def by_client(replies) -> dict[int, Message]:
    return {reply.metadata.src_node_id - FIRST_NODE: reply for reply in replies}


def assert_same(reply: Message, other: Message) -> None:
    ours, theirs = unpack_groups(reply.content), unpack_groups(other.content)
    for name, group in theirs.items():
        for key, value in group.items():
            np.testing.assert_allclose(ours[name][key], value, atol=1e-5)


def test_a_client_that_raises_gets_an_error_and_does_not_spoil_its_cohort(make_store, messages, ray_session):
    store = make_store(CLIENTS)
    expected = by_client(grid_of(store).send_and_receive(messages()))
    break_client(store, 4)
    grid = RayCohortGrid(store, actors=1)  # one actor: all six clients in one cohort
    replies = by_client(grid.send_and_receive(messages()))
    grid.close()
    assert set(replies) == set(range(CLIENTS))
    assert replies[4].has_error()
    assert replies[4].error.code == RAISED
    assert "client 4: x has values that are not finite" in replies[4].error.reason
    for i in (0, 1, 2, 3, 5):
        assert_same(replies[i], expected[i])


@pytest.mark.parametrize("runtime", ["inline", "ray-cohort", "flower"])
def test_a_run_in_which_a_client_fails_ends_unless_that_is_allowed(
    runtime, small, make_store, population, tmp_path, request
):
    if runtime == "ray-cohort":
        request.getfixturevalue("ray_session")
    store = make_store(CLIENTS)
    break_client(store, 2)

    def run(allowed: float):
        experiment = small(clients=CLIENTS, federation={"allowed_failures": allowed, "rounds": 1})
        return launch(
            runtime,
            lambda grid: serve(
                grid, experiment, population.contributors.description, [Point("tiprdc", 0.5, 0)], lambda p: tmp_path
            ),
            store.root,
            2,
        )

    with pytest.raises(TooManyFailuresError, match="1 of 6 clients failed in exchange 1"):
        run(0.0)
    if runtime != "flower":
        assert run(0.2)[0].exchanges[0].failures == 1
        assert len(list(tmp_path.glob("part-*.parquet"))) == CLIENTS - 1


def test_a_killed_actor_is_replaced_and_its_clients_are_asked_again(grid, messages):
    quick = by_client(grid.send_and_receive(messages()))
    pids = grid.pids()
    killer = threading.Timer(1.0, os.kill, (pids[0], signal.SIGKILL))
    killer.start()
    began = time.monotonic()
    replies = by_client(grid.send_and_receive(messages(epochs=300)))
    assert time.monotonic() - began > 1.0  # the kill came in mid-round
    killer.join()
    assert not any(reply.has_error() for reply in replies.values())
    assert set(replies) == set(range(CLIENTS))
    after = grid.pids()
    assert pids[0] not in after
    again = by_client(grid.send_and_receive(messages()))
    for i in range(CLIENTS):
        assert_same(again[i], quick[i])


def test_a_timeout_returns_what_there_is_and_does_not_delay_the_next_exchange(grid, messages):
    grid.send_and_receive(messages())
    slow, fast = messages(epochs=100_000), messages()
    began = time.monotonic()
    replies = by_client(grid.send_and_receive([*fast[:3], *slow[3:]], timeout=3))
    assert 2.5 < time.monotonic() - began < 10
    assert set(replies) < set(range(CLIENTS))
    assert set(replies) <= {0, 1, 2}
    began = time.monotonic()
    assert len(list(grid.send_and_receive(messages()))) == CLIENTS
    assert time.monotonic() - began < 60  # new actors start; the abandoned work is not waited for


def test_nothing_listens_on_an_outside_address_and_there_is_no_dashboard(grid):
    import psutil

    driver = psutil.Process()
    family = [driver, *driver.children(recursive=True)]
    assert any("raylet" in process.name() for process in family)
    listening: list[str] = []
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            listening += [c.laddr.ip for c in process.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN]
    assert listening
    assert set(listening) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not ray._private.worker._global_node.webui_url


@pytest.mark.timeout(900)  # a busy machine takes minutes to start a cluster's processes
def test_joins_a_cluster_that_is_there(tmp_path, short_folder):
    """A cluster of its own processes, a run that joins it, and the cluster is still there afterwards."""
    ray.shutdown()  # two heads on one machine would share ports
    ray_command = str(Path(sys.executable).with_name("ray"))
    environment = {
        **os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_TMPDIR": short_folder,
        # Ray gives each client's server 30 s to start, which a busy machine needs for its imports alone
        "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "200", "TIMEOUT_FOR_SPECIFIC_SERVER_S": "240",
            "GRPC_ENABLE_FORK_SUPPORT": "0",  # with it the fork that becomes that server crashes now and then
    }  # fmt: skip
    port, client_port = "6391", "10001"
    with (tmp_path / "log").open("w") as log:
        head = subprocess.Popen(
            [ray_command, "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2",
             f"--ray-client-server-port={client_port}", "--include-dashboard=false", "--disable-usage-stats",
             "--block"],
            stdout=log, stderr=log, env=environment,
        )  # fmt: skip
        try:
            # the second run finds the cluster as the first one left it
            for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{client_port}"):
                code = f"from tests.test_faults import joined; joined({address!r}, {str(tmp_path)!r})"
                done = subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=400,
                    cwd=Path(__file__).resolve().parent.parent,
                )  # fmt: skip
                said = [
                    f.read_text()[-1000:] for f in Path(short_folder).glob("session_latest/logs/ray_client_server*.err")
                ]
                assert done.returncode == 0, (address, done.stderr[-2000:], (tmp_path / "log").read_text()[-500:], said)
                assert "trained 4 clients on a cluster" in done.stdout
                assert head.poll() is None
        finally:
            head.terminate()
            head.wait(30)


def joined(address: str, folder: str) -> None:
    """A small run on the cluster at `address`; in a process of its own."""
    from fl_tiprdc.config import build_experiment, merge
    from fl_tiprdc.data.datasets import load_population
    from fl_tiprdc.data.partition import partition
    from fl_tiprdc.experiment.parallel import as_done
    from fl_tiprdc.federated.client_store import write_client_store
    from tests.conftest import SMALL

    for _ in range(0 if address.startswith("ray://") else 60):  # until the cluster is there
        try:
            ray.init(address=address, log_to_driver=False)
            break
        except ConnectionError:
            time.sleep(1)
    ray.shutdown()
    crowd = load_population("adult", ("sex",), 0.2).contributors.take(np.arange(300))
    root = Path(folder) / "clients"
    write_client_store(root, crowd.records(), partition(crowd.private, 6, "iid", 0), crowd.description, 0)
    experiment = build_experiment(merge(SMALL, {"federation": {"rounds": 1}}))
    trained = launch(
        "ray-cohort",
        lambda grid: serve(
            grid, experiment, crowd.description, [Point("tiprdc+", 0.5, 0)], lambda p: Path(folder) / "p"
        ),
        root,
        0,
        address,
    )
    assert dict(as_done({"a": partial(max, 1, 2), "b": partial(max, 4, 3)}, address)) == {"a": 2, "b": 4}
    print(f"trained {trained[0].exchanges[0].clients} clients on a cluster")
