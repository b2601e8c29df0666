"""The shared part of the official data sets' loaders: finding and reading files, choosing tasks, sampling people."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import Ints, Population
from fl_tiprdc.data.lazy_images import LazyImages
from fl_tiprdc.data.population import build_population
from fl_tiprdc.errors import InputError, require_known
from fl_tiprdc.seeding import numpy_generator

IMAGE_SIZE = (64, 64)  # height and width that a CPU trains on; the papers keep CelebA's 218 x 178
DEPTH = 4  # folders are looked for in the root and so many levels below it, less one
ARCHIVES = (".zip", ".7z", ".tar", ".tgz", ".tar.gz")
FLAGS = ("no", "yes")  # the classes of a private yes-or-no attribute


@dataclass(frozen=True)
class OfficialFolder:
    """Find a data set's official files in a folder, or in the folders that its archives unpack to.

    Attributes:
        dataset: name of the data set.
        origin: where people get it.
        root: the folder.
    """

    dataset: str
    origin: str
    root: Path

    @classmethod
    def of(cls, dataset: str, origin: str, config: DataConfig) -> "OfficialFolder":
        """Return the folder that the settings name.

        Raises:
            InputError: they name none, or it is no folder.
        """
        if config.root is None:
            raise InputError(
                f"{dataset} needs its official files: name their folder with --data-root; get them from {origin}"
            )
        if not config.root.is_dir():
            raise InputError(f"{dataset}: '{config.root}' (--data-root) is no folder; get the data set from {origin}")
        return cls(dataset, origin, config.root)

    def path(self, name: str) -> Path:
        """Return where a file or folder is: in the root, else in the first folder below it that has it.

        The path in the root if it is nowhere.
        """
        places = (place / name for depth in range(DEPTH) for place in self._folders(depth))
        return next((place for place in places if place.exists()), self.root / name)

    def _folders(self, depth: int) -> list[Path]:
        """Return the folders `depth` levels below the root, in order."""
        return sorted(path for path in self.root.glob("*/" * depth) if path.is_dir()) if depth else [self.root]

    def _named(self, names: Sequence[str]) -> Iterator[Path]:
        """Yield the folders with one of these names, the highest first."""
        for depth in range(DEPTH):
            for place in self._folders(depth):
                yield from (place / name for name in names if (place / name).is_dir())

    def missing(self, what: str) -> InputError:
        """Return an InputError for files that are nowhere; it names archives that only have to be unpacked."""
        archives = [path for depth in range(DEPTH) for path in self._archives(depth)]
        hint = f"unpack '{archives[0]}', or " if archives else ""
        return InputError(f"{self.dataset}: {what}; {hint}get the data set from {self.origin}")

    def _archives(self, depth: int) -> list[Path]:
        return sorted(path for path in self.root.glob("*/" * depth + "*") if path.name.lower().endswith(ARCHIVES))

    def lines(self, name: str) -> list[str]:
        """Return the lines of a text file, without their ends.

        Raises:
            InputError: the file is missing or can't be read.
        """
        path = self.path(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            other = self.path(Path(name).with_suffix(".csv").name)
            aside = f" ('{other}' is not the official file)" if other.exists() else ""
            raise self.missing(f"'{path}' is missing{aside}") from None
        except OSError as error:
            raise InputError(f"{self.dataset}: cannot read '{path}': {error.strerror}") from None
        # not splitlines: a vocabulary may hold any other line separator of Unicode as a word
        lines = content.decode("utf-8", errors="replace").split("\n")
        if lines[-1] == "":
            lines.pop()
        return [line.rstrip("\r") for line in lines]

    def wrong(self, name: str, number: int, problem: str) -> InputError:
        """Return an InputError for line `number` (from 1) of a file."""
        return InputError(f"{self.dataset}: '{self.path(name)}', line {number}: {problem}")

    def images(self, folders: Sequence[str], names: Sequence[str]) -> list[Path]:
        """Return the paths of the images `names` (with / between folders).

        Args:
            folders: names that the folder with the images may have. Of those that there are, the one that holds most of
                the images counts: archives often unpack to a folder in a folder of the same name.
            names: of the images.

        Raises:
            InputError: the folder or an image is missing, or an image is named twice.
        """
        (twice, count), *_ = Counter(names).most_common(1) or [("", 1)]
        if count > 1:
            raise InputError(f"{self.dataset}: image '{twice}' is listed {count} times")
        base, most = None, -1
        for folder in self._named(folders):
            present = _listing(folder, names)
            if len(present) > most:
                base, most, missing = folder, len(present), [name for name in names if name not in present]
            if most == len(names):
                break
        if base is None:
            raise self.missing(f"folder '{self.root / folders[0]}' is missing")
        if missing:
            raise self.missing(
                f"{len(missing)} of {len(names)} listed images are missing, the first is '{base / missing[0]}'"
            )
        return [base / name for name in names]


def _listing(base: Path, names: Sequence[str]) -> set[str]:
    """Return those of the images that are in a folder; one listing of it instead of a look at each of its files."""
    present: set[str] = set()
    for parent in {name.rpartition("/")[0] for name in names}:
        if (base / parent).is_dir():
            present.update(f"{parent}/{path.name}" if parent else path.name for path in (base / parent).iterdir())
    return present.intersection(names)


def choose_tasks(
    dataset: str, config: DataConfig, private: Sequence[str], attributes: Sequence[str], usual: Sequence[str]
) -> tuple[str, ...]:
    """Return the tasks: those of the settings or the `usual` ones, without the private attributes.

    Raises:
        InputError: a name is not one of `attributes`, or no task is left.
    """
    require_known(f"private attribute of {dataset}", private, attributes)
    require_known(f"task of {dataset}", config.tasks, attributes)
    tasks = tuple(name for name in dict.fromkeys(config.tasks or usual) if name not in private)
    if not tasks:
        raise InputError(f"hiding {', '.join(private)} leaves no task of {dataset} to audit: name others as tasks")
    return tasks


def sample_people(participant: Ints, records: int) -> Ints:
    """Return the rows of `records` records (0: all), in order: people drawn at random, with all they have.

    Whole people, so that a person keeps several records; only the last one's may be cut. The same ones for every
    experiment seed.
    """
    n = len(participant)
    if records == 0 or records >= n:
        return np.arange(n, dtype=np.int64)
    person = np.unique(participant, return_inverse=True)[1]
    rank = numpy_generator(0, "sample").permutation(person.max() + 1)
    return np.sort(np.argsort(rank[person], kind="stable")[:records])


def image_population(
    paths: Sequence[Path],
    private: pd.DataFrame,
    tasks: Mapping[str, Ints],
    participant: Ints,
    held_out: float,
    config: DataConfig,
) -> Population:
    """Return a population of color images that stay in their files.

    Args:
        paths: [n] image files.
        private: [n] private columns, raw.
        tasks: name -> [n] labels from 0.
        participant: [n] the person in the image.
        held_out: share of the people who contribute nothing.
        config: size, number of records and memory.

    Raises:
        InputError: a private attribute has a single value, there are fewer than two people, or one of the
            images from which pixel statistics are taken can't be decoded.
    """
    rows = sample_people(participant, config.records)
    images = LazyImages([paths[row] for row in rows], config.size or IMAGE_SIZE, 3, config.cache_megabytes << 20)
    return build_population(
        lambda known: (images, ()),
        private.iloc[rows],
        {name: labels[rows] for name, labels in tasks.items()},
        participant[rows],
        held_out,
        "image",
    )


def flagged_image_population(
    paths: Sequence[Path],
    flags: Mapping[str, Ints],
    private: Sequence[str],
    tasks: Sequence[str],
    participant: Ints,
    held_out: float,
    config: DataConfig,
) -> Population:
    """Return the `image_population` of images with yes-or-no attributes.

    Args:
        paths: [n] image files.
        flags: name of an attribute -> [n], 0 or 1.
        private: those to hide.
        tasks: those that tasks predict.
        participant: [n] the person in the image.
        held_out: share of the people who contribute nothing.
        config: size, number of records and memory.

    Raises:
        InputError: as `image_population`.
    """
    hidden = pd.DataFrame({name: np.array(FLAGS)[flags[name]] for name in private})
    return image_population(paths, hidden, {name: flags[name] for name in tasks}, participant, held_out, config)
