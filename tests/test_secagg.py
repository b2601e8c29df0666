"""Secure aggregation: single updates look random, their sum is exact, a third may drop, a lying server gets nothing."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord
from scipy.stats import chisquare, kstest

from fl_tiprdc.config import Point
from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.launch import launch
from fl_tiprdc.federated.local_messages import FIRST_NODE, stamp
from fl_tiprdc.federated.server_app import Trained, train_point
from fl_tiprdc.secagg.fixed_point import FRACTION_BITS, LARGEST, decode, encode
from fl_tiprdc.secagg.masks import MaskStream
from fl_tiprdc.secagg.member import FileLedger, SumMember
from fl_tiprdc.secagg.messages import KEYS, OPEN, SHARES, MaskedUpdate, MaskRequest, OpenRequest, Session
from fl_tiprdc.secagg.sharing import COEFFICIENT_BYTES, combine, split
from fl_tiprdc.wire.messages import LocalArrays, pack_arrays
from strategies.roster import take_roster
from tests.inline_grid import InlineGrid
from tests.test_runtimes import largest_difference

NUMBERS = 5000
COUNT = 9  # of which six must stay


def session_of(members: list[SumMember], exchange: int = 1, threshold: int = 6) -> Session:
    return Session("test", 0, exchange, list(range(len(members))), [m.key for m in members], threshold)


def request_for(members: list[SumMember], session: Session) -> tuple[MaskRequest, list]:
    shares = [member.share(session) for member in members]
    proofs = [proof for one in shares for proof in one.proofs]
    ones = [1.0] * len(members)
    return MaskRequest(list(session.members), [one.key for one in shares], proofs, ones, 0.0, False), shares


@pytest.fixture(scope="module")
def members() -> list[SumMember]:
    return [SumMember(i, 1000 + i) for i in range(COUNT)]


def masked(member: SumMember, session: Session, request: MaskRequest, values: np.ndarray, transcript=b"sent"):
    words = encode(values)
    member.mask(session, request, transcript, words, MaskStream(len(words)), {})
    return words


# ---- parts


def _combined(shares: dict[int, bytes]) -> bytes | None:
    try:
        return combine(shares)
    except ValueError:
        return None


def test_shares_give_the_secret_to_as_many_as_the_threshold_and_nothing_to_fewer():
    generator = np.random.default_rng(0)
    for threshold, count in ((3, 3), (4, 7), (14, 20)):
        secret = generator.bytes(16)
        shares = split(secret, threshold, count, generator.bytes(COEFFICIENT_BYTES * (threshold - 1)))
        some = generator.choice(count, threshold, replace=False).tolist()
        assert combine({i + 1: shares[i] for i in some}) == secret
        assert _combined(dict(enumerate(shares[: threshold - 1], 1))) != secret
        others = split(generator.bytes(16), threshold, count, generator.bytes(COEFFICIENT_BYTES * (threshold - 1)))
        assert _combined({1: others[0], **{i + 1: shares[i] for i in range(1, threshold)}}) != secret
    # one share fewer: for any other secret there is a polynomial through the same shares
    shares = split(bytes(16), 2, 3, (5).to_bytes(32))
    assert shares[0] == split((4).to_bytes(16), 2, 3, (1).to_bytes(32))[0]


def test_fixed_point_is_exact_to_its_precision_and_never_grows():
    values = np.random.default_rng(1).normal(size=(7, 1000)) * 100
    words = encode(values)
    assert np.abs(decode(words.sum(axis=0, dtype=np.uint64), 7) - values.sum(axis=0)).max() < 7 * 2.0**-FRACTION_BITS
    assert (np.abs(decode(words[0], 1)) <= np.abs(values[0])).all()
    with pytest.raises(ValueError, match="not finite"):
        encode(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="too large"):
        encode(np.array([1.5 * LARGEST]))
    with pytest.raises(ValueError, match="out of range"):
        decode(np.array([1 << 62], dtype=np.uint64), 3)


# ---- what the server sees


def test_a_masked_update_is_indistinguishable_from_random(members):
    session = session_of(members)
    request, _ = request_for(members, session)
    words = masked(members[2], session, request, np.full(NUMBERS, 0.25))  # the same number everywhere
    counts = np.bincount(words.view(np.uint8), minlength=256)
    assert chisquare(counts).pvalue > 1e-4
    assert kstest(words / 2.0**64, "uniform").pvalue > 1e-4
    for shift in range(8):  # every byte of the words, also those that fixed point leaves empty
        assert chisquare(np.bincount((words >> np.uint64(8 * shift)).astype(np.uint8), minlength=256)).pvalue > 1e-4
    assert abs(np.corrcoef(words[:-1] / 2.0**64, words[1:] / 2.0**64)[0, 1]) < 0.06


def test_the_same_update_twice_gives_unrelated_words(members):
    values = np.random.default_rng(2).normal(size=NUMBERS)
    seen = []
    for session, transcript in (
        (session_of(members, 1), b"sent"),
        (session_of(members, 2), b"sent"),  # the next exchange
        (session_of(members, 1), b"another model"),
    ):
        request, _ = request_for(members, session)
        seen.append(masked(members[4], session, request, values, transcript))
    for a in range(3):
        for b in range(a):
            difference = seen[a] - seen[b]
            assert kstest(difference / 2.0**64, "uniform").pvalue > 1e-4
            assert chisquare(np.bincount(difference.view(np.uint8), minlength=256)).pvalue > 1e-4


def test_nor_do_all_but_one_member_and_the_server_together_see_it_before_it_is_opened(members):
    """The pairs' masks taken off by those who know them, what is left has the self-mask."""
    session = session_of(members)
    request, _ = request_for(members, session)
    zero, values = np.zeros(NUMBERS), np.full(NUMBERS, 3.0)
    total = sum((masked(m, session, request, zero) for m in members[1:]), masked(members[0], session, request, values))
    assert kstest(total / 2.0**64, "uniform").pvalue > 1e-4


