"""UTKFace (Zhang et al. 2017): over 20,000 faces whose file names tell age, gender and race."""

import re
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.official_files import OfficialFolder, choose_tasks, image_population
from fl_tiprdc.errors import InputError

ORIGIN = "https://susanqq.github.io/UTKFace/"
IMAGES = "UTKFace"
NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+\.jpg(\.chip\.jpg)?", re.ASCII)  # AGE_GENDER_RACE_DATE
ATTRIBUTES = ("age", "gender", "race")
GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
AGE_BANDS = (18, 30, 45)  # where the second, third and fourth band begin


def load_utkface(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load UTKFace from the images in `config.root`, or in its folder `UTKFace` where there is one.

    Tasks are `age` (four bands, see `AGE_BANDS`), `gender` and `race` (the files' own codes, places in `GENDERS` and
    `RACES`). x is [n, 3, height, width] uint8, 64 x 64 unless `config.size` says otherwise. Nothing tells which
    images show the same person: every file counts as one. Files named in another way are left out, with a warning;
    hidden files without.

    Args:
        config: root, tasks, size, records and cache_megabytes have effect.
        private: of age (split at the contributors' median), gender and race.
        held_out: share of the people who contribute nothing.

    Raises:
        InputError: the folder is missing, no name is well formed, or an attribute is unknown.
    """
    folder = OfficialFolder.of("utkface", ORIGIN, config)
    tasks = choose_tasks("utkface", config, private, ATTRIBUTES, ATTRIBUTES)
    place = folder.root / IMAGES
    if not place.is_dir():
        place = folder.root
    files = sorted(path for path in place.iterdir() if not path.name.startswith(".") and not path.is_dir())
    matches = [NAME.fullmatch(path.name) for path in files]
    malformed = [path.name for path, match in zip(files, matches, strict=True) if match is None]
    if len(malformed) == len(files):
        example = f", but '{malformed[0]}'" if malformed else ""
        raise InputError(
            f"utkface: '{place}' has no file named AGE_GENDER_RACE_DATE.jpg{example}; get the data set from {ORIGIN}"
        )
    if malformed:
        warnings.warn(
            f"utkface: {len(malformed)} of {len(files)} files are left out: not named AGE_GENDER_RACE_DATE.jpg, "
            f"for example '{malformed[0]}'",
            UserWarning,
            stacklevel=2,
        )

    paths = [path for path, match in zip(files, matches, strict=True) if match]
    codes = np.array([match.group(1, 2, 3) for match in matches if match]).astype(np.int64)
    ages, genders, races = codes.T
    labels = {"age": np.digitize(ages, AGE_BANDS).astype(np.int64), "gender": genders.copy(), "race": races.copy()}
    raw = pd.DataFrame({"age": ages, "gender": np.array(GENDERS)[genders], "race": np.array(RACES)[races]})
    people = np.arange(len(paths), dtype=np.int64)
    return image_population(paths, raw[list(private)], {name: labels[name] for name in tasks}, people, held_out, config)
