"""What crosses the wire: the same bytes as Flower makes, and nothing lost on the way."""

from dataclasses import fields

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict

from fl_tiprdc.config import Point, build_experiment
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.wire.messages import (
    CohortUpdate,
    Instruction,
    LocalArrays,
    Update,
    pack_arrays,
    unpack_array,
    unpack_arrays,
)


@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (0, 7), (2, 3, 4)])
def test_packing_makes_the_bytes_that_flower_makes(shape):
    value = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    value = np.asarray(value, dtype=np.float32)
    ours, theirs = pack_arrays({"a": value})["a"], Array(value)
    assert (ours.dtype, tuple(ours.shape), ours.stype, ours.data) == (
        theirs.dtype,
        tuple(theirs.shape),
        theirs.stype,
        theirs.data,
    )
    for array in (ours, theirs):
        np.testing.assert_array_equal(unpack_array(array), value)
        np.testing.assert_array_equal(array.numpy(), value)


def test_views_that_are_not_contiguous_are_packed_by_value():
    value = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(pack_arrays({"a": value.T})["a"].numpy(), value.T)
    np.testing.assert_array_equal(pack_arrays({"a": value[:, ::2]})["a"].numpy(), value[:, ::2])


def test_other_types_come_through_numpy():
    value = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(unpack_array(Array(value)), value)
    assert unpack_array(Array(value)).dtype == np.int64


def test_truncated_data_is_an_error_and_no_short_array():
    whole = Array(np.ones((4, 4), np.float32))
    with pytest.raises(ValueError, match=r"reshape|bytes|size"):
        unpack_array(Array(whole.dtype, whole.shape, whole.stype, whole.data[:-8]))


def test_nothing_is_unpickled():
    sly = Array(np.ones(2, np.float32))
    import io

    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack_array(Array("object", (1,), sly.stype, file.getvalue()))


def test_instructions_and_updates_survive_the_wire():
    instruction = instruction_for(build_experiment({}), Point("tiprdc+", 0.3, 4))
    again = Instruction.unpack(instruction.pack())
    assert again == instruction
    assert again.method_config() == build_experiment({}).method_config("tiprdc+")
    names = {field.name for field in fields(Instruction)}
    assert not names & {"x", "u", "private", "tasks", "labels"}
    groups = {"extractor": {"w": np.arange(3, dtype=np.float32)}}
    update = Update(groups, 7, (0.1, 0.2, 0.3), 12)
    back = Update.unpack(update.pack())
    assert (back.records, back.losses, back.exchange) == (7, (0.1, 0.2, 0.3), 12)
    np.testing.assert_array_equal(back.groups["extractor"]["w"], groups["extractor"]["w"])


def test_a_cohorts_answers_are_those_of_its_clients():
    stacked = {"critic": {"w": np.arange(6, dtype=np.float32).reshape(3, 2)}}
    cohort = CohortUpdate(stacked, (4, 0, 9), np.arange(9, dtype=np.float32).reshape(3, 3), 5)
    assert len(cohort) == 3
    assert (cohort[2].records, cohort[2].exchange) == (9, 5)
    assert cohort[2].losses == (6, 7, 8)
    np.testing.assert_array_equal(cohort[1].groups["critic"]["w"], [2, 3])
    with pytest.raises(IndexError):
        cohort[3]


def test_unpacked_arrays_are_views_that_cannot_be_written():
    record = ArrayRecord({"a": Array(np.ones(4, np.float32))})
    found = unpack_arrays(RecordDict({"r": record}).array_records["r"])["a"]
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 2


def test_local_arrays_are_a_record_like_any_other():
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([7])}
    local, packed = LocalArrays(arrays), pack_arrays(arrays)
    assert list(local) == list(packed)
    assert len(local) == 2
    assert "a" in local
    assert local.count_bytes() == packed.count_bytes()
    for name, array in local.items():
        assert array.data == packed[name].data
        assert local[name].numpy().tolist() == arrays[name].tolist()
    for ours, theirs in zip(local.to_numpy_ndarrays(), packed.to_numpy_ndarrays(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert unpack_arrays(local)["a"] is arrays["a"]
    assert RecordDict({"group": local}).array_records["group"] is local
