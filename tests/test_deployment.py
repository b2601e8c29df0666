"""Real clients: folders, secrets, keys, noise, and the server's part. Flower's processes: tests/test_processes.py."""

import json
import ssl
import stat
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from flwr.app import Context, RecordDict
from scipy import stats

from fl_tiprdc.config import DataConfig, Point
from fl_tiprdc.data.crowd import Records
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.described_table import records_of
from fl_tiprdc.data.publication_store import read_store
from fl_tiprdc.deploy.certificates import main as certificates_main
from fl_tiprdc.deploy.describe import main as describe_main
from fl_tiprdc.deploy.own_table import main as own_table_main
from fl_tiprdc.deploy.split import client_folder, coordinator_folder
from fl_tiprdc.deploy.split import main as split_main
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_app import require_noise
from fl_tiprdc.federated.local_work import publication_of
from fl_tiprdc.federated.node_store import NodeStore, write_node_store
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.flower.client import disk
from fl_tiprdc.flower.coordinator import read_coordinator, read_deployment
from fl_tiprdc.flower.run_config import run_config_defaults
from fl_tiprdc.flower.server import server_app
from fl_tiprdc.release.arrays import released_groups
from fl_tiprdc.release.draws import KeyedNoise
from tests.conftest import initial_arrays
from tests.test_flower_apps import TINY, NodesGrid, write_table


@pytest.fixture
def own(tmp_path, population):
    """A client's folder with 40 records."""
    crowd = population.contributors
    root = tmp_path / "own"
    write_node_store(root, Records(crowd.x[:40], crowd.private[:40]), crowd.description)
    return root


@pytest.fixture
def folders(tmp_path):
    """A data set, split for three clients and a coordinator."""
    root = tmp_path / "folders"
    table = write_table(tmp_path / "people.csv")
    flags = [f"--{name}={value}" for name, value in ({"methods": "tiprdc+"} | table).items()]  # codes need more people
    split_main(["--clients", "3", *flags, "--output", str(root)])
    return root


def test_a_clients_folder_is_its_owners_and_its_secret_stays(own, population):
    crowd = population.contributors
    store = NodeStore(own, 2)
    assert store.size(2) == 40
    np.testing.assert_array_equal(store.records(2).x, crowd.x[:40])
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE((own / "secret").stat().st_mode) == 0o600
    secret = store.secret(2)
    assert secret > 2**128  # of 256 bits from the operating system
    write_node_store(own, Records(crowd.x[:30], crowd.private[:30]), crowd.description)
    assert NodeStore(own, 2).secret(2) == secret
    with pytest.raises(InputError, match="this is client 2, not 0"):
        store.records(0)
    with pytest.raises(InputError, match="holds no client's records"):
        NodeStore(own / "nothing", 0)


def test_splitting_gives_each_client_its_own_and_the_server_none_of_it(folders, tmp_path):
    stores = [NodeStore(client_folder(folders, i), i) for i in range(3)]
    assert sum(store.size(i) for i, store in enumerate(stores)) == 240  # a fifth of 300 contributes nothing
    assert len({store.secret(i) for i, store in enumerate(stores)}) == 3
    coordinator = read_coordinator(coordinator_folder(folders))
    assert coordinator.description == stores[0].description
    sides = coordinator.people.contributors, coordinator.people.held_out
    assert [len(side) for side in sides] == [30, 30]
    assert not set(sides[0].participant.tolist()) & set(sides[1].participant.tolist())
    rows = {row.tobytes() for i, store in enumerate(stores) for row in store.records(i).x}
    assert not {row.tobytes() for side in sides for row in side.x} & rows
    with pytest.raises(InputError, match="is not empty"):
        split_main(["--clients", "3", "--output", str(folders)])
    with pytest.raises(InputError, match="no coordinator's folder"):
        read_coordinator(tmp_path)


def test_noise_follows_from_its_key_alone_and_is_normal():
    one, same, other = KeyedNoise(b"a"), KeyedNoise(b"a"), KeyedNoise(b"b")
    first = one((300, 32))
    assert torch.equal(first, same((300, 32)))
    assert not torch.equal(first, one((300, 32)))  # a second call draws on
    assert abs(float(np.corrcoef(first.ravel(), other((300, 32)).ravel())[0, 1])) < 0.05
    assert stats.kstest(KeyedNoise(b"c")((200, 100)).numpy().ravel(), "norm").pvalue > 1e-3
    # what it replaces: on a CPU, torch takes 32 bits of a seed
    seeds = (5, 5 + 2**40)
    assert torch.equal(*(torch.randn(4, generator=torch.Generator().manual_seed(seed)) for seed in seeds))


