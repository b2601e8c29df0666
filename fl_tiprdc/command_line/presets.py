"""The settings that come with the package, by name: `--config NAME`."""

import warnings
from collections.abc import Mapping
from pathlib import Path

from fl_tiprdc.errors import InputError
from fl_tiprdc.notices import DataNotice

FOLDER = Path(__file__).resolve().parent.parent / "presets"
PRESETS: Mapping[str, Path] = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def config_file(text: str) -> Path:
    """Return the file that `--config` names: a path, or else a preset.

    A path that isn't there stands for the preset of the same name: presets have had other places.

    Raises:
        InputError: it is neither.
    """
    path = Path(text)
    preset = PRESETS.get(path.stem if path.suffix == ".toml" else text)
    try:
        if path.is_file() or (path.exists() and preset is None):
            return path
    except OSError:  # what is wrong with the path, reading the file says
        return path
    if preset is None:
        names = ", ".join(PRESETS)
        raise InputError(f"cannot read config '{text}': No such file or directory; the presets are {names}")
    if text != preset.stem:
        warnings.warn(f"there is no '{text}': the preset '{preset.stem}' is taken", DataNotice, stacklevel=1)
    return preset
