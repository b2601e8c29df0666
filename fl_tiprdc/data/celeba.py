"""CelebA (Liu et al. 2015): 202,599 aligned faces of 10,177 people, with 40 yes-or-no attributes."""

from collections.abc import Sequence

import numpy as np

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.data.official_files import OfficialFolder, choose_tasks, flagged_image_population
from fl_tiprdc.errors import InputError

ORIGIN = "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
ATTRIBUTES, PARTITION, IDENTITIES = "list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt"
IMAGES = ("img_align_celeba",)
TASKS = ("Smiling", "Gray_Hair", "Young", "Wearing_Lipstick")
CODES = {"-1": 0, "1": 1}


def load_celeba(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load CelebA from `config.root`, which holds the three text files and the folder `img_align_celeba`.

    They may be in folders below it, such as the official Anno, Eval and Img, or img_align_celeba/img_align_celeba.

    x is [n, 3, height, width] uint8, 64 x 64 unless `config.size` says otherwise; a participant is an identity.
    The official partition is checked, not used: here the people who are held out are drawn.

    Args:
        config: root, tasks, size, records and cache_megabytes have effect.
        private: the attributes to hide; `Male` in the papers.
        held_out: share of the people who contribute nothing.

    Raises:
        InputError: a file is missing or not as published, or an attribute is unknown.
    """
    folder = OfficialFolder.of("celeba", ORIGIN, config)
    lines = folder.lines(ATTRIBUTES)
    if len(lines) < 2 or not lines[0].strip().isdecimal():
        raise folder.wrong(ATTRIBUTES, 1, "expected the number of images, and the names of the attributes in line 2")
    attributes = lines[1].split()
    tasks = choose_tasks("celeba", config, private, attributes, TASKS)
    wanted = tuple(dict.fromkeys((*private, *tasks)))
    if len(lines) - 2 != int(lines[0]):
        path = folder.path(ATTRIBUTES)
        raise InputError(f"celeba: '{path}' says {int(lines[0])} images in line 1, but lists {len(lines) - 2}")

    columns = [attributes.index(name) + 1 for name in wanted]
    names, flags = [], np.empty((len(lines) - 2, len(wanted)), dtype=np.int64)
    for row, line in enumerate(lines[2:]):
        fields = line.split()
        if len(fields) != len(attributes) + 1:
            problem = f"expected an image and {len(attributes)} values, found {len(fields)} fields"
            raise folder.wrong(ATTRIBUTES, row + 3, problem)
        names.append(fields[0])
        for place, column in enumerate(columns):
            if fields[column] not in CODES:
                raise folder.wrong(ATTRIBUTES, row + 3, f"{wanted[place]} is '{fields[column]}', expected -1 or 1")
            flags[row, place] = CODES[fields[column]]

    paths = folder.images(IMAGES, names)
    if max(_numbers(folder, PARTITION, names), default=0) > 2:
        raise InputError(f"celeba: '{folder.path(PARTITION)}' has a part above 2 (0 train, 1 validation, 2 test)")
    people = np.array(_numbers(folder, IDENTITIES, names), dtype=np.int64)
    by_name = dict(zip(wanted, flags.T.copy(), strict=True))
    return flagged_image_population(paths, by_name, private, tasks, people, held_out, config)


def _numbers(folder: OfficialFolder, file: str, names: Sequence[str]) -> list[int]:
    """Return the number that a file of lines `image number` gives each of the images `names`.

    Raises:
        InputError: a line has another form, or the file lists other images.
    """
    numbers = {}
    for row, line in enumerate(folder.lines(file)):
        fields = line.split()
        if len(fields) != 2 or not fields[1].isdecimal():
            raise folder.wrong(file, row + 1, f"expected an image and a number, found '{line[:60]}'")
        numbers[fields[0]] = int(fields[1])
    path = folder.path(file)
    for name in names:
        if name not in numbers:
            raise InputError(f"celeba: '{path}' lacks image '{name}' of {ATTRIBUTES}")
    if len(numbers) != len(names):
        raise InputError(f"celeba: '{path}' lists {len(numbers)} images, {ATTRIBUTES} lists {len(names)}")
    return [numbers[name] for name in names]
