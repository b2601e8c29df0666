"""The study of crowd sizes: generated people whose limits are known, and what codes of more of them keep and leak."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

from fl_tiprdc.config import build_experiment
from fl_tiprdc.data.crowd import Attribute, Column, Crowd, Description, Population
from fl_tiprdc.experiment.checking import check_experiment
from fl_tiprdc.experiment.run_folder import open_folder
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.report.crowd_figure import crowd_figure
from fl_tiprdc.report.style import save
from fl_tiprdc.seeding import numpy_generator
from fl_tiprdc.studies.cells import Cell, run_or_take
from fl_tiprdc.whole_file import write_table

Reals = npt.NDArray[np.float64]
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000)
HELD_OUT = 20_000
TRAITS, COLUMNS = 8, 24  # what people differ in, and what is seen of it
TASKS = 4  # each asks for the sign of one trait
SHIFT = 0.5  # of every trait's mean between the two private classes, in its standard deviations
NOISE = 0.7  # of a column, in standard deviations of a trait
UNTOLD = 0.5  # of what a task asks for, beyond the trait
SETTINGS = {
    "dataset": "table",
    "settings": ["centralized"],
    "methods": ["coded"],
    "baselines": [],
    "lambdas": [1.0],
    "audit": {"attackers": ["logistic"], "probes": ["logistic", "boosting"], "further": [], "reconstruct": "never"},
}


class Generated:
    """People of two private classes whose traits are normal, seen through noisy columns.

    Args:
        seed: from which the columns derive.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._loads: Reals = numpy_generator(seed, "crowd-columns").normal(size=(TRAITS, COLUMNS)) / np.sqrt(TRAITS)

    def draw(self, people: int, *ids: int | str) -> tuple[Reals, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return columns [n, COLUMNS], private classes [n] and task labels [n, TASKS]."""
        generator = numpy_generator(self._seed, "crowd", *ids)
        private = generator.integers(0, 2, people)
        traits = generator.normal(size=(people, TRAITS)) + SHIFT * (private[:, None] - 0.5)
        columns = traits @ self._loads + NOISE * generator.normal(size=(people, COLUMNS))
        asked = traits[:, :TASKS] + UNTOLD * generator.normal(size=(people, TASKS))
        return columns, private, (asked > 0).astype(np.int64)

    def crowd(self, people: int, *ids: int | str) -> Crowd:
        """Return people as a crowd with a table."""
        columns, private, tasks = self.draw(people, *ids)
        spread = np.sqrt((self._loads**2).sum(0) + (SHIFT / 2 * self._loads.sum(0)) ** 2 + NOISE**2)
        description = Description.of_table(
            tuple(Column(f"x{i}", "numeric", i) for i in range(COLUMNS)),
            (Attribute("class", ("first", "second")),),
            ((0.5, 0.5),),
        )
        labels = {f"trait-{i + 1}": tasks[:, i] for i in range(TASKS)}
        return Crowd((columns / spread).astype(np.float32), private[:, None], labels, np.arange(people), description)

    def best_scores(self, columns: Reals) -> tuple[Reals, Reals]:
        """Return P(second class | columns) [n], and P(task | columns, class) [2, n, TASKS].

        Traits are normal given columns and class, and what a task asks for is such a trait and noise.
        """
        precision = np.eye(TRAITS) + self._loads @ self._loads.T / NOISE**2
        cover = self._loads.T @ self._loads + NOISE**2 * np.eye(COLUMNS)
        deviation = np.sqrt(np.diag(np.linalg.inv(precision)) + UNTOLD**2)[:TASKS]
        logits, scores = [], []
        for value in (0, 1):
            prior = SHIFT * (value - 0.5) * np.ones(TRAITS)
            rest = columns - prior @ self._loads
            means = prior + np.linalg.solve(precision, self._loads @ rest.T / NOISE**2).T
            logits.append(-0.5 * (rest * np.linalg.solve(cover, rest.T).T).sum(1))
            scores.append(norm.cdf(means[:, :TASKS] / deviation))
        return expit(logits[1] - logits[0]), np.stack(scores)

    def limit(self, people: int = 400_000) -> float:
        """Return R of the best scores that tell nothing of the private class: a person's rank within the class."""
        columns, private, tasks = self.draw(people, "limit")
        second, scores = self.best_scores(columns)
        own = np.where(private[:, None] == 1, scores[1], scores[0])
        raw = scores[0] + second[:, None] * (scores[1] - scores[0])
        ranks = np.zeros_like(own)
        for value in (0, 1):
            of_class = private == value
            ranks[of_class] = rankdata(own[of_class], axis=0) / of_class.sum()
        kept = [
            (roc_auc_score(tasks[:, i], ranks[:, i]) - 0.5) / (roc_auc_score(tasks[:, i], raw[:, i]) - 0.5)
            for i in range(TASKS)
        ]
        return float(np.mean(kept))


def size_row(people: int, points: pd.DataFrame, folder: Path) -> dict[str, float]:
    """Return the row of sizes.csv of a finished run."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    (certificate,) = summary["certificates"]
    (point,) = points[points["setting"] == "centralized"].to_dict("records")
    return {
        "people": people,
        "codes": certificate["codes"],
        "retention": point["retention"],
        "exact": point["exact"],
        "certified": point["certified"],
        "raw": points.loc[points["setting"] == "raw", "attack"].item(),
        "seconds": sum(summary["seconds"].values()),
    }


def study_sizes(sizes: Sequence[int], output: Path, console: Screen) -> pd.DataFrame:
    """Run or take every size, each at one place in a folder under `output`; write sizes.csv and the figure.

    Args:
        sizes: numbers of people.
        output: folder of the study.
        console: for progress.

    Returns:
        The table, one row a size.

    Raises:
        InputError: a size is too small.
    """
    generated, experiment = Generated(0), build_experiment(SETTINGS)
    held_out = generated.crowd(HELD_OUT, "held-out")
    crowds = {people: Population(generated.crowd(people, "contributors", people), held_out) for people in sizes}
    cells = {people: Cell(*check_experiment(experiment, crowd)) for people, crowd in crowds.items()}
    open_folder(output)
    with console.status("limit"):
        limit = generated.limit()
    rows: list[dict[str, float]] = []
    for people, cell in cells.items():
        folder = output / str(people)
        points = run_or_take(cell, folder, console, resume=False)
        rows.append({**size_row(people, points, folder), "limit": limit})
        table = pd.DataFrame(rows)  # a study that is cut short keeps what it has
        write_table(output / "sizes.csv", table)
    save(crowd_figure(table), output, "sizes")
    return table
