"""Typed messages between the server and its clients, packed and unpacked in this one place.

No message has a field for x, a private label or a task label of a record. Answers to the questions of a code fit are
sums over a client's records, counts of its private classes among them: what `secagg` is for.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.common.constant import SType

from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.release.arrays import Arrays, GroupArrays
from fl_tiprdc.wire.phases import Phase

CONFIG, METRICS, REPRESENTATIONS = "config", "metrics", "representations"
RECORDS, EXCHANGE, SEED_FIELD = "num-examples", "exchange", "seed"
LOSSES = ("privacy", "information", "adversary")
WHO, PUBLISH = "query.who", "query.publish"


@lru_cache(maxsize=1024)
def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return the bytes that precede the numbers in numpy's file format, in which Flower sends arrays."""
    file = BytesIO()
    fields = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


def pack_array(value: npt.NDArray[Any]) -> Array:
    """Return an array as Flower's: the bytes that `Array(value)` makes, without its cost for small arrays."""
    header = _npy_header(value.dtype.name, value.shape)
    data = b"".join((header, np.ascontiguousarray(value).data))
    return Array(value.dtype.name, value.shape, SType.NUMPY, data)


def pack_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> ArrayRecord:
    """Return named arrays as Flower's record."""
    return ArrayRecord({name: pack_array(value) for name, value in arrays.items()})


class _PackedWhenAsked(dict[str, Any]):
    """Holds numpy arrays by name, and packs them into Flower's when they are read."""

    def __getitem__(self, name: str) -> Array:
        return pack_array(super().__getitem__(name))

    def values(self) -> Any:
        return {name: self[name] for name in self}.values()

    def items(self) -> Any:
        return {name: self[name] for name in self}.items()


class LocalArrays(ArrayRecord):  # type: ignore[misc]
    """Holds arrays that never leave this process in a record of Flower's; they become bytes only when those are read.

    `unpack_arrays` returns the arrays as they are. The record can't be sent: Flower knows its records by their class.
    """

    def __init__(self, arrays: Arrays) -> None:
        super().__init__()
        self.__dict__["_data"] = _PackedWhenAsked(arrays)
        self.__dict__["arrays"] = arrays

    def count_bytes(self) -> int:
        """Return the number of bytes that the arrays would have in a message."""
        return sum(
            len(name) + len(_npy_header(value.dtype.name, value.shape)) + value.nbytes
            for name, value in self.__dict__["arrays"].items()
        )


def unpack_array(array: Array) -> npt.NDArray[np.float32]:
    """Return Flower's array as numpy's: a read-only view of the message if its bytes are as `pack_array` makes them."""
    shape = tuple(array.shape)
    if array.dtype == "float32" and array.data.startswith(header := _npy_header("float32", shape)):
        view: npt.NDArray[np.float32] = np.frombuffer(array.data, np.float32, offset=len(header)).reshape(shape)
        return view
    copy: npt.NDArray[np.float32] = array.numpy()
    return copy


def unpack_strictly(array: Array, dtype: str = "float32") -> npt.NDArray[Any]:
    """Return the array of a sender who isn't trusted, as a read-only view; only bytes as `pack_array` makes are read.

    Raises:
        ValueError: the bytes are others, or more or fewer than the shape asks for.
    """
    shape = tuple(array.shape)
    header = _npy_header(array.dtype, shape) if array.dtype == dtype else b""
    if array.stype != SType.NUMPY or not header or not array.data.startswith(header):
        raise ValueError(f"isn't a {dtype} array of shape {shape} in numpy's format")
    if len(array.data) != (expected := len(header) + np.dtype(dtype).itemsize * math.prod(shape)):
        raise ValueError(f"has {len(array.data)} bytes; expected {expected}")
    view: npt.NDArray[Any] = np.frombuffer(array.data, dtype, offset=len(header)).reshape(shape)
    return view


def unpack_arrays(record: ArrayRecord) -> Arrays:
    """Return the arrays in Flower's record by name."""
    if isinstance(record, LocalArrays):
        arrays: Arrays = record.__dict__["arrays"]
        return arrays
    return {name: unpack_array(array) for name, array in record.items()}


