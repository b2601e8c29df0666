"""UTKFace (Zhang et al. 2017): over 20,000 faces whose file names tell age, gender and race."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.official_files import OfficialFolder, choose_tasks, image_population
from fl_tiprdc.notices import give_notice

ORIGIN = "https://susanqq.github.io/UTKFace/"
# folders with images that archives unpack to, the first that is there counts: aligned faces, those in the wild
IMAGES: tuple[tuple[str, ...], ...] = (("UTKFace",), ("part1", "part2", "part3"), ("crop_part1",))
NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+\.jpg(\.chip\.jpg)?", re.ASCII)  # AGE_GENDER_RACE_DATE
ATTRIBUTES = ("age", "gender", "race")
GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
AGE_BANDS = (18, 30, 45)  # where the second, third and fourth band begin


def load_utkface(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load UTKFace from the images in `config.root`, or from a folder `UTKFace` or `part1` to `part3` below it.

    Tasks are `age` (four bands, see `AGE_BANDS`), `gender` and `race` (the files' own codes, places in `GENDERS` and
    `RACES`). x is [n, 3, height, width] uint8, 64 x 64 unless `config.size` says otherwise. Nothing tells which
    images show the same person: every file counts as one. Files named in another way are left out, with a notice;
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
    files = _image_files(folder)
    matches = [NAME.fullmatch(path.name) for path in files]
    malformed = [path.name for path, match in zip(files, matches, strict=True) if match is None]
    if len(malformed) == len(files):
        example = f", but '{malformed[0]}'" if malformed else ""
        elsewhere = next((path.parent for path in sorted(folder.root.rglob("*.jpg"))), folder.root)
        hint = (
            f"; there are images in '{elsewhere}'"
            if elsewhere not in {folder.root, *(path.parent for path in files)}
            else ""
        )
        raise folder.missing(f"'{folder.root}' has no file named AGE_GENDER_RACE_DATE.jpg{example}{hint}")
    if malformed:
        give_notice(
            f"utkface: {len(malformed)} of {len(files)} files are left out: not named AGE_GENDER_RACE_DATE.jpg, "
            f"for example '{malformed[0]}'"
        )

    paths = [path for path, match in zip(files, matches, strict=True) if match]
    codes = np.array([match.group(1, 2, 3) for match in matches if match]).astype(np.int64)
    ages, genders, races = codes.T
    labels = {"age": np.digitize(ages, AGE_BANDS).astype(np.int64), "gender": genders.copy(), "race": races.copy()}
    raw = pd.DataFrame({"age": ages, "gender": np.array(GENDERS)[genders], "race": np.array(RACES)[races]})
    people = np.arange(len(paths), dtype=np.int64)
    return image_population(paths, raw[list(private)], {name: labels[name] for name in tasks}, people, held_out, config)


def _image_files(folder: OfficialFolder) -> list[Path]:
    """Return the files of the first of the places that has a well-formed name; if none has, those of all of them."""
    groups = [[path for path in map(folder.path, names) if path.is_dir()] for names in IMAGES]
    everything: list[Path] = []
    for places in [*groups, [folder.root]]:
        below = (place.iterdir() if place == folder.root else place.rglob("*") for place in places)
        paths = itertools.chain.from_iterable(below)
        files = sorted(path for path in paths if not path.name.startswith(".") and path.is_file())
        if any(NAME.fullmatch(path.name) for path in files):
            return files
        everything += files
    return everything