# ---- what a member refuses


def test_a_member_refuses_sessions_that_would_not_hide_it(members):
    good = session_of(members)
    request, shares = request_for(members, good)
    ledger: dict[str, str] = {}
    stayed = OpenRequest(list(range(9)), [True] * 9, [one.sealed[0] for one in shares])
    wrong = {
        "two members": session_of(members[:2], threshold=2),
        "threshold of half": session_of(members[:8], threshold=4),
        "a member twice": replace(good, members=[0, 1, 1, 3, 4, 5, 6, 7, 8]),
        "not a member": replace(good, members=list(range(1, 10))),
        "another key for it": replace(good, keys=[members[1].key, *good.keys[1:]]),
        "no threshold": replace(good, threshold=1),
    }
    for session in wrong.values():
        words = encode(np.zeros(4))
        with pytest.raises(ValueError, match=r"a sum must|the threshold|is no member"):
            members[0].share(session)
        with pytest.raises(ValueError, match=r"a sum must|the threshold|is no member"):
            members[0].mask(session, request, b"", words, MaskStream(4), {})
        with pytest.raises(ValueError, match=r"a sum must|the threshold|is no member"):
            members[0].open(session, stayed, ledger)
    assert not ledger


def test_a_key_that_the_server_made_up_is_refused(members):
    session = session_of(members)
    request, _ = request_for(members, session)
    forged = replace(request, keys=[*request.keys[:3], members[0].key, *request.keys[4:]])
    with pytest.raises(ValueError, match="the key of client 3 isn't its own"):
        masked(members[0], session, forged, np.zeros(4))
    alone = replace(request, present=[0, 1], keys=request.keys[:2], proofs=request.proofs[:18])
    with pytest.raises(ValueError, match="2 members are present; 6 must be"):
        masked(members[0], session, alone, np.zeros(4))