def unpack_groups(content: RecordDict) -> GroupArrays:
    """Return all groups of arrays in a message."""
    return {str(name): unpack_arrays(record) for name, record in content.array_records.items()}


@dataclass(frozen=True)
class Instruction:
    """Asks a client for its work in one exchange.

    Attributes:
        phase: "local-training" runs the method's program on the client and returns weights, "hybrid-gradient" returns
            gradients of all three groups, "adversary-gradient" only the adversary's. "local-pretraining" and
            "pretraining-gradient" train extractor and adversary together to tell the private value. "codes." and a
            name ask for the sums of one step of a code fit (`release.statistics`).
        exchange: numbers the exchange, from 1.
        seed: seed of the experiment, from which the client derives batches and noise.
        lam: weighs privacy against information; 0 only informs, 1 only hides.
        sigma: standard deviation of the channel's noise; 0: there is none.
        learning_rate: Adam step size on the client.
        weight_decay: L2 penalty on the client; 0: there is none.
        batch_size: largest number of records in a batch.
        epochs: passes over the records in one exchange.
        records: number of records that are drawn for a gradient; 0: all.
        extractor: SHA-256 of the extractor that the client keeps from an earlier question; empty: it is in the message.
        codebook: that of the codewords, likewise.
        codes: for a publication, that of the codes that it keeps from the last question; empty: as for the extractor.
        method: JSON of a MethodConfig.
        network: JSON of a NetworkConfig.
    """

    phase: Phase
    exchange: int
    seed: int
    lam: float
    sigma: float
    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    records: int
    method: str
    network: str
    extractor: str = ""
    codebook: str = ""
    codes: str = ""

    def pack(self) -> ConfigRecord:
        """Return the instruction as Flower's record."""
        return ConfigRecord(asdict(self))

    @classmethod
    def unpack(cls, record: ConfigRecord) -> "Instruction":
        """Return the instruction in Flower's record."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    def method_config(self) -> MethodConfig:
        """Return the method's configuration."""
        return MethodConfig.model_validate_json(self.method)


@dataclass(frozen=True)
class Update:
    """Answers an instruction.

    Attributes:
        groups: new parameters, or a gradient, of each group.
        records: number of the client's records: its weight in a mean.
        losses: mean privacy, information and adversary losses over its records.
        exchange: number of the exchange that is answered, so that a late answer isn't taken for another exchange's.
    """

    groups: GroupArrays
    records: int
    losses: tuple[float, float, float]
    exchange: int

    def pack(self, record: Callable[[Arrays], ArrayRecord] = pack_arrays) -> RecordDict:
        """Return the update as Flower's records; `record` makes the one of a group."""
        content = RecordDict({name: record(arrays) for name, arrays in self.groups.items()})
        content[METRICS] = MetricRecord(
            {
                RECORDS: self.records,
                EXCHANGE: self.exchange,
                **dict(zip(LOSSES, map(float, self.losses), strict=True)),
            }
        )
        return content

    @classmethod
    def unpack(cls, content: RecordDict) -> "Update":
        """Return the update in Flower's records."""
        metrics = content.metric_records[METRICS]
        privacy, information, adversary = (float(metrics[name]) for name in LOSSES)
        losses = (privacy, information, adversary)
        return cls(unpack_groups(content), int(metrics[RECORDS]), losses, int(metrics[EXCHANGE]))


@dataclass(frozen=True)
class CohortUpdate:
    """Stacks the updates of clients that did the same work: a few large arrays cross processes, not many small ones.

    Attributes:
        groups: arrays with a leading client dimension.
        records: number of records of each client.
        losses: mean losses [clients, 3].
        exchange: number of the exchange that is answered.
    """

    groups: GroupArrays
    records: tuple[int, ...]
    losses: npt.NDArray[np.float32]
    exchange: int

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i: int) -> Update:
        """Return one client's update; its arrays are views."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        groups = {name: {key: value[i] for key, value in arrays.items()} for name, arrays in self.groups.items()}
        privacy, information, adversary = self.losses[i].tolist()
        return Update(groups, self.records[i], (privacy, information, adversary), self.exchange)
