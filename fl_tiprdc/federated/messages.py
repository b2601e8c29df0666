"""What crosses the wire: typed records, packed and unpacked in this one place.

No message has a field for x, a private label, a task label or a count of private labels.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fl_tiprdc.config import MethodConfig, NetworkConfig

Arrays = dict[str, npt.NDArray[np.float32]]  # one group's parameters by name
GroupArrays = dict[str, Arrays]

CONFIG, METRICS = "config", "metrics"
RECORDS = "num-examples"
LOSSES = ("privacy", "information", "adversary")
WHO, PUBLISH = "query.who", "query.publish"

Phase = Literal["hybrid", "extractor", "adversary-gradient"]


def pack_arrays(arrays: Mapping[str, npt.NDArray[np.float32]]) -> ArrayRecord:
    """Named arrays as Flower's record."""
    return ArrayRecord({name: Array(np.ascontiguousarray(value)) for name, value in arrays.items()})


def unpack_arrays(record: ArrayRecord) -> Arrays:
    """Named arrays from Flower's record."""
    return {name: array.numpy() for name, array in record.items()}


def unpack_groups(content: RecordDict) -> GroupArrays:
    """All groups of arrays in a message."""
    return {str(name): unpack_arrays(record) for name, record in content.array_records.items()}


@dataclass(frozen=True)
class Instruction:
    """What the server asks of a client in one exchange.

    Attributes:
        phase: "hybrid" trains all three groups, "extractor" the extractor and critic against a fixed adversary,
            "adversary-gradient" returns a gradient.
        exchange: number of the exchange, from 1.
        seed: of the experiment.
        lam: weight of privacy against information.
        sigma: noise of the channel.
        learning_rate: the client's Adam step size.
        weight_decay: its L2 penalty.
        batch_size: largest number of records in a batch.
        epochs: passes over the records.
        records: for a gradient, how many records to draw; 0: all.
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

    def pack(self) -> ConfigRecord:
        """As Flower's record."""
        return ConfigRecord(asdict(self))

    @classmethod
    def unpack(cls, record: ConfigRecord) -> "Instruction":
        """From Flower's record."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    def method_config(self) -> MethodConfig:
        """The method."""
        return MethodConfig.model_validate_json(self.method)

    def network_config(self) -> NetworkConfig:
        """The layer widths."""
        return NetworkConfig.model_validate_json(self.network)


@dataclass(frozen=True)
class Update:
    """A client's answer: new parameters or a gradient by group, the number of its records, mean losses."""

    groups: GroupArrays
    records: int
    losses: tuple[float, float, float]

    def pack(self) -> RecordDict:
        """As Flower's records."""
        content = RecordDict({name: pack_arrays(arrays) for name, arrays in self.groups.items()})
        content[METRICS] = MetricRecord(
            {RECORDS: self.records, **dict(zip(LOSSES, map(float, self.losses), strict=True))}
        )
        return content

    @classmethod
    def unpack(cls, content: RecordDict) -> "Update":
        """From Flower's records."""
        metrics = content.metric_records[METRICS]
        privacy, information, adversary = (float(metrics[name]) for name in LOSSES)
        return cls(unpack_groups(content), int(metrics[RECORDS]), (privacy, information, adversary))
