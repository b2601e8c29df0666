"""German Credit, Bank Marketing and the Open University's students: their counts, classes and tasks."""

from importlib import resources

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.errors import InputError

# of the sources: records, people, the default private attribute's classes with their counts, ones of each task
FACTS = {
    "german-credit": (1000, 1000, {"female": 310, "male": 690}, {"good-risk": 700, "owns-home": 713, "telephone": 404}),
    "bank-marketing": (
        40_004,
        40_004,
        {"married": 27_214, "single": 12_790},
        {"deposit": 4667, "housing-loan": 22_223, "tertiary": 11_830},
    ),
    "oulad": (21_562, 20_316, {"F": 9994, "M": 11_568}, {"pass": 14_655, "a-level": 13_136, "over-35": 6545}),
}


def both(population, of):
    return np.concatenate([of(population.contributors), of(population.held_out)])


def columns(population) -> set[str]:
    return {column.name for column in population.contributors.description.columns}


@pytest.mark.parametrize("dataset", FACTS)
def test_counts_and_classes_are_those_of_the_source(dataset):
    records, persons, private, tasks = FACTS[dataset]
    population = load_population(dataset, (), 0.2)
    (attribute,) = population.contributors.description.attributes
    assert attribute.classes == tuple(private)
    labels = both(population, lambda crowd: crowd.private[:, 0])
    assert len(labels) == records
    assert np.bincount(labels).tolist() == list(private.values())
    assert {name: both(population, lambda crowd, n=name: crowd.tasks[n]).sum() for name in tasks} == tasks
    assert len(np.unique(both(population, lambda crowd: crowd.participant))) == persons
    assert set(population.contributors.participant).isdisjoint(population.held_out.participant)


@pytest.mark.parametrize(
    ("dataset", "private", "no_part_of_x", "tasks"),
    [
        ("german-credit", "sex", {"sex", "marital-status", "class-label"}, {"good-risk", "owns-home", "telephone"}),
        ("german-credit", "over-25", {"age", "class-label"}, {"good-risk", "owns-home", "telephone"}),
        ("german-credit", "housing", {"housing", "class-label"}, {"good-risk", "telephone"}),
        ("bank-marketing", "marital", {"marital", "y", "duration"}, {"deposit", "housing-loan", "tertiary"}),
        ("bank-marketing", "over-40", {"age", "y", "duration"}, {"deposit", "housing-loan", "tertiary"}),
        ("oulad", "disability", {"disability", "final_result", "id_student"}, {"pass", "a-level", "over-35"}),
        ("oulad", "age_band", {"age_band", "final_result", "id_student"}, {"pass", "a-level"}),
    ],
)
def test_what_is_hidden_is_no_part_of_x_and_no_task(dataset, private, no_part_of_x, tasks):
    population = load_population(dataset, (private,), 0.2)
    whole = pd.read_parquet(resources.files("fl_tiprdc.data") / f"{dataset}.parquet")
    assert columns(population) == set(whole.columns) - no_part_of_x
    assert set(population.contributors.tasks) == tasks


def test_over_40_is_what_it_says():
    population = load_population("bank-marketing", ("over-40",), 0.2)
    ages = pd.read_parquet(resources.files("fl_tiprdc.data") / "bank-marketing.parquet")["age"]
    for crowd in (population.contributors, population.held_out):
        assert np.array_equal(crowd.private[:, 0], ages.iloc[crowd.participant] > 40)


def test_a_task_that_the_hidden_column_tells_is_refused():
    with pytest.raises(InputError, match="task 'over-35' is told by a private attribute"):
        load_population("oulad", ("age_band",), 0.2, DataConfig(tasks=("over-35",)))
    with pytest.raises(InputError, match="unknown private attribute of oulad 'race': choose from code_module"):
        load_population("oulad", ("race",), 0.2)


@pytest.mark.parametrize("dataset", ["adult", *FACTS])
def test_each_table_comes_with_its_origin_and_license(dataset):
    folder = resources.files("fl_tiprdc.data")
    assert "CC BY 4.0" in (folder / f"{dataset}.md").read_text()
    assert len((folder / f"{dataset}.parquet").read_bytes()) < 1.5e6
