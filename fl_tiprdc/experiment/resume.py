"""Finished parts of a run, kept in its unfinished folder: a resumed run doesn't do them again."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from pyarrow import ArrowInvalid
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fl_tiprdc.config import Experiment, read_toml
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.parallel import as_done
from fl_tiprdc.experiment.progress import Ticker
from fl_tiprdc.experiment.run_folder import WHERE
from fl_tiprdc.release.arrays import Arrays
from fl_tiprdc.whole_file import write_whole

Tables = tuple[pd.DataFrame, ...]


class Kept:
    """Parts by name, each written whole.

    Args:
        root: a folder; not of the finished run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, name: str) -> bool:
        """Return whether arrays are kept under that name."""
        return self._file(name, "safetensors").is_file()

    def keep(self, name: str, arrays: Arrays) -> None:
        """Keep arrays under a name."""
        write_whole(self._file(name, "safetensors"), save(arrays))

    def arrays(self, name: str) -> Arrays:
        """Return the arrays kept under a name.

        Raises:
            InputError: the file is damaged.
        """
        path = self._file(name, "safetensors")
        try:
            kept: Arrays = load_file(path)
        except SafetensorError as error:
            raise _damaged(path, error) from None
        return kept

    def tables(
        self, stage: str, work: Mapping[str, Callable[[], pd.DataFrame]], ticker: Ticker, address: str
    ) -> list[pd.DataFrame]:
        """Return the tables of a stage's work, a table for each part: `several` with one folder."""
        alone = {name: partial(_alone, piece) for name, piece in work.items()}
        return [table for (table,) in self.several((stage,), alone, ticker, address)]

    def several(
        self, stages: Sequence[str], work: Mapping[str, Callable[[], Tables]], ticker: Ticker, address: str
    ) -> list[Tables]:
        """Return the tables of some work, in the order of `work`; as far as they aren't kept, it is done in parallel.

        Args:
            stages: each names a folder, for one of a part's tables.
            work: name of a part -> what makes its tables, one for each of `stages`.
            ticker: moves on by one for each part.
            address: of a Ray cluster to do it on; empty: this machine.

        Raises:
            InputError: a kept table is damaged.
        """
        files = {name: [self._file(f"{stage}/{name}", "parquet") for stage in stages] for name in work}
        done = {
            name: tuple(map(_read, paths)) for name, paths in files.items() if all(path.is_file() for path in paths)
        }
        ticker.tick(len(done))
        for name, tables in as_done({name: piece for name, piece in work.items() if name not in done}, address):
            for path, table in zip(files[name], tables, strict=True):
                write_whole(path, table.to_parquet(None, index=False))
            done[name] = tables
            ticker.tick()
        return [done[name] for name in work]

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _file(self, name: str, suffix: str) -> Path:
        return self.root / f"{name}.{suffix}"


def _alone(piece: Callable[[], pd.DataFrame]) -> Tables:
    return (piece(),)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"'{path}', kept from the interrupted run, is damaged: delete it or leave --resume ({error})")


def check_same(experiment: Experiment, config: Path) -> None:
    """Check that an interrupted run had the same settings.

    Args:
        experiment: what is asked for now.
        config: the interrupted run's config.toml.

    Raises:
        InputError: naming a setting that differs; those that only say where it takes place may.
    """
    before = read_toml(config)
    now = experiment.model_dump(mode="json", exclude_none=True)
    for key in sorted(before.keys() | now.keys()):
        if key not in WHERE and before.get(key) != now.get(key):
            raise InputError(f"the interrupted run had another '{key}': resume with its settings, or leave --resume")
