"""Labeled Faces in the Wild (Huang et al. 2007) with the attribute scores of Kumar et al. (2009).

The scores cover 13,143 of the 13,233 images; images without scores are left out.
"""

import math
from collections.abc import Sequence

import numpy as np

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.official_files import OfficialFolder, choose_tasks, flagged_image_population

ORIGIN = (
    "http://vis-www.cs.umass.edu/lfw/ (images) and "
    "http://www.cs.columbia.edu/CAVE/databases/pubfig/download/lfw_attributes.txt"
)
SCORES = "lfw_attributes.txt"
IMAGES = ("lfw", "lfw_funneled", "lfw-funneled", "lfw-deepfunneled", "lfw_deepfunneled")
TASKS = ("Smiling", "Eyeglasses", "Youth", "Black_Hair")


def load_lfw(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load LFW from `config.root`, which holds `lfw_attributes.txt` and `lfw/NAME/NAME_0001.jpg`.

    The folder with the images may have any name of `IMAGES`, and they may be in folders below the root.

    An attribute is present where its score is above 0. Names of attributes are written with _ for a space, as
    those of folders are. x is [n, 3, height, width] uint8, 64 x 64 unless `config.size` says otherwise.

    Args:
        config: root, tasks, size, records and cache_megabytes have effect.
        private: the attributes to hide, for example `Male`.
        held_out: share of the people who contribute nothing.

    Raises:
        InputError: a file is missing or not as published, or an attribute is unknown.
    """
    folder = OfficialFolder.of("lfw", ORIGIN, config)
    lines = folder.lines(SCORES)
    # two comments: what the file is, then `#`, person, imagenum and the attributes between tabs
    header = lines[1].removeprefix("#").strip().split("\t") if len(lines) > 1 else []
    if header[:2] != ["person", "imagenum"]:
        raise folder.wrong(SCORES, 2, "expected '#', 'person', 'imagenum' and the attributes, between tabs")
    header = [name.strip().replace(" ", "_") for name in header]
    tasks = choose_tasks("lfw", config, private, header[2:], TASKS)
    wanted = tuple(dict.fromkeys((*private, *tasks)))

    columns = [header.index(name) for name in wanted]
    people, names, flags = [], [], np.empty((len(lines) - 2, len(wanted)), dtype=np.int64)
    for row, line in enumerate(lines[2:]):
        fields = line.split("\t")
        if len(fields) != len(header):
            raise folder.wrong(SCORES, row + 3, f"expected {len(header)} fields between tabs, found {len(fields)}")
        if not fields[1].isdecimal():
            raise folder.wrong(SCORES, row + 3, f"imagenum is '{fields[1]}', expected a whole number")
        person = fields[0].replace(" ", "_")
        people.append(person)
        names.append(f"{person}/{person}_{int(fields[1]):04d}.jpg")
        for place, column in enumerate(columns):
            score = _number(fields[column])
            if not math.isfinite(score):
                raise folder.wrong(SCORES, row + 3, f"{wanted[place]} is '{fields[column]}', expected a number")
            flags[row, place] = score > 0

    paths = folder.images(IMAGES, names)
    by_name = dict(zip(wanted, flags.T.copy(), strict=True))
    participant = np.unique(people, return_inverse=True)[1].astype(np.int64)
    return flagged_image_population(paths, by_name, private, tasks, participant, held_out, config)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
