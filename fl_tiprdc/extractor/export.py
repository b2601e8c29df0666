"""Extractor and channel, or extractor and codes, as a graph for other programs: ONNX, and torch.export's format.

What is random is an input, which the caller makes: a graph is deterministic, and whoever runs it decides where the
randomness comes from. With `draws` a graph draws it itself, from the generator of the program that runs it. Those are
made for simulations, not for secrets: a device that publishes should give it.

| method | inputs | outputs |
| --- | --- | --- |
| with a channel | x, noise [n, d] float32, standard normal | z [n, d] |
| without | x | z [n, d] |
| of codes | x, private [n] int64 if the release looks at it, uniform [n, 1] float64 | code [n] int64, z [n, d] |

`private` is the joint class of a record's private labels, `release.codes.joint_classes`; of a single attribute its
position in the classes. `uniform` is a number between 0 and 1: what `scipy.special.ndtr` makes of the normal draw of
`CodedRelease`. ONNX Runtime has no such function in float64. `graph_inputs` makes all of them.

Codes are decided in float64, as `Codes.draw` does. What comes before, the extractor, computes in float32, and another
program may round its sums otherwise in the last bit. A draw that falls on a threshold to within that rounding gets the
code beside it: none of 16,000 records in the tests, which allow one in a thousand.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import ndtr
from torch import Tensor, nn
from torch.nn import functional

from fl_tiprdc.data.crowd import TYPES
from fl_tiprdc.data.crowd import X as RecordArrays
from fl_tiprdc.errors import InputError
from fl_tiprdc.extractor.released import ChannelModule, Extractor
from fl_tiprdc.release.channel import release
from fl_tiprdc.release.codes import Codes, joint_classes
from fl_tiprdc.release.draws import fresh_noise
from fl_tiprdc.release.release import one_draw_each

OPSET = 18
X, PRIVATE, NOISE, UNIFORM = "x", "private", "noise", "uniform"  # inputs
CODE, Z = "code", "z"  # outputs


class Drawing(nn.Module):
    """Extractor and channel that draws its noise itself.

    Args:
        module: extractor and channel.
    """

    def __init__(self, module: ChannelModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Return the release of x, [n, d], another at each call."""
        features: Tensor = self.module.extractor(x)
        return release(features, torch.randn_like(features), self.module.sigma)