def test_a_release_follows_from_the_secret(own, population, small):
    experiment = small(methods=("tiprdc+",))
    groups = released_groups(initial_arrays(population, experiment, "tiprdc+"))
    instruction = instruction_for(experiment, Point("tiprdc+", 0.5, 0))
    z = publication_of(NodeStore(own, 2), 2, instruction, groups).z
    np.testing.assert_array_equal(z, publication_of(NodeStore(own, 2), 2, instruction, groups).z)
    (own / "secret").write_text(str(int((own / "secret").read_text()) ^ (1 << 200)))  # beyond 63 bits
    assert not np.allclose(z, publication_of(NodeStore(own, 2), 2, instruction, groups).z)


def test_a_client_has_a_least_noise_of_its_own(small):
    experiment = small(methods=("tiprdc", "tiprdc+", "coded"))
    noisy, bare, coded = (
        instruction_for(experiment, Point(method, 0.5, 0)) for method in ("tiprdc+", "tiprdc", "coded")
    )
    require_noise(noisy, ("extractor",), noisy.sigma)
    require_noise(bare, ("extractor",), 0.0)
    require_noise(coded, ("extractor", "codes"), 0.0)
    for instruction, groups, least in (
        (noisy, ("extractor",), 0.9),
        (bare, ("extractor",), 0.1),
        (coded, ("extractor", "codes"), 0.1),  # codes have no channel, whatever sigma the training had
    ):
        with pytest.raises(InputError, match="this client's least is"):
            require_noise(instruction, groups, least)


def test_the_noise_of_a_release_is_the_one_that_the_client_checked(own, population, small):
    """A server that names a method with less noise than the sigma it sends gets that sigma's noise all the same."""
    experiment = small(methods=("tiprdc+",))
    groups = released_groups(initial_arrays(population, experiment, "tiprdc+"))
    instruction = instruction_for(experiment, Point("tiprdc+", 0.5, 0))
    quiet = instruction.method_config().model_copy(update={"sigma_low": 0.0, "sigma_high": 0.0})
    lying = replace(instruction, method=quiet.model_dump_json())
    require_noise(lying, groups, instruction.sigma)
    honest, lied = (publication_of(NodeStore(own, 2), 2, asked, groups).z for asked in (instruction, lying))
    np.testing.assert_array_equal(honest, lied)


@pytest.mark.parametrize(
    ("node_config", "coordinator", "message"),
    [({"data": "/here"}, "", "the run is a simulation"), ({}, "/there", "no records of its own")],
)
def test_real_records_never_take_part_in_a_simulation(node_config, coordinator, message):
    run_config = run_config_defaults() | {"coordinator": coordinator}
    context = Context(1, 1, {"partition-id": 0, "num-partitions": 1, **node_config}, RecordDict(), run_config)
    with pytest.raises(InputError, match=message):
        disk(context, 0)


