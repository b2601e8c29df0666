"""Extractor and channel as a graph for other programs: ONNX, and torch.export's format.

The graph takes x and the noise ε [n, d], standard normal draws that the caller makes: it is deterministic, and whoever
runs it decides where the noise comes from. With `draws` it takes x alone and draws ε itself, from the generator of the
program that runs it. Those are made for simulations, not for secrets: a device that publishes should give ε.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fl_tiprdc.data.crowd import TYPES
from fl_tiprdc.errors import InputError
from fl_tiprdc.extractor.released import ChannelModule, Extractor
from fl_tiprdc.release.channel import release

OPSET = 18
X, NOISE, Z = "x", "noise", "z"


class Drawing(nn.Module):
    """Extractor and channel that draws its noise itself.

    Args:
        module: extractor and channel.
    """

    def __init__(self, module: ChannelModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """[n, d], another at each call."""
        features: Tensor = self.module.extractor(x)
        return release(features, torch.randn_like(features), self.module.sigma)


def _graph(extractor: Extractor, draws: bool) -> tuple[nn.Module, dict[str, Tensor]]:
    """What is exported, and an example of its inputs; a method without a channel takes x alone in any case."""
    description, d = extractor.description, extractor.d
    x = torch.zeros((2, *description.shape), dtype=torch.from_numpy(TYPES[description.modality]([0])).dtype)
    if not extractor.module.channel:
        return extractor.module.extractor, {X: x}
    if draws:
        return Drawing(extractor.module), {X: x}
    return extractor.module, {X: x, NOISE: torch.zeros((2, d))}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say of their own inside, of which a user can change nothing."""
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
    """The graph of torch.export, for any number of records; `torch.export.save` writes it to a file."""
    module, example = _graph(extractor, draws)
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
    """Write the graph as one ONNX file, for any number of records. Inputs x and noise, output z.

    Raises:
        InputError: the packages that this needs are missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"an export to ONNX needs {error.name}: pip install 'fl-tiprdc[export]'") from None
    module, example = _graph(extractor, draws)
    records: Any = torch.export.Dim("records", min=1)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(example.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(example),
            output_names=[Z],
            dynamic_shapes=tuple({0: records} for _ in example),
            verbose=False,
        )
        assert program is not None
        program.save(str(path), external_data=False)
