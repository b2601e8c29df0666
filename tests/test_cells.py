"""Cells of a study: people are loaded once, and each cell has those that its settings name."""

from dataclasses import replace

import pytest

from fl_tiprdc.config import build_experiment
from fl_tiprdc.data.datasets import DATASETS
from fl_tiprdc.errors import InputError, TooFewPeopleError
from fl_tiprdc.studies.cells import CheckedCells


@pytest.fixture
def loads(monkeypatch) -> list[tuple[str, tuple[str, ...], float]]:
    """What was loaded, in order."""
    seen = []

    def noting(name, load):
        def noted(config, private, held_out):
            seen.append((name, tuple(private), held_out))
            return load(config, private, held_out)

        return noted

    for name in ("adult", "german-credit"):
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], load=noting(name, DATASETS[name].load)))
    return seen


def test_cells_share_their_people_and_no_others(loads):
    cells = CheckedCells()
    changes = [{}, {"partition": "by-private"}, {"private": ["race"]}, {"private": ["race"], "methods": ["tiprdc"]}]
    changes += [{"held_out": 0.5}, {"data": {"records": 20_000}}]
    first, second, race, other, half, _ = (cells.check(build_experiment({"dataset": "adult", **c})) for c in changes)
    assert loads == [("adult", (p,), h) for p, h in (("sex", 0.2), ("race", 0.2), ("sex", 0.5), ("sex", 0.2))]
    assert first.population is second.population
    assert race.population is other.population is not first.population
    assert first.experiment.private == ("sex",)
    assert race.experiment.private == ("race",)
    assert len(half.population.contributors) < len(first.population.contributors)


def test_people_who_are_too_few_for_a_method_are_kept_for_the_next(loads):
    cells = CheckedCells()
    given = {"dataset": "german-credit", "clients": 5}
    for _ in range(2):
        with pytest.raises(TooFewPeopleError):
            cells.check(build_experiment({**given, "methods": ["coded"]}))
    assert cells.check(build_experiment({**given, "methods": ["tiprdc"]})).population.contributors
    assert len(loads) == 1


def test_an_unknown_data_set_is_named():
    with pytest.raises(InputError, match="unknown data set 'nobody'"):
        CheckedCells().check(build_experiment({"dataset": "nobody"}))
