"""Crowds and descriptions of records as files: what a client's disk and a deployment's server keep."""

from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from fl_tiprdc.data.crowd import Crowd, Description
from fl_tiprdc.errors import InputError

_ADAPTER = TypeAdapter(Description)
TASK = "task:"


def write_description(path: Path, description: Description) -> None:
    """Write a description, every field of it."""
    path.write_bytes(_ADAPTER.dump_json(description))


def read_description(path: Path) -> Description:
    """Return a description as `write_description` writes it.

    Raises:
        InputError: the file is missing, or no description.
    """
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read description '{path}': {error.strerror}") from None
    except ValidationError:
        raise InputError(f"'{path}' is no description of records") from None


def write_crowd(path: Path, crowd: Crowd) -> None:
    """Write a crowd into one .npz file; its description is kept apart."""
    arrays = {"x": crowd.x[np.arange(len(crowd))], "private": crowd.private, "participant": crowd.participant}
    arrays |= {f"{TASK}{name}": labels for name, labels in crowd.tasks.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def read_crowd(path: Path, description: Description) -> Crowd:
    """Return a crowd as `write_crowd` writes it.

    Raises:
        InputError: the file can't be read, or is of another description.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            arrays = dict(saved)
        tasks = {name.removeprefix(TASK): values for name, values in arrays.items() if name.startswith(TASK)}
        return Crowd(arrays["x"], arrays["private"], tasks, arrays["participant"], description)
    except (OSError, KeyError, InputError) as error:
        raise InputError(f"'{path}' holds no crowd of this description: {error}") from None
    except ValueError as error:
        raise InputError(f"'{path}' holds no crowd: {error}") from None