class CodedModule(nn.Module):
    """Extractor and codes in one network.

    Args:
        extractor: from x [n, *shape] to [n, d].
        codes: codebook and coupling.
    """

    codewords: Tensor
    cells: Tensor
    potentials: Tensor
    plan: Tensor
    keep: Tensor
    fill: Tensor
    group: Tensor

    def __init__(self, extractor: nn.Module, codes: Codes) -> None:
        super().__init__()
        self.extractor, self.temperature, self.last = extractor, codes.temperature, len(codes) - 1
        plan = () if codes.sees_private else ("plan",)
        for name in ("codewords", "cells", "potentials", "keep", "fill", "group", *plan):
            self.register_buffer(name, torch.from_numpy(np.array(getattr(codes, name))))
        self.changed, self.known = bool(plan), codes.known.tolist()

    def probabilities(self, x: Tensor, group: Tensor) -> Tensor:
        """Return P(c | x, group) [n, K] in float64, as `Codes.probabilities` computes it."""
        features: Tensor = self.extractor(x)
        points = release(features, torch.zeros(()), 0.0).double()
        cells = self.cells.double()
        distance = (cells**2).sum(1) - 2 * points @ cells.T
        chances = functional.softmax((self.potentials.double()[group] - distance) / self.temperature, dim=1)
        if self.changed:
            chances = chances @ self.plan.double()
        chances = chances * self.keep.double()[group]
        return chances + (1 - chances.sum(1, keepdim=True)) * self.fill.double()[group]

    def choose(self, x: Tensor, group: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes [n] and codewords [n, d] with uniform draws [n, 1], as `Codes.draw` chooses them."""
        reached = self.probabilities(x, group).cumsum(1)
        code = (reached <= uniform * reached[:, -1:]).sum(1).clamp(max=self.last)
        return code, self.codewords[code]

    def with_level(self, private: Tensor, x: Tensor) -> Tensor:
        """Return joint class and level [n], as `known_levels.with_level` computes it."""
        place = private
        for start, width, middle in self.known:
            values = x[:, int(start) : int(start + width)]
            if width > 1:
                own = torch.where((values != 0).any(1), values.argmax(1), int(width))
            else:
                own = (values[:, 0] > middle).long()
            place = place * (int(width) + 1) + own
        return place

    def draw(self, x: Tensor) -> Tensor:
        """Return uniform draws [n, 1]."""
        return torch.rand((x.shape[0], 1), dtype=torch.float64)

    def one_group(self, x: Tensor) -> Tensor:
        """Return the group [n] of records whose private class has no say."""
        return torch.zeros(x.shape[0], dtype=torch.int64)


class WithPrivate(CodedModule):
    """Codes of x and the private class."""

    def forward(self, x: Tensor, private: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and codewords."""
        return self.choose(x, self.group[self.with_level(private, x)], uniform)


class WithPrivateDrawing(CodedModule):
    """Codes of x and the private class, with its own draws."""

    def forward(self, x: Tensor, private: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and codewords, others at each call."""
        return self.choose(x, self.group[self.with_level(private, x)], self.draw(x))


class WithoutPrivate(CodedModule):
    """Codes of x alone."""

    def forward(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and codewords."""
        return self.choose(x, self.one_group(x), uniform)


class WithoutPrivateDrawing(CodedModule):
    """Codes of x alone, with its own draws."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and codewords, others at each call."""
        return self.choose(x, self.one_group(x), self.draw(x))


CODED = {
    # (looks at the private class, draws itself)
    (True, False): WithPrivate,
    (True, True): WithPrivateDrawing,
    (False, False): WithoutPrivate,
    (False, True): WithoutPrivateDrawing,
}


def _graph(extractor: Extractor, draws: bool) -> tuple[nn.Module, dict[str, Tensor], list[str]]:
    """Return what is exported, an example of its inputs, and the names of its outputs."""
    description, d = extractor.description, extractor.d
    inputs = {X: torch.zeros((2, *description.shape), dtype=_dtype(TYPES[description.modality]))}
    codes = extractor.codes
    if codes is not None:
        if codes.sees_private:
            inputs[PRIVATE] = torch.zeros(2, dtype=torch.int64)
        if not draws:
            inputs[UNIFORM] = torch.full((2, 1), 0.5, dtype=torch.float64)
        return CODED[codes.sees_private, draws](extractor.module.extractor, codes), inputs, [CODE, Z]
    if not extractor.module.channel:
        return extractor.module.extractor, inputs, [Z]
    if draws:
        return Drawing(extractor.module), inputs, [Z]
    return extractor.module, {**inputs, NOISE: torch.zeros((2, d))}, [Z]


def _dtype(kind: npt.DTypeLike) -> torch.dtype:
    return torch.from_numpy(np.zeros(0, dtype=kind)).dtype


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' notes on their own internals, which a user can't change."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def torch_program(extractor: Extractor, draws: bool = False) -> torch.export.ExportedProgram:
    """Return the graph of torch.export, for any number of records; `torch.export.save` writes it to a file."""
    module, example, _ = _graph(extractor, draws)
    records = torch.export.Dim("records", min=1)
    module = module.eval()
    with _quiet(), torch.no_grad():
        return torch.export.export(
            module,
            tuple(example.values()),
            dynamic_shapes=tuple({0: records} for _ in example),
            strict=False,
        )


def save_onnx(extractor: Extractor, path: str | Path, draws: bool = False) -> None:
    """Write the graph as one ONNX file, for any number of records. The module says what goes in and what comes out.

    Raises:
        InputError: the packages that this needs are missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"an export to ONNX needs {error.name}: pip install 'fl-tiprdc[export]'") from None
    module, example, outputs = _graph(extractor, draws)
    records: Any = torch.export.Dim("records", min=1)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(example.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(example),
            output_names=outputs,
            dynamic_shapes=tuple({0: records} for _ in example),
            verbose=False,
        )
        assert program is not None
        program.save(str(path), external_data=False)


def graph_inputs(
    extractor: Extractor,
    x: RecordArrays | pd.DataFrame,
    private: pd.DataFrame | npt.NDArray[Any] | Sequence[Any] | None = None,
    *,
    key: bytes | int | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Return what a graph without draws of its own takes for some records, by the names of its inputs.

    Args:
        extractor: what the graph was made of.
        x: records, see `Extractor.encode`.
        private: their private labels, see `Extractor.transform`.
        key: as of `Extractor.transform`, whose release the graph then gives. None: fresh randomness.

    Raises:
        InputError: x doesn't fit, or private labels are needed and missing.
    """
    encoded, labels = extractor.encode_with_private(x, private)
    records = np.asarray(encoded[:])
    draws = fresh_noise if key is None else extractor.draws(key)
    inputs: dict[str, npt.NDArray[Any]] = {X: records}
    if extractor.codes is None:
        return {**inputs, NOISE: draws(records, extractor.d)} if extractor.module.channel else inputs
    if extractor.codes.sees_private:
        if labels is None:
            raise InputError("this graph looks at the private attribute: give each record's private label too")
        inputs[PRIVATE] = joint_classes(labels, extractor.description.classes)
    return {**inputs, UNIFORM: ndtr(one_draw_each(records, draws).astype(np.float64))}