def test_a_member_opens_one_sum_of_an_exchange(members, tmp_path):
    path = tmp_path / "opened" / "0"
    session, ledger = session_of(members), FileLedger(path)
    _, shares = request_for(members, session)
    sealed = [one.sealed[0] for one in shares]
    everybody = OpenRequest(list(range(9)), [True] * 9, sealed)
    first = members[0].open(session, everybody, ledger)
    assert members[0].open(session, everybody, FileLedger(path)) == first  # asked again after a lost answer
    without = replace(everybody, stayed=[True] * 8 + [False])
    with pytest.raises(ValueError, match="has opened another sum"):
        members[0].open(session, without, ledger)
    smaller = session_of(members[:8])
    with pytest.raises(ValueError, match="has opened another sum"):  # nor by another session of the same exchange
        members[0].open(smaller, OpenRequest(list(range(8)), [True] * 8, sealed[:8]), ledger)
    next_session = session_of(members, 2)
    _, shares = request_for(members, next_session)
    members[0].open(next_session, replace(without, sealed=[one.sealed[0] for one in shares]), ledger)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"stayed": [True] * 5 + [False] * 4}, "5 stayed; 6 must"),
        ({"stayed": [False] + [True] * 8}, "and this one"),
        ({"members": [0, 1, 1, 3, 4, 5, 6, 7, 8]}, "once"),
        ({"members": [0, 1, 2, 3, 4, 5, 6, 7, 99]}, "once"),
    ],
)
def test_a_member_refuses_to_open_what_is_no_sum(change, why, members):
    session = session_of(members)
    _, shares = request_for(members, session)
    request = OpenRequest(list(range(9)), [True] * 9, [one.sealed[0] for one in shares])
    with pytest.raises(ValueError, match=why):
        members[0].open(session, replace(request, **change), {})


def test_a_member_masks_one_update_in_a_session(members):
    """Who had it mask two, with other members present, could open both by the seeds that open one."""
    session = session_of(members)
    request, _ = request_for(members, session)
    fewer = MaskRequest(
        request.present[:-1], request.keys[:-1], request.proofs[: -len(members)], request.weights[:-1], 0.0, False
    )
    ledger, words = {}, encode(np.zeros(4))

    def mask(asked, transcript):
        members[0].mask(session, asked, transcript, words, MaskStream(4), ledger)

    mask(request, b"all of them")
    mask(request, b"all of them")  # a process that died is asked again
    with pytest.raises(ValueError, match="has masked another update in this session"):
        mask(fewer, b"one fewer")


def test_shares_of_others_are_sealed(members):
    session = session_of(members)
    _, shares = request_for(members, session)
    swapped = [one.sealed[1] for one in shares]  # what was sealed for member 1
    swapped[0] = b""
    with pytest.raises(InvalidTag):
        members[0].open(session, OpenRequest(list(range(9)), [True] * 9, swapped), {})


# ---- trainings


class Faulty(InlineGrid):
    """Clients that are lost in a step: `lost` says which kinds of message a client doesn't answer."""

    def __init__(self, store, lost: dict[str, set[int]], spoil=None) -> None:
        super().__init__(build_client_app(str(store.root)), store)
        self.lost, self.spoil = lost, spoil
        self.asked: list[tuple[str, list[int]]] = []  # kind of messages, and clients
        self.words: list[np.ndarray] = []

    def answer_all(self, messages, timeout):
        if messages:
            nodes = [message.metadata.dst_node_id for message in messages]
            self.asked.append((messages[0].metadata.message_type, [node - FIRST_NODE for node in nodes]))
        kept = [
            m
            for m in messages
            if m.metadata.dst_node_id - FIRST_NODE not in self.lost.get(m.metadata.message_type, set())
        ]
        replies = super().answer_all(kept, timeout)
        for reply in replies:
            if not reply.has_error() and "masked" in reply.content:
                self.words.append(reply.content["masked"]["words"].numpy())
            if self.spoil:
                self.spoil(reply)
        return replies


def train(grid, small, population, method="tiprdc+", clients=9, **changes) -> Trained:
    federation = {"rounds": 1, "gradient_clients": 0, "allowed_failures": 0.34, **changes.pop("federation", {})}
    experiment = small(clients=clients, methods=(method,), federation=federation, **changes)
    description = population.contributors.description
    shutil.rmtree(grid.store.root / "opened", ignore_errors=True)  # another training than the one before
    return train_point(grid, take_roster(grid, clients), experiment, description, Point(method, 0.5, 0))


SECAGG = {"secagg": True}


@pytest.mark.parametrize("method", ["tiprdc", "tiprdc+"])
@pytest.mark.parametrize("partition", ["iid", "dirichlet:0.3"])
def test_the_model_is_that_without_it(method, partition, small, make_store, population, one_thread):
    store = make_store(9, partition)
    plain = train(Faulty(store, {}), small, population, method)
    grid = Faulty(store, {})
    secure = train(grid, small, population, method, protection=SECAGG)
    assert largest_difference(plain.groups, secure.groups) < 1e-5
    for a, b in zip(plain.exchanges, secure.exchanges, strict=True):
        assert b.losses == pytest.approx(a.losses, abs=1e-5)
        assert (a.clients, a.failures) == (b.clients, b.failures) == (9, 0)
        assert b.bytes_up > 1.5 * a.bytes_up  # words of eight bytes, and shares
    assert min(kstest(words / 2.0**64, "uniform").pvalue for words in grid.words) > 1e-6


