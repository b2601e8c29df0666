"""A crowd on disk: the people of whom a deployment's server has records of its own."""

from pathlib import Path

import numpy as np

from fl_tiprdc.data.crowd import Crowd, Description
from fl_tiprdc.errors import InputError

TASK = "task:"


def write_crowd(path: Path, crowd: Crowd) -> None:
    """Write a crowd into one .npz file; its description is kept apart."""
    arrays = {"x": crowd.x[np.arange(len(crowd))], "private": crowd.private, "participant": crowd.participant}
    arrays |= {f"{TASK}{name}": labels for name, labels in crowd.tasks.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def read_crowd(path: Path, description: Description) -> Crowd:
    """A crowd as `write_crowd` writes it.

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
