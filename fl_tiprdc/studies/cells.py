"""The cells of a study: runs in folders of their own, taken as they are if they are there, and their one table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.evaluation.frontier import summarize_points
from fl_tiprdc.experiment.checking import check_experiment, load_people
from fl_tiprdc.experiment.fingerprint import changed_since, fingerprint
from fl_tiprdc.experiment.run import run_experiment
from fl_tiprdc.experiment.run_folder import config_text, open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.whole_file import write_table

Rows = Callable[[str, Experiment, Path, pd.DataFrame], pd.DataFrame]  # name, settings, folder, points -> a cell's rows


class Cell(NamedTuple):
    """Describe one run of a study: its settings and its people."""

    experiment: Experiment
    population: Population


class CheckedCells:
    """Make cells of experiments; people that several cells are about are loaded once."""

    def __init__(self) -> None:
        self._loaded: dict[str, Population] = {}

    def check(self, experiment: Experiment) -> Cell:
        """Return the cell of an experiment, checked as far as that goes without training.

        Raises:
            InputError: naming the value and what is allowed.
        """
        people = experiment.model_dump_json(include={"dataset", "private", "held_out", "data"})
        if people not in self._loaded:
            self._loaded[people] = load_people(experiment)[1]
        return Cell(*check_experiment(experiment, self._loaded[people]))


def run_or_take(cell: Cell, folder: Path, console: Screen, resume: bool) -> pd.DataFrame:
    """Return the points of the run in `folder` if it had the same settings, data and code, else of a new one.

    Args:
        cell: what to run.
        folder: of the run's results.
        console: for progress.
        resume: go on with an interrupted run.
    """
    experiment, population = cell
    config = folder / "config.toml"
    same = config.is_file() and config.read_text(encoding="utf-8") == config_text(experiment)
    changed = changed_since(folder, fingerprint(population)) if same else ""
    if same and not changed:
        console.print(f"{folder.name}: taken from {folder}", highlight=False)
    else:
        why = f" anew, as the run that is there had {changed}" if changed else ""
        console.print(f"{folder.name}:{why}", highlight=False)
        run_experiment(experiment, population, folder, console, resume)
    return summarize_points(pd.read_csv(folder / "metrics.csv"))  # numbers as a later study reads them


def tabulate(
    cells: Mapping[str, Cell],
    rows: Rows,
    output: Path,
    file: str,
    console: Screen,
    resume: bool = False,
    digits: int = 4,
) -> pd.DataFrame:
    """Run or take every cell and return the table of their rows, which is written after each of them.

    Args:
        cells: name, of a folder under `output` too -> what to run.
        rows: makes a cell's rows.
        output: folder of the study.
        file: name of the table in it.
        console: for progress.
        resume: go on with an interrupted cell.
        digits: decimals of numbers in the file.

    Raises:
        InputError: as in `run_experiment`.
    """
    open_folder(output)
    frames: list[pd.DataFrame] = []
    table = pd.DataFrame()
    for name, cell in cells.items():
        folder = output / name
        frames.append(rows(name, cell.experiment, folder, run_or_take(cell, folder, console, resume)))
        table = pd.concat(frames, ignore_index=True)  # a study that is cut short keeps what it has
        write_table(output / file, table, digits)
    return table