@pytest.mark.parametrize("step", ["train", "query.shares", "query.keys"])
def test_a_third_may_drop_in_any_step(step, small, make_store, population, one_thread):
    store, lost = make_store(9), {1, 4, 8}
    plain = train(Faulty(store, {"train": lost}), small, population)
    secure = train(Faulty(store, {step: lost}), small, population, protection=SECAGG)
    assert largest_difference(plain.groups, secure.groups) < 1e-5
    assert {(e.clients, e.failures) for e in secure.exchanges} == {(6, 3)}
    assert {kind for e in secure.exchanges for kind in e.failure_kinds} == {"silent"}


def test_shares_come_with_the_opening_of_the_sum_before(small, make_store, population, one_thread):
    grid, everybody = Faulty(make_store(9), {}), list(range(9))
    train(grid, small, population, "tiprdc", protection=SECAGG, federation={"rounds": 3})
    exchange = [("train", everybody), (OPEN, everybody)]
    assert grid.asked == [(KEYS, everybody), (SHARES, everybody), *(exchange * 3)]


def test_who_dropped_is_asked_for_shares_again(small, make_store, population, one_thread):
    store, everybody = make_store(9), list(range(9))
    grid, others = Faulty(store, {"train": {4}, OPEN: {6}}), [0, 1, 2, 3, 5, 6, 7, 8]
    secure = train(grid, small, population, "tiprdc", protection=SECAGG, federation={"rounds": 2})
    first, second = grid.asked[1:4], grid.asked[4:]
    assert first == [(SHARES, everybody), ("train", everybody), (OPEN, others)]
    assert second == [(SHARES, [4, 6]), ("train", everybody), (OPEN, others)]  # who didn't open gave no shares
    plain = train(Faulty(store, {"train": {4}}), small, population, "tiprdc", federation={"rounds": 2})
    assert largest_difference(plain.groups, secure.groups) < 1e-5


def test_drawn_clients_give_no_shares_ahead(small, make_store, population, one_thread):
    grid = Faulty(make_store(9), {})
    drawn = {"rounds": 2, "clients_per_round": 6}
    train(grid, small, population, "tiprdc", protection=SECAGG, federation=drawn)
    assert [kind for kind, _ in grid.asked if kind not in (KEYS,)] == [SHARES, "train", OPEN] * 2


def test_shares_ahead_of_a_wrong_form_are_asked_for_again(small, make_store, population, one_thread):
    def spoil(reply):
        if "next" in reply.content and reply.metadata.src_node_id == FIRST_NODE + 2:
            record = dict(reply.content["next"]) | {"sealed": [b"short"] * 9}
            reply.content["next"] = ConfigRecord(record)

    grid = Faulty(make_store(9), {}, spoil)
    secure = train(grid, small, population, "tiprdc", protection=SECAGG, federation={"rounds": 2})
    assert (SHARES, [2]) in grid.asked
    assert [e.failures for e in secure.exchanges] == [0, 0]


def test_who_is_lost_in_the_last_step_is_in_the_sum(small, make_store, population, one_thread):
    store = make_store(9)
    plain = train(Faulty(store, {"train": {5}}), small, population)
    secure = train(Faulty(store, {"train": {5}, OPEN: {1, 8}}), small, population, protection=SECAGG)
    assert largest_difference(plain.groups, secure.groups) < 1e-5
    assert {e.clients for e in secure.exchanges} == {8}


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        ({"train": {0, 1, 4, 8}}, "4 of 9 clients failed in exchange 1"),
        ({SHARES: {0, 1, 4, 8}}, "exchange 1 .* needs 6 of 9 clients to stay, 5 are left; the first: no reply"),
        ({OPEN: {0, 1, 4, 8}}, "exchange 1 .* needs 6 of 9 clients to stay, 5 are left; the first: no reply"),
    ],
)
def test_more_than_a_third_is_a_clear_failure(lost, why, small, make_store, population, one_thread):
    store = make_store(9)
    with pytest.raises(TooManyFailuresError, match=why):
        train(Faulty(store, lost), small, population, protection=SECAGG)
    allowed = {"allowed_failures": 0.9}
    with pytest.raises(TooManyFailuresError, match="needs 6 of 9 clients to stay, 5 are left"):
        train(Faulty(store, {"train": {0, 1, 4, 8}}), small, population, protection=SECAGG, federation=allowed)
    threshold = {**SECAGG, "threshold": 0.55}
    train(
        Faulty(store, {"train": {0, 1, 4, 8}}),
        small,
        population,
        protection=threshold,
        federation={"allowed_failures": 0.5},
    )


