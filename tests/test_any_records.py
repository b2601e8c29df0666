"""Records of any kind: tables whose columns may be anything, updates on the wire, who holds what."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from flwr.app import Array, ArrayRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import InputError
from fl_tiprdc.wire.messages import LocalArrays, Update, pack_arrays, unpack_arrays, unpack_strictly
from strategies.reply_check import BadReplyError, ReplyCheck

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(width=32) | st.integers(-(2**40), 2**40)
DATES = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)).map(str)
CELLS = st.one_of(NUMBERS, TEXT, DATES, st.sampled_from(["", "NA", "yes", "no", "0", "1e400", "-", ",", '"', "'"]))
CELL_KINDS = [NUMBERS, TEXT, DATES, CELLS, st.booleans(), st.just("same"), st.sampled_from(["a", "b", "c"])]


@st.composite
def tables(draw) -> pd.DataFrame:
    """A table of any columns, named as they like, a private one and a task."""
    rows = draw(st.integers(1, 30))
    names = draw(st.lists(TEXT, min_size=1, max_size=4, unique_by=str.strip))
    frame = {
        name: draw(st.lists(draw(st.sampled_from(CELL_KINDS)), min_size=rows, max_size=rows))
        for name in ("hidden", "wanted", *names)
    }
    return pd.DataFrame(frame)


@given(tables(), st.floats(0.05, 0.9), st.integers(0, 40))
@settings(max_examples=150)
def test_any_table_is_a_population_or_refused_in_one_line(tmp_path_factory, frame, held_out, records):
    path = tmp_path_factory.mktemp("table") / "people.csv"
    frame.to_csv(path, index=False)
    config = DataConfig(file=path, tasks=("wanted",), records=records)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            population = load_population("table", ("hidden",), held_out, config)
        except InputError as error:
            said = str(error)
            population = None
    if population is None:
        assert said
        assert "\n" not in said
        return
    for crowd in (population.contributors, population.held_out):
        assert len(crowd)
        assert crowd.x.dtype == np.float32
        assert np.isfinite(crowd.x).all()
        assert crowd.x.shape[1] == crowd.description.width
        assert set(crowd.tasks) == {"wanted"}
    used = {column.name.removesuffix(" missing") for column in population.contributors.description.columns}
    assert not used & {"hidden", "wanted"}
    assert not set(population.contributors.participant) & set(population.held_out.participant)


@given(st.binary(max_size=200), st.sampled_from([".csv", ".parquet"]))
@settings(max_examples=150)
def test_any_bytes_as_a_table_are_read_or_refused(tmp_path_factory, content, kind):
    path = tmp_path_factory.mktemp("bytes") / f"people{kind}"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_population("table", ("hidden",), 0.2, DataConfig(file=path, tasks=("wanted",)))
    assert "\n" not in str(error.value)


# ---- updates on the wire

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
FINITE = st.floats(-1e6, 1e6, width=32)
GROUP = st.dictionaries(TEXT, SHAPES.flatmap(lambda s: arrays.arrays(np.float32, s, elements=FINITE)), max_size=3)
GROUPS = st.fixed_dictionaries({"extractor": GROUP, "adversary": GROUP})
LOSSES = st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 3)


@given(GROUPS, st.integers(0, 2**40), LOSSES, st.integers(1, 2**40), st.sampled_from([pack_arrays, LocalArrays]))
@settings(max_examples=150)
def test_any_update_survives_the_wire_and_the_check(groups, records, losses, exchange, pack):
    content = Update(groups, records, losses, exchange).pack(pack)
    for found in (Update.unpack(content), ReplyCheck(exchange, groups).read(content, records)):
        assert (found.records, found.losses, found.exchange) == (records, losses, exchange)
        for name, group in groups.items():
            assert found.groups[name].keys() == group.keys()
            for key, value in group.items():
                np.testing.assert_array_equal(found.groups[name][key], value)
                assert found.groups[name][key].dtype == np.float32


@given(GROUPS, st.data())
@settings(max_examples=150)
def test_an_update_of_which_a_byte_is_changed_is_refused_or_another_array_of_the_same_form(groups, data):
    content = Update(groups, 3, (0.0, 0.0, 0.0), 1).pack()
    named = [(group, name) for group, inner in groups.items() for name in inner]
    if not named:
        return
    group, name = data.draw(st.sampled_from(named))
    old = content[group][name]
    spoilt = bytearray(old.data)
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= data.draw(st.integers(1, 255))
    kept = {key: content[group][key] for key in groups[group]}
    content[group] = ArrayRecord({**kept, name: Array(old.dtype, old.shape, old.stype, bytes(spoilt))})
    try:
        found = ReplyCheck(1, groups).read(content, 3)
    except BadReplyError as error:
        refused = error.kind
    else:
        refused = ""
        assert found.groups[group][name].shape == groups[group][name].shape
        assert np.isfinite(found.groups[group][name]).all()
    assert refused in ("", "bytes", "not-finite")


@given(st.binary(max_size=300), st.lists(st.integers(-3, 2**62), max_size=3), st.text(max_size=8), st.text(max_size=8))
@settings(max_examples=200)
def test_any_bytes_as_an_array_are_read_or_refused(content, shape, dtype, stype):
    for said in ((dtype, stype), ("float32", "numpy.ndarray")):
        array = Array(said[0], tuple(shape), said[1], content)
        with pytest.raises(ValueError, match=r"isn't a float32 array|bytes; expected"):
            unpack_strictly(array)
    packed = pack_arrays({"w": np.frombuffer(content[: len(content) // 4 * 4], np.float32)})
    assert unpack_arrays(packed)["w"].tobytes() == content[: len(content) // 4 * 4]


# ---- who holds what


@given(
    arrays.arrays(np.int64, st.tuples(st.integers(1, 60), st.integers(1, 2)), elements=st.integers(0, 2)),
    st.integers(1, 20),
    st.sampled_from(["iid", "dirichlet:0.1", "dirichlet:5", "by-private", "natural"]),
    st.integers(0, 2**40),
    st.integers(1, 60),
)
@settings(max_examples=60)
def test_every_record_has_one_client_or_the_request_is_refused(private, clients, spec, seed, people):
    participant = np.arange(len(private)) % people
    try:
        parts = partition(private, clients, spec, seed, participant)
    except InputError as error:
        assert f"{clients} clients but" in str(error)  # noqa: PT017
        return
    assert len(parts) == clients
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(private)))
    again = partition(private, clients, spec, seed, participant)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))
    if spec == "by-private":
        assert all(len(np.unique(private[part], axis=0)) == 1 for part in parts)
    if spec == "natural":
        owners = [set(participant[part]) for part in parts]
        assert sum(map(len, owners)) == len(set(participant))
    if spec == "iid":
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
