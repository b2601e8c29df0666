"""Codes that are independent of the private class within the levels of columns that attackers know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from fl_tiprdc.config import Point, build_experiment
from fl_tiprdc.data.crowd import Column
from fl_tiprdc.errors import InputError
from fl_tiprdc.extractor.export import WithPrivate
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.methods import CodesConfig
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.known_levels import (
    FEWEST_OF_LEVEL,
    across_levels,
    count_levels,
    group_levels,
    joined_note,
    known_columns,
    level_of,
    level_shares,
    with_level,
)
from fl_tiprdc.release.release import CodedRelease
from fl_tiprdc.release.statistics import Coded
from tests.coded_crowd import coded
from tests.conftest import adult
from tests.test_codebook import D, crowd, fit
from tests.test_coded_modalities import run_on

MARRIED = Column("married", "categorical", 0, ("no", "yes", "widowed"))
WIDE = [Column(name, "categorical", 40 * i, tuple(map(str, range(40)))) for i, name in enumerate("ab")]
AGE = Column("age", "numeric", 3, mean=40.0, deviation=10.0, middle=35.0)


def test_a_level_is_a_category_or_a_side_of_the_median():
    x = np.array([[1, 0, 0, -0.6], [0, 1, 0, -0.4], [0, 0, 1, 2]], dtype=np.float32)
    assert level_of(known_columns(["married"], [MARRIED, AGE]), x).tolist() == [0, 1, 2]
    assert level_of(known_columns(["age"], [MARRIED, AGE]), x).tolist() == [0, 1, 1]
    both = known_columns(["married", "age"], [MARRIED, AGE])
    assert level_of(both, x).tolist() == [0, 3, 5]
    assert count_levels(both) == 8
    assert with_level(np.array([1, 0, 1]), both, x).tolist() == [8, 3, 13]
    x[0, 0] = 0  # a value that is none of the categories
    assert level_of(known_columns(["married"], [MARRIED, AGE]), x).tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (["wage"], [AGE], "unknown column 'wage': choose one of age"),
        (["age", "age"], [AGE], "age, age: has a column twice"),
        (["age"], [], "the records are no table: there are no columns that attackers could know"),
        (["a", "b"], WIDE, "known columns a, b have 1681 levels together: at most 1000"),
    ],
)
def test_columns_that_are_not_there_are_refused(names, columns, message):
    with pytest.raises(InputError) as refused:
        known_columns(names, columns)
    assert str(refused.value) == message


def test_codes_of_x_alone_refuse_known_columns():
    coding = {"sees_private": False, "known": ["age"]}
    with pytest.raises(InputError, match=r"^method\.coded\.coding\.known must be \[\] with sees_private = false"):
        build_experiment({"method": {"coded": {"coding": coding}}})


def test_rare_levels_are_joined():
    many, few = 6 * FEWEST_OF_LEVEL, FEWEST_OF_LEVEL // 2
    group, levels = group_levels(np.array([[many, few, many, few], [many, few, many, few]]))
    assert (group.tolist(), levels) == ([0, 2, 1, 2, 3, 5, 4, 5], 3)
    group, levels = group_levels(np.array([[many, 9, 2 * many], [many, many, many]]))  # one alone joins the largest
    assert (group.tolist(), levels) == ([0, 1, 1, 2, 3, 3], 2)
    group, levels = group_levels(np.array([[few, few], [many, many]]))  # a small class is asked for a tenth of it
    assert (group.tolist(), levels) == ([0, 1, 2, 3], 2)
    assert joined_note(("married",), 4, 3).startswith("of 4 levels of the known columns (married) 3 are told apart")
    assert joined_note(("married",), 4, 4) == ""


def test_a_column_of_which_one_level_is_left_is_refused():
    with pytest.raises(InputError, match="all levels but one have too few people"):
        group_levels(np.array([[2 * FEWEST_OF_LEVEL, 3], [2 * FEWEST_OF_LEVEL, 2 * FEWEST_OF_LEVEL]]))


def test_what_a_level_may_tell_doesnt_tell_the_class():
    generator = np.random.default_rng(0)
    people = np.array([[500, 300, 200, 400], [100, 600, 300, 250]])
    uncoupled = generator.dirichlet(np.ones(6), size=(2, 4))
    relative = level_shares(uncoupled, people, 6)
    assert relative.min() >= 0
    np.testing.assert_allclose(relative.sum(1), 6)
    of_class = across_levels(np.tile(relative / 6, (2, 1, 1)), people)
    np.testing.assert_allclose(of_class, 1 / 6, atol=1e-7)
    assert np.abs(relative - 1).max() > 0.1  # with more levels than classes, codes go on telling the level


def test_two_levels_that_depend_on_the_class_use_codes_alike():
    people = np.array([[500, 300], [100, 600]])
    uncoupled = np.random.default_rng(0).dirichlet(np.ones(6), size=(2, 2))
    np.testing.assert_allclose(level_shares(uncoupled, people, 6), 1, atol=1e-6)


def _levelled(seed: int = 0) -> Coded:
    """A crowd in which a column tells the class, and codes of x tell the column."""
    people = crowd({0: 6000, 1: 6000}, seed)
    generator = np.random.default_rng(seed)
    old = generator.random(12000) < np.where(people.joint == 1, 0.7, 0.3)
    z = people.z.copy()
    z[old, 1] += 1.5
    z = (np.sqrt(D) * z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    x, normal = np.where(old, 1, -1).astype(np.float32)[:, None], generator.standard_normal((12000, 1))

    def draw(codes: Codes) -> np.ndarray:
        return codes.draw(z, with_level(people.joint, codes.known, x), normal)

    return replace(people, z=z, draw=draw, x=x)


def _leak(codes: np.ndarray, joint: np.ndarray) -> float:
    counts = np.stack([np.bincount(codes[joint == u], minlength=8) for u in (0, 1)])
    shares = counts / counts.sum(1, keepdims=True)
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())


def test_who_knows_the_level_learns_nothing_more():
    people = _levelled()
    old = people.x[:, 0] > 0
    plain = fit([people], CodesConfig(codes=8), lambdas=(0.0, 1.0))[0]
    given = fit([people], CodesConfig(codes=8, known=("age",)), lambdas=(0.0, 1.0))[0]
    aside = people.certifying
    for fitted, within in ((plain, False), (given, True)):
        codes = people.draw(fitted.couplings[1])
        assert _leak(codes[aside], people.joint[aside]) < 0.06  # nobody tells the class from the code alone
        leaks = [_leak(codes[aside & side], people.joint[aside & side]) for side in (old, ~old)]
        assert all(leak < 0.13 if within else leak > 0.19 for leak in leaks)  # some hundred people on a side
    assert given.counts.shape == plain.counts.shape == (2, 2, 8)  # certified are the classes, whatever is known
    assert given.counts[1].sum() == aside.sum()
    assert given.fitted.tolist() == plain.fitted.tolist()


def test_several_clients_are_one_crowd():
    people, kept = _levelled(), np.arange(12000) % 2 == 0
    halves = [
        replace(
            people,
            z=people.z[part],
            joint=people.joint[part],
            certifying=people.certifying[part],
            x=people.x[part],
            draw=lambda codes, part=part: people.draw(codes)[part],
        )
        for part in (kept, ~kept)
    ]
    config = CodesConfig(codes=8, known=("age",))
    alone, together = fit([people], config)[0], fit(halves, config)[0]
    np.testing.assert_allclose(alone.couplings[2].potentials, together.couplings[2].potentials, atol=1e-4)


def test_the_release_and_its_export_look_at_the_known_columns():
    people = _levelled()
    codes = fit([people], CodesConfig(codes=8, known=("age",)))[0].couplings[2]
    again = Codes.of_arrays(codes.arrays())
    assert again.digest == codes.digest
    np.testing.assert_array_equal(again.known, codes.known)
    x = np.concatenate([people.x, people.z], axis=1)[:200]

    class Rest(torch.nn.Module):
        def forward(self, x):
            return x[:, 1:]

    rest, normal = Rest(), np.random.default_rng(1).standard_normal((200, 1)).astype(np.float32)
    private = people.joint[:200, None]
    released = CodedRelease(rest, again, (2,)).apply(x, private, lambda part, width: normal[: len(part)])
    swapped = x.copy()
    swapped[:, 0] *= -1
    other = CodedRelease(rest, again, (2,)).apply(swapped, private, lambda part, width: normal[: len(part)])
    assert (released.codes != other.codes).mean() > 0.05
    uniform = torch.from_numpy(ndtr(normal.astype(np.float64)))
    exported, _ = WithPrivate(rest, again)(torch.from_numpy(x), torch.from_numpy(private[:, 0]), uniform)
    np.testing.assert_array_equal(exported.numpy(), released.codes)


@pytest.mark.parametrize("secagg", [False, True])
def test_clients_fit_codes_within_levels(secagg, tmp_path):
    """A federated run, its extractor and its publication; centralized it hides as well."""
    population = adult()
    known = ["relationship", "age"]
    settings = ("federated",) if secagg else ("centralized", "federated")
    changes = {"settings": settings, "lambdas": (1.0,), "protection": {"secagg": secagg}}
    outcome, _ = run_on(population, tmp_path, coding={"known": known}, **changes)
    assert all("told apart, the others joined" in one.note for one in outcome.certified)
    crowd = population.contributors
    levels = level_of(known_columns(known, crowd.description.columns), crowd.x)
    for setting in settings:
        (groups,) = (made for (where, _), made in outcome.extractors.items() if where == setting)
        codes = Codes.of_arrays(groups["codes"])
        assert len(codes.known) == 2
        assert len(codes.group) == 2 * count_levels(codes.known)
        assert levels.max() < count_levels(codes.known)


def test_a_client_is_asked_about_no_other_columns(make_store, population):
    experiment = coded()
    instruction = replace(instruction_for(experiment, Point("coded", 1.0, 0)), phase="codes.class-counts")
    known = known_columns(["age"], population.contributors.description.columns)
    question = {"classes": np.array([2.0], np.float32), "known": known}
    with pytest.raises(InputError, match="the method doesn't name"):
        perform(make_store(), instruction, {"question": question, "extractor": {}}, [0])
