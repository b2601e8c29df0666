"""What travels gives no secret away: whoever has read every message of a run guesses from them, and in vain.

The same guesses find everything out in a simulation, where all of it follows from the seed: they are worth something.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from flwr.app import ArrayRecord, Message, RecordDict
from rich.console import Console
from safetensors.numpy import load_file

from fl_tiprdc.config import Point
from fl_tiprdc.data.crowd import Description, Records
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.run import record_run
from fl_tiprdc.federated.checkpoint import read_checkpoint
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.client_store import ClientStore, Store, certifying_people, write_client_store
from fl_tiprdc.federated.local_work import publication_of
from fl_tiprdc.federated.node_store import NodeStore, write_node_store
from fl_tiprdc.federated.server_app import (
    exchanges_for,
    instruction_for,
    serve_point,
    settings_of,
    train_point,
    training_name,
)
from fl_tiprdc.flower.coordinator import coordinate, read_deployment, write_coordinator
from fl_tiprdc.flower.run_config import run_config_defaults
from fl_tiprdc.release.arrays import released_groups
from fl_tiprdc.secagg.masks import MaskStream
from fl_tiprdc.secagg.member import SumMember
from fl_tiprdc.secagg.messages import MaskRequest, Session
from fl_tiprdc.seeding import derive
from fl_tiprdc.wire.update_rows import flatten, stack
from strategies.differential_privacy import PrivateMean
from strategies.roster import take_roster
from strategies.server_draws import (
    SECRET_FILE,
    SecretDraws,
    SeededDraws,
    TrainingName,
    name_to_members,
    server_draws,
)
from tests.conftest import initial_arrays
from tests.inline_grid import InlineGrid
from tests.test_flower_apps import TINY, NodesGrid

CLIENTS, ASKED = 9, 6
NOISE, CLIP = 100.0, 1e-3  # in which everything else drowns: what is added to a model is the noise
POINT = Point("tiprdc", 0.5, 7)
NOISY = {
    "clients": CLIENTS,
    "federation": {"clients_per_round": ASKED, "rounds": 3, "allowed_failures": 0.34},
    "protection": {"noise": NOISE, "clip": CLIP, "secagg": True},
}


@dataclass
class Wire:
    """What was read on the way.

    Attributes:
        numbers: whole ones.
        texts: of any kind.
        data: the bytes of everything, one after the other.
        members: exchange -> who took part in its sum.
    """

    numbers: set[int] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    data: bytearray = field(default_factory=bytearray)
    members: dict[int, list[int]] = field(default_factory=dict)

    def read(self, content: RecordDict) -> None:
        """Note all that is in a message."""
        for record in content.values():
            if isinstance(record, ArrayRecord):
                for array in record.values():
                    self.data += array.data
                continue
            if "members" in record and "keys" in record:
                self.members[record["exchange"]] = list(record["members"])
            for value in record.values():
                for one in value if isinstance(value, list) else [value]:
                    self._note(one)

    def _note(self, value: object) -> None:
        if isinstance(value, bytes):
            self.data += value
            self.numbers |= {int.from_bytes(value), int.from_bytes(value, "little")}
            return
        if isinstance(value, int):
            self.numbers.add(value)
        if isinstance(value, str):
            self.texts.add(value)
        self.data += str(value).encode()

    def holds(self, secret: bytes) -> bool:
        """Whether a secret was in a message, as bytes, as a number or in hexadecimal."""
        forms = secret, secret.hex().encode(), str(int.from_bytes(secret)).encode(), secret[::-1]
        return any(form in self.data for form in forms)


class ReadGrid(InlineGrid):
    """Simulated clients whose messages are read."""

    def __init__(self, store: ClientStore) -> None:
        super().__init__(build_client_app(str(store.root)), store)
        self.wire = Wire()

    def answer_all(self, messages: list[Message], timeout: float | None) -> list[Message]:
        replies = super().answer_all(messages, timeout)
        for message in [*messages, *replies]:
            if not message.has_error():
                self.wire.read(message.content)
        return replies


class ReadNodes(NodesGrid):
    """Real clients whose messages are read."""

    def __init__(self, folders: list[Path]) -> None:
        run_config = run_config_defaults() | {"coordinator": "/somewhere"}
        super().__init__(run_config, len(folders), lambda client: {"data": str(folders[client])})
        self.wire = Wire()

    def send_and_receive(self, messages, *, timeout=None):
        sent = list(messages)
        for message in [*sent, *(replies := list(super().send_and_receive(sent, timeout=timeout)))]:
            if not message.has_error():
                self.wire.read(message.content)
        return replies


# ---- the server's secrets: its noise, and the coins that draw clients


def seeds_from(wire: Wire) -> set[int]:
    """Seeds that someone who has read all messages, and knows this code, can think of."""
    derived = {derive(number, "private", text) for number in {0, POINT.seed} for text in wire.texts}
    again = {derive(number, "private") for number in wire.numbers}
    return derived | again | {number for number in wire.numbers if number >= 0}


def trained(experiment, store, population, checkpoint=None, on_exchange=None):
    """A noisy training; what was read, and the noise of its first exchange."""
    grid, description = ReadGrid(store), population.contributors.description
    done = train_point(
        grid, take_roster(grid, CLIENTS), experiment, description, POINT, on_exchange, (0, 1), checkpoint
    )
    names = exchanges_for(experiment, POINT.method).turns[0].rules
    before, after = (flatten(stack([{name: done.passed[i][name] for name in names}]))[0] for i in (0, 1))
    return grid.wire, (after - before) * ASKED / (NOISE * CLIP)


def deployed(experiment):
    """The same experiment with real clients."""
    return experiment.model_copy(update={"runtime": "deployment"})


@pytest.mark.parametrize("real", [False, True], ids=["simulation", "deployment"])
def test_the_noise_and_who_is_drawn_follow_from_nothing_that_travels(real, small, make_store, population, one_thread):
    experiment, store = small(methods=(POINT.method,), **NOISY), make_store(CLIENTS)
    wire, noise = trained(deployed(experiment) if real else experiment, store, population)
    assert POINT.seed in wire.numbers
    assert any(text.startswith(training_name(experiment, POINT)) for text in wire.texts)
    assert abs(noise.std() - 1) < 0.1  # nothing else is in it
    guesses = [SeededDraws(seed) for seed in seeds_from(wire)]
    best = max(abs(float(np.corrcoef(noise, guess.noise(1, len(noise)))[0, 1])) for guess in guesses)
    roster = take_roster(ReadGrid(store), CLIENTS)
    drawn = [
        all(
            list(PrivateMean(experiment.protection, guess).draw(roster, number, ASKED, False).weights) == members
            for number, members in wire.members.items()
            if number <= NOISY["federation"]["rounds"]  # for the one after, all have met beforehand
        )
        for guess in guesses
    ]
    assert len(wire.members) >= 2
    if real:
        assert best < 0.3
        assert not any(drawn)
    else:
        assert best > 0.999
        assert any(drawn)


def test_a_seed_repeats_a_simulation_and_no_deployment(small, make_store, population, one_thread):
    experiment, store = small(methods=(POINT.method,), **NOISY), make_store(CLIENTS)
    one, same, real, other = (
        trained(each, fresh, population)
        for each, fresh in (
            (experiment, store),
            (experiment, store),
            (deployed(experiment), make_store(CLIENTS, "iid", 1)),  # with notes of their own of what they opened
            (deployed(experiment), make_store(CLIENTS, "iid", 2)),
        )
    )
    np.testing.assert_array_equal(one[1], same[1])
    assert one[0].members == same[0].members
    assert abs(float(np.corrcoef(real[1], other[1])[0, 1])) < 0.3
    assert real[0].members != other[0].members


def test_the_servers_secret_stays_with_it_and_an_interrupted_training_goes_on_with_the_same_clients(
    small, make_store, population, one_thread, tmp_path
):
    experiment, store = deployed(small(methods=(POINT.method,), **NOISY)), make_store(CLIENTS)
    checkpoint = tmp_path / "kept" / "training.safetensors"
    name = training_name(experiment, POINT)
    first = server_draws(experiment, name, checkpoint)
    kept = checkpoint.with_name(SECRET_FILE)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    secret = kept.read_bytes()
    assert len(secret) == 32
    assert str(secret) not in repr(first)
    again = server_draws(experiment, name, checkpoint)
    np.testing.assert_array_equal(first.coins(2, 50), again.coins(2, 50))
    assert not np.array_equal(first.coins(1, 50), first.coins(2, 50))
    assert abs(float(np.corrcoef(first.noise(2, 5000), again.noise(2, 5000))[0, 1])) < 0.1  # no sum has another's
    wire, _ = trained(experiment, store, population, checkpoint)
    assert kept.read_bytes() == secret
    assert not wire.holds(secret)
    other = server_draws(experiment, name, tmp_path / "another" / "training.safetensors")
    assert not np.array_equal(first.coins(2, 50), other.coins(2, 50))
    kept.write_bytes(secret[:9])
    with pytest.raises(InputError, match="is damaged: start without --resume"):
        server_draws(experiment, name, checkpoint)


def test_a_run_that_goes_on_keeps_the_name_that_members_know_and_no_other_run_has_it(small, tmp_path):
    experiment = small(methods=(POINT.method,))
    simulated = name_to_members(experiment, "t", tmp_path / "a" / "training.safetensors")
    assert simulated == TrainingName("t")
    real = deployed(experiment)
    one, again = (name_to_members(real, "t", tmp_path / "a" / "training.safetensors") for _ in range(2))
    other = name_to_members(real, "t", tmp_path / "b" / "training.safetensors")
    assert one.training == again.training != other.training
    assert one.training.startswith("t ")
    assert len({one.attempt, again.attempt, other.attempt}) == 3
    assert name_to_members(real, "t", None).training != name_to_members(real, "t", None).training


@pytest.mark.parametrize("real", [False, True], ids=["simulation", "deployment"])
def test_a_released_sum_is_not_released_again_with_other_noise(
    real, small, make_store, population, one_thread, tmp_path
):
    """Within a round, too, which is where a checkpoint of noise that repeats itself may lie behind."""
    changes = {**NOISY, "federation": {"rounds": 1, "updates_per_round": 2, "gradient_clients": ASKED}}
    experiment = small(methods=("tiprdc+",), **changes)
    experiment = deployed(experiment) if real else experiment
    point, path, store = Point("tiprdc+", 0.5, 7), tmp_path / "kept" / "training.safetensors", make_store(CLIENTS)

    def stop(point, exchange):
        if exchange.exchange == 2:
            raise KeyboardInterrupt

    def train(on_exchange=None):
        grid = ReadGrid(store)
        description = population.contributors.description
        return train_point(
            grid, take_roster(grid, CLIENTS), experiment, description, point, on_exchange, checkpoint=path
        )

    with pytest.raises(KeyboardInterrupt):
        train(stop)
    written = read_checkpoint(path, settings_of(experiment, point))
    assert (len(written[1]) if written else 0) == (2 if real else 0)
    total = len(exchanges_for(experiment, "tiprdc+"))
    assert [exchange.exchange for exchange in train().exchanges] == list(range(1, total + 1))


def test_a_server_of_real_clients_draws_from_its_system_and_keeps_no_secret(population, tmp_path):
    pytest.importorskip("opacus")
    crowd, clients = population.contributors, 3
    parts = partition(crowd.private, clients, "iid", 0)
    for i, rows in enumerate(parts):
        write_node_store(tmp_path / f"client-{i}", Records(crowd.x[rows], crowd.private[rows]), crowd.description)
    write_coordinator(tmp_path / "coordinator", crowd.description, None)
    (tmp_path / "tiny.toml").write_text(TINY)
    found = []
    for name in ("one", "other"):
        run_config = run_config_defaults() | {
            "clients": clients,
            "rounds": 1,
            "dp-noise": "1.0",
            "config": str(tmp_path / "tiny.toml"),
            "coordinator": str(tmp_path / "coordinator"),
            "output": str(tmp_path / name),
        }
        experiment, coordinator, output = read_deployment(run_config, tmp_path / "coordinator")
        assert isinstance(server_draws(experiment, "x", None), SecretDraws)
        grid = NodesGrid(run_config, clients, lambda client: {"data": str(tmp_path / f"client-{client}")})
        record_run(experiment, output, Console(), partial(coordinate, grid=grid, coordinator=coordinator))
        extractor = load_file(next((tmp_path / name).rglob("extractor.safetensors")))
        found.append(np.concatenate([value.ravel() for _, value in sorted(extractor.items())]))
    assert not np.allclose(*found)
    assert not list(tmp_path.rglob(SECRET_FILE))  # gone with the rest of what an unfinished run keeps


# ---- the clients' secrets: their keys, masks and shares, what certifies, the draws of a publication


@dataclass(frozen=True)
class Guessed:
    """A client's records, with a secret that somebody thinks is the client's."""

    store: Store
    guess: int

    @property
    def description(self) -> Description:
        return self.store.description

    def size(self, partition: int) -> int:
        return self.store.size(partition)

    def records(self, partition: int) -> Records:
        return self.store.records(partition)

    def secret(self, partition: int) -> int:
        return self.guess

    def certifying(self, partition: int, share: float) -> npt.NDArray[np.bool_]:
        return certifying_people(np.arange(self.size(partition)), self.guess, share)


def key_of(store: Store, client: int, **known) -> bytes:
    return SumMember(client, store.secret(client)).key


def session_of(store: Store, client: int) -> tuple[Session, list[SumMember]]:
    """A sum of a client and two others."""
    members = [SumMember(client, store.secret(client)), *(SumMember(100 + i, i) for i in range(2))]
    return Session("test", 7, 1, [client, 100, 101], [member.key for member in members], 3), members


def shares_of(store: Store, client: int, **known) -> bytes:
    session, members = session_of(store, client)
    return members[0].share(session).digest


def mask_of(store: Store, client: int, **known) -> bytes:
    session, members = session_of(store, client)
    shares = [member.share(session) for member in members]
    proofs = [proof for one in shares for proof in one.proofs]
    request = MaskRequest(session.members, [one.key for one in shares], proofs, [1.0] * 3, 0.0, False)
    words = np.zeros(50, np.uint64)
    members[0].mask(session, request, b"sent", words, MaskStream(50), {})
    return words.tobytes()


def certifying_of(store: Store, client: int, **known) -> bytes:
    return store.certifying(client, 0.5).tobytes()


def publication(store: Store, client: int, *, instruction, groups) -> bytes:
    return publication_of(store, client, instruction, groups).z.tobytes()


SECRETS: dict[str, Callable[..., bytes]] = {
    "key": key_of,
    "shares": shares_of,
    "mask": mask_of,
    "certifying": certifying_of,
    "publication": publication,
}


def secrets_from(wire: Wire, client: int) -> set[int]:
    """Secrets that someone who has read all messages, and knows this code, can think of for a client."""
    roots = {number for number in wire.numbers if number < 2**64} | {0}
    roots |= {derive(root, "client-secrets") for root in roots}
    return wire.numbers | roots | {derive(root, "client", client) for root in roots}


@pytest.fixture
def sides(tmp_path, small, population, one_thread):
    """Of a simulation and of a deployment of the same records and seed: the clients' stores, and what was read."""
    crowd, clients = population.contributors, 3
    parts = partition(crowd.private, clients, "iid", POINT.seed)
    write_client_store(tmp_path / "all", crowd.records(), parts, crowd.description, POINT.seed)
    folders = [tmp_path / f"client-{i}" for i in range(clients)]
    for folder, rows in zip(folders, parts, strict=True):
        write_node_store(folder, Records(crowd.x[rows], crowd.private[rows]), crowd.description)
    federation = {"rounds": 1, "clients_per_round": 0}
    experiment = small(clients=clients, methods=("tiprdc",), federation=federation, protection={"secagg": True})
    simulated = ClientStore(tmp_path / "all")
    found = []
    for grid, stores, each in (
        (ReadGrid(simulated), [simulated] * clients, experiment),
        (ReadNodes(folders), [NodeStore(folder, i) for i, folder in enumerate(folders)], deployed(experiment)),
    ):
        folder = tmp_path / f"release-{each.runtime}"
        serve_point(grid, lambda done: None, each, crowd.description, POINT, folder)
        found.append((stores, grid.wire))
    return found