def test_certificates_and_keys(tmp_path, capsys):
    certificates_main([str(tmp_path), "--host", "superlink.example.org", "--nodes", "2"])
    assert "2 nodes' keys" in capsys.readouterr().out
    leaf = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["superlink.example.org", "localhost"]
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes()))
    ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    for name in ("ca.key", "server.key", "node-0", "node-1"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    private = load_ssh_private_key((tmp_path / "node-1").read_bytes(), None)
    assert private.public_key() == load_ssh_public_key((tmp_path / "node-1.pub").read_bytes())
    with pytest.raises(InputError, match="has an authority already"):
        certificates_main([str(tmp_path)])


def test_the_server_trains_over_real_clients_and_audits_people_of_its_own(folders, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    run_config = run_config_defaults() | {
        "clients": 3,
        "rounds": 1,
        "config": str(tmp_path / "tiny.toml"),
        "coordinator": str(coordinator_folder(folders)),
        "output": str(tmp_path / "run"),
    }
    grid = NodesGrid(run_config, 3, lambda client: {"data": str(client_folder(folders, client))})
    server_app(grid, Context(1, 1, {}, RecordDict(), run_config))
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert set(metrics["setting"]) == {"raw", "federated"}
    assert set(metrics["kind"]) == {"attack", "task"}
    client, _, z = read_store(tmp_path / "run" / "publication" / "federated" / "tiprdc" / "lam-0.5" / "seed-0")
    assert sorted(np.bincount(client)) == [80, 80, 80]
    assert z.shape == (240, 8)
    text = (tmp_path / "run" / "config.toml").read_text()
    assert 'runtime = "deployment"' in text
    assert 'private = [\n    "sex",\n]' in text


def test_a_server_without_people_of_its_own_leaves_what_it_has(folders, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    (coordinator_folder(folders) / "people.npz").unlink()
    run_config = run_config_defaults() | {
        "clients": 3,
        "rounds": 1,
        "config": str(tmp_path / "tiny.toml"),
        "coordinator": str(coordinator_folder(folders)),
        "output": str(tmp_path / "run"),
    }
    for _ in range(2):  # the second takes the first's place
        grid = NodesGrid(run_config, 3, lambda client: {"data": str(client_folder(folders, client))})
        server_app(grid, Context(1, 1, {}, RecordDict(), run_config))
    assert len(pd.read_csv(tmp_path / "run" / "metrics.csv")) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["points"] == []
    assert summary["bytes"]["publication"] > 0
    assert len(list((tmp_path / "run" / "publication").rglob("part-*.parquet"))) == 3
    assert len(list((tmp_path / "run").rglob("extractor.safetensors"))) == 1


def test_what_a_run_hides_is_what_the_clients_hide(folders, tmp_path):
    run_config = run_config_defaults() | {"clients": 3, "private": "race", "coordinator": str(folders / "coordinator")}
    with pytest.raises(InputError, match="the clients hide sex"):
        server_app(NodesGrid(run_config, 3), Context(1, 1, {}, RecordDict(), run_config))


def test_a_clients_own_table_is_encoded_by_the_coordinators_description(tmp_path, capsys):
    flags = write_table(tmp_path / "sample.csv")
    describe_main([*(f"--{name}={value}" for name, value in flags.items()), "--output", str(tmp_path / "coordinator")])
    description = tmp_path / "coordinator" / "description.json"
    coordinator = read_coordinator(tmp_path / "coordinator")
    assert sum(map(len, vars(coordinator.people).values())) == 300
    # the sample itself, by its description, is what loading it gives
    own_table_main([str(tmp_path / "sample.csv"), "--description", str(description), "--output", str(tmp_path / "own")])
    store = NodeStore(tmp_path / "own", 0)
    rows = {row.tobytes() for row in store.records(0).x}
    sides = vars(coordinator.people).values()
    assert {row.tobytes() for side in sides for row in side.x} == rows
    assert store.description == coordinator.description
    assert sorted(np.concatenate([side.private[:, 0] for side in sides])) == sorted(store.records(0).private[:, 0])
    # a client's: other columns, a missing private value, a job that nobody in the sample has
    table = "sex,age,job,hours,name\nf,30,cook,20,A\nm,50,pilot,,B\n,40,clerk,30,C\n"
    (tmp_path / "mine.csv").write_text(table)
    own_table_main([str(tmp_path / "mine.csv"), "--description", str(description), "--output", str(tmp_path / "mine")])
    assert "2 records, 1 rows without private values left out" in capsys.readouterr().out
    records = NodeStore(tmp_path / "mine", 0).records(0)
    assert records.private[:, 0].tolist() == [0, 1]
    column = next(column for column in store.description.columns if column.name == "job")
    assert records.x[:, column.span].sum(1).tolist() == [1, 0]
    (tmp_path / "mine.csv").write_text(table.replace("\nm,", "\nunheard,"))
    with pytest.raises(InputError, match=r"column 'sex', row 2 .* is none of f, m") as wrong:
        own_table_main([str(tmp_path / "mine.csv"), "--description", str(description), "--output", str(tmp_path / "b")])
    assert "unheard" not in str(wrong.value)
    assert not (tmp_path / "b").exists()


def test_numbers_are_private_above_and_below_the_descriptions_median(tmp_path):
    pd.DataFrame({"pay": range(1, 101), "age": range(100), "rich": [0, 1] * 50}).to_csv(tmp_path / "s.csv", index=False)
    data = DataConfig(file=tmp_path / "s.csv", tasks=("rich",), columns={"age": "number", "pay": "number"})
    with pytest.warns(UserWarning, match="split at the median"):
        crowd = load_population("table", ("pay",), 0.2, data).contributors
    frame = pd.DataFrame({"pay": [1, 99.5, 12.0], "age": [3, 4, 5]})
    assert records_of(frame, crowd.description).private[:, 0].tolist() == [0, 1, 0]


def test_real_clients_updates_are_summed_securely_unless_told_otherwise(folders):
    shared = run_config_defaults() | {"clients": 3, "coordinator": str(coordinator_folder(folders))}

    def deployed(**changes):
        return read_deployment(shared | changes, coordinator_folder(folders))[0].protection.secagg

    assert deployed()
    assert not deployed(**{"open-updates": True})
    assert not deployed(**{"open-updates": True, "aggregation": "median"})
    for changes in ({"aggregation": "median"}, {"clients": 2}):
        with pytest.raises(InputError, match=r"secagg .* --open-updates lets the server see each of them"):
            deployed(**changes)