def test_a_server_that_sends_one_client_another_model_reads_nothing(small, make_store, population, one_thread):
    class Lying(Faulty):
        def answer_all(self, messages, timeout):
            for i, message in enumerate(messages):
                if message.metadata.message_type == "train" and message.metadata.dst_node_id == FIRST_NODE + 2:
                    from flwr.app import RecordDict

                    content = RecordDict(dict(message.content))
                    wrong = {k: v.numpy() * 0 for k, v in content["extractor"].items()}
                    content["extractor"] = pack_arrays(wrong)
                    messages[i] = stamp(Message(content, dst_node_id=FIRST_NODE + 2, message_type="train"))
            return super().answer_all(messages, timeout)

    with pytest.raises(TooManyFailuresError, match="out of range"):
        train(Lying(make_store(9), {}), small, population, protection=SECAGG)


def words_of(**values):
    def spoil(reply):
        reply.content["masked"] = pack_arrays({k: np.asarray(v) for k, v in values.items()})

    return spoil


def cut(reply):
    good = reply.content["masked"]["words"]
    reply.content["masked"] = ArrayRecord({"words": Array(good.dtype, good.shape, good.stype, good.data[:-1])})


def with_metrics(**values):
    def spoil(reply):
        reply.content["metrics"] = MetricRecord(values)

    return spoil


def with_more(reply):
    reply.content["extractor"] = pack_arrays({"w": np.zeros(3, np.float32)})


def without_metrics(reply):
    del reply.content["metrics"]