def test_a_clients_secrets_follow_from_nothing_that_travels(sides, small, population):
    experiment = small(methods=("tiprdc+",))
    known = {
        "instruction": instruction_for(experiment, Point("tiprdc+", 0.5, POINT.seed)),
        "groups": released_groups(initial_arrays(population, experiment, "tiprdc+")),
    }
    for real, (stores, wire) in enumerate(sides):
        assert POINT.seed in wire.numbers
        for client in (0, 2):
            store = stores[client]
            guesses = [Guessed(store, secret) for secret in secrets_from(wire, client)]
            for name, secret_of in SECRETS.items():
                truth = secret_of(store, client, **known)
                hit = any(secret_of(guess, client, **known) == truth for guess in guesses)
                assert hit != bool(real), name


def test_nor_are_they_in_a_message_or_the_same_for_the_same_records(sides, population, tmp_path):
    stores, wire = sides[1]
    crowd = population.contributors
    for client, store in enumerate(stores):
        secret = store.secret(client)
        assert not wire.holds(secret.to_bytes(32))
        assert str(secret).encode() not in wire.data
        again = tmp_path / f"again-{client}"
        write_node_store(again, store.records(client), crowd.description)
        other = NodeStore(again, client)
        for secret_of in (key_of, shares_of, mask_of, certifying_of):
            assert secret_of(store, client) != secret_of(other, client)
