"""Finished parts of a run, kept in its unfinished folder: a resumed run doesn't do them again."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from safetensors.numpy import load_file, save

from fl_tiprdc.config import Experiment, read_toml
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.messages import Arrays
from fl_tiprdc.whole_file import write_whole
from simulations.stages import Ticker

WHERE = ("runtime", "actors", "ray_address")  # settings that decide where a run takes place, not what it finds


class Kept:
    """Parts by name, each written whole.

    Args:
        root: a folder; not of the finished run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, name: str) -> bool:
        """Whether arrays are kept under that name."""
        return self._file(name, "safetensors").is_file()

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays kept under a name; made and kept where there are none."""
        path = self._file(name, "safetensors")
        if not path.is_file():
            made = make()
            self._write(path, save(made))
            return made
        kept: Arrays = load_file(path)
        return kept

    def tables(self, stage: str, work: Mapping[str, Any], ticker: Ticker) -> list[pd.DataFrame]:
        """The tables of a stage's work, which is done in parallel as far as none is kept; in the order of `work`.

        Args:
            stage: names a folder.
            work: name of a part -> joblib's delayed call that makes its table.
            ticker: moves on by one for each part.
        """
        done: dict[str, pd.DataFrame] = {}
        left: dict[str, Any] = {}
        for name, call in work.items():
            if (path := self._file(f"{stage}/{name}", "parquet")).is_file():
                done[name] = pd.read_parquet(path)
                ticker.tick()
            else:
                left[name] = joblib.delayed(_named)(name, call)
        parallel = joblib.Parallel(
            n_jobs=joblib.cpu_count(), return_as="generator_unordered", inner_max_num_threads=1, backend="loky"
        )
        for name, table in parallel(left.values()):
            self._write(self._file(f"{stage}/{name}", "parquet"), table.to_parquet(None, index=False))
            done[name] = table
            ticker.tick()
        return [done[name] for name in work]

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)

    def _file(self, name: str, suffix: str) -> Path:
        return self.root / f"{name}.{suffix}"


def _named(name: str, call: tuple[Callable[..., pd.DataFrame], tuple[Any, ...], dict[str, Any]]) -> Any:
    function, arguments, named = call
    return name, function(*arguments, **named)


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