BAD = {
    "other length": ("shape", words_of(words=np.zeros(3, np.uint64))),
    "floats": ("dtype", lambda r: words_of(words=r.content["masked"]["words"].numpy().view(np.float64))(r)),
    "other name": ("names", lambda r: words_of(w=r.content["masked"]["words"].numpy())(r)),
    "truncated": ("bytes", cut),
    "stale": ("stale", with_metrics(exchange=99)),
    "telling more": ("metrics", with_metrics(exchange=1, records=3)),
    "in the clear too": ("groups", with_more),
    "no metrics": ("metrics", without_metrics),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_masked_reply_is_refused_and_counted_and_its_masks_come_off(
    name, small, make_store, population, one_thread
):
    kind, change = BAD[name]

    def spoil(reply):
        if reply.metadata.src_node_id == FIRST_NODE + 3 and "masked" in reply.content:
            change(reply)

    store = make_store(9)
    plain = train(Faulty(store, {"train": {3}}), small, population)
    secure = train(Faulty(store, {}, spoil), small, population, protection=SECAGG)
    assert largest_difference(plain.groups, secure.groups) < 1e-5
    expected = {kind, "stale"} if name == "telling more" else {kind}
    assert {kind for e in secure.exchanges for kind in e.failure_kinds} <= expected


def test_malformed_shares_are_refused(small, make_store, population, one_thread):
    def spoil(reply):
        node = reply.metadata.src_node_id - FIRST_NODE
        if "session" in reply.content and "sealed" in reply.content["session"] and node in (2, 5, 6):
            record = dict(reply.content["session"])
            record |= {2: {"key": "text"}, 5: {"sealed": [b"short"] * 9}, 6: {"exchange": 77}}[node]
            reply.content["session"] = ConfigRecord(record)

    store = make_store(9)
    plain = train(Faulty(store, {"train": {2, 5, 6}}), small, population)
    secure = train(Faulty(store, {}, spoil), small, population, protection=SECAGG)
    assert largest_difference(plain.groups, secure.groups) < 1e-5
    assert secure.exchanges[0].failure_kinds == {"shares": 2, "stale": 1}


def test_wrong_shares_in_the_last_step_are_left_out_or_else_noticed(small, make_store, population, one_thread):
    def lying(clients):
        def spoil(reply):
            if "opening" in reply.content and reply.metadata.src_node_id - FIRST_NODE in clients:
                record = dict(reply.content["opening"])
                record["shares"] = [bytes(17)] * len(record["shares"])
                reply.content["opening"] = ConfigRecord(record)

        return spoil

    store = make_store(9)
    plain = train(Faulty(store, {"train": {5}}), small, population)
    secure = train(Faulty(store, {"train": {5}}, lying({0, 3})), small, population, protection=SECAGG)
    assert largest_difference(plain.groups, secure.groups) < 1e-5
    with pytest.raises(TooManyFailuresError, match=r"the shares of client \d's secret don't fit"):
        train(Faulty(store, {}, lying({0, 2, 5, 8})), small, population, protection=SECAGG)


def test_a_poisoned_sum_out_of_range_is_noticed(small, make_store, population, one_thread):
    def spoil(reply):
        if "masked" in reply.content and reply.metadata.src_node_id == FIRST_NODE:
            words = reply.content["masked"]["words"].numpy()
            reply.content["masked"] = pack_arrays({"words": words + np.uint64(1 << 62)})

    with pytest.raises(TooManyFailuresError, match="out of range"):
        train(Faulty(make_store(9), {}, spoil), small, population, protection=SECAGG)


def test_masked_updates_stay_in_memory_in_local_arrays():
    words = np.arange(4, dtype=np.uint64)
    packed = MaskedUpdate(words, 3).pack(LocalArrays)
    assert packed["masked"]["words"].numpy().tolist() == [0, 1, 2, 3]
    assert packed["metrics"]["exchange"] == 3


@pytest.mark.timeout(600)
def test_all_runtimes_give_the_same_model(small, make_store, population, ray_session, one_thread):
    store, description = make_store(6, "dirichlet:0.3"), population.contributors.description
    federation = {"rounds": 1, "updates_per_round": 1}
    for method, protection in (("tiprdc", SECAGG), ("tiprdc+", {"noise": 1.0, **SECAGG}), ("tiprdc+", {"noise": 0.5})):
        experiment = small(methods=(method,), federation=federation, protection=protection)
        found = [
            launch(
                runtime,
                lambda grid, experiment=experiment, method=method: train_point(
                    grid, take_roster(grid, 6), experiment, description, Point(method, 0.5, 0)
                ),
                store.root,
                2,
            )
            for runtime in ("inline", "ray-cohort")
        ]
        assert largest_difference(found[0].groups, found[1].groups) < 1e-5


def test_flower_gives_the_same_model(small, make_store, population):
    store, description = make_store(4), population.contributors.description
    points = [Point("tiprdc+", 0.5, 0), Point("tiprdc", 0.5, 0)]
    federation = {"rounds": 1, "updates_per_round": 1, "gradient_clients": 0}
    experiment = small(clients=4, federation=federation, protection={"noise": 0.5, **SECAGG})

    def server(grid):
        roster = take_roster(grid, 4)
        return [train_point(grid, roster, experiment, description, point) for point in points]

    inline = launch("inline", server, store.root, 2)
    shutil.rmtree(store.root / "opened")  # else clients know the sessions, and refuse an update that rounds otherwise
    flower = launch("flower", server, store.root, 2)
    for a, b in zip(inline, flower, strict=True):
        assert largest_difference(a.groups, b.groups) < 1e-5


def test_an_error_reply_is_a_drop(small, make_store, population, one_thread):
    class Failing(Faulty):
        def answer_all(self, messages, timeout):
            replies = super().answer_all(messages, timeout)
            for i, message in enumerate(messages):
                if message.metadata.message_type == "train" and message.metadata.dst_node_id == FIRST_NODE + 1:
                    replies[i] = stamp(Message(Error(2, "ValueError: gone"), reply_to=message))
            return replies

    store = make_store(9)
    plain = train(Faulty(store, {"train": {1}}), small, population)
    secure = train(Failing(store, {}), small, population, protection=SECAGG)
    assert largest_difference(plain.groups, secure.groups) < 1e-5
    assert secure.exchanges[0].failure_kinds == {"error": 1}
