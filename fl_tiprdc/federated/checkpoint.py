"""State of a federated training on the disk: one safetensors file, written whole after every round."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fl_tiprdc.errors import InputError
from fl_tiprdc.whole_file import write_whole
from strategies.hybrid_strategy import Exchange

Tensors = dict[str, npt.NDArray[Any]]


def write_checkpoint(path: Path, settings: str, state: Tensors, exchanges: Sequence[Exchange]) -> None:
    """Replace the checkpoint at `path`.

    Args:
        path: path of the file.
        settings: settings of the training, which goes on with the same only.
        state: state of the strategy.
        exchanges: exchanges that took place.
    """
    about = {"settings": settings, "exchanges": json.dumps([asdict(exchange) for exchange in exchanges])}
    write_whole(path, save({name: np.array(array, order="C") for name, array in state.items()}, about))


def read_checkpoint(path: Path, settings: str) -> tuple[Tensors, list[Exchange]] | None:
    """Return the strategy's state and the exchanges that took place; None: there is no checkpoint.

    Raises:
        InputError: the checkpoint is damaged, or of a training with other settings.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            about = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["settings"] != settings:
            raise InputError(f"checkpoint '{path}' is of a training with other settings: start without --resume")
        exchanges = [Exchange(**row) for row in json.loads(about["exchanges"])]
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"checkpoint '{path}' is damaged: start without --resume ({error})") from None
    return state, exchanges
