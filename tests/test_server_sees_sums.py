"""With real clients the server's messages, log and disk hold no single client's numbers: all of it is read here."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from fl_tiprdc.data.crowd import Records
from fl_tiprdc.data.partition import partition
from fl_tiprdc.experiment.run_folder import config_text
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.node_store import NodeStore, write_node_store
from fl_tiprdc.flower.coordinator import write_coordinator
from fl_tiprdc.flower.packed import BYTES, PACKED, unpack
from fl_tiprdc.flower.run_config import run_config_defaults
from fl_tiprdc.flower.server import server_app
from fl_tiprdc.wire.messages import CONFIG, Instruction, unpack_groups
from tests.coded_crowd import coded
from tests.conftest import adult
from tests.test_flower_apps import FIRST_NODE, NodesGrid

CLIENTS = 3


class WatchedNodes(NodesGrid):
    """Real clients; notes what each says in plain numbers, and all that the server gets to read or has on its disk."""

    def __init__(self, run_config, stores: list[NodeStore], disk: Path) -> None:
        super().__init__(run_config, CLIENTS, lambda client: {"data": str(stores[client].root)})
        self._stores, self._disk = stores, disk
        self.plain: list[bytes] = []
        self.read = bytearray()

    def send_and_receive(self, messages, *, timeout=None):
        sent = list(messages)
        for message in sent:
            if message.metadata.message_type == "train":
                self._note(message)
        replies = list(super().send_and_receive(sent, timeout=timeout))
        for reply in replies:
            self.read += reply.content.config_records[PACKED][BYTES]
        for file in self._disk.rglob("*"):
            if file.is_file():
                self.read += file.read_bytes()
        return replies

    def _note(self, message) -> None:
        """What the client would say openly."""
        client = (message.metadata.dst_node_id - FIRST_NODE) // 7
        content = unpack(message.content)
        instruction = Instruction.unpack(content.config_records[CONFIG])
        update = perform(self._stores[client], instruction, unpack_groups(content), [client])[0]
        for arrays in update.groups.values():
            self.plain += [value.tobytes() for value in arrays.values() if len(np.unique(value)) > 3]


@pytest.mark.parametrize("openly", [False, True], ids=["default", "open updates"])
def test_the_server_reads_no_single_clients_numbers(openly, tmp_path, capfd):
    crowd = adult(1400, 10).contributors
    parts, stores = partition(crowd.private, CLIENTS, "iid", 0), []
    for i, rows in enumerate(parts):
        write_node_store(tmp_path / f"client-{i}", Records(crowd.x[rows], crowd.private[rows]), crowd.description)
        stores.append(NodeStore(tmp_path / f"client-{i}", i))
    server = tmp_path / "server"
    write_coordinator(server / "coordinator", crowd.description, None)
    experiment = coded(
        {"coupling_rounds": 1, "lloyd_rounds": 0}, clients=CLIENTS, lambdas=(1.0,), federation={"rounds": 2}
    )
    (tmp_path / "coded.toml").write_text(config_text(experiment))
    run_config = run_config_defaults() | {
        "config": str(tmp_path / "coded.toml"),
        "coordinator": str(server / "coordinator"),
        "output": str(server / "run"),
        "open-updates": openly,
    }
    grid = WatchedNodes(run_config, stores, server)
    server_app(grid, Context(1, 1, {}, RecordDict(), run_config))
    said = capfd.readouterr()
    read = bytes(grid.read) + (said.out + said.err).encode()
    assert len(grid.plain) > 20  # trainings' weights, sums of cells, shares and counts
    found = sum(one in read for one in grid.plain)
    assert found == (len(grid.plain) if openly else 0)
    summary = (server / "run" / "summary.json").read_text()
    assert "certified" in summary
