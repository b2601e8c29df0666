"""Couplings by optimal transport: codes that classes can share, and how people come to use them alike."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import softmax

from fl_tiprdc.errors import InputError
from fl_tiprdc.release.coupling import (
    CapExponents,
    better_potentials,
    class_free_plan,
    common_codewords,
    leftovers,
    squared_distances,
)

TEMPERATURE = 0.02


def squares(people: list[int], shift: float) -> np.ndarray:
    """Points around the corners of a unit square whose lower left is at (shift, 0), so many at each corner."""
    generator = np.random.default_rng(len(people) + int(10 * shift))
    corners = np.array([[shift, 0], [shift, 1], [shift + 1, 0], [shift + 1, 1]])
    return np.concatenate([c + 0.05 * generator.standard_normal((n, 2)) for c, n in zip(corners, people, strict=True)])


def used(points: np.ndarray, potentials: np.ndarray, codewords: np.ndarray, softness=TEMPERATURE) -> np.ndarray:
    """Shares [K] of points that use each code."""
    return softmax((potentials - squared_distances(points, codewords)) / softness, axis=1).mean(0)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(0.5 * np.abs(a - b).sum())


def test_squared_distances_are_those_of_pythagoras():
    assert squared_distances(np.array([[0, 0], [1, 0]]), np.array([[3, 4]])).tolist() == [[25], [20]]


@pytest.mark.parametrize("dim", [0, 1])
def test_logarithms_of_sums_have_the_bits_of_torchs_whether_terms_underflow_or_not(dim):
    for spread in (1.0, 30.0, 1000.0):
        values = spread * torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
        with CapExponents():
            capped = torch.logsumexp(values, dim), torch.logsumexp(values, dim, keepdim=True)
        assert torch.equal(capped[0], torch.logsumexp(values, dim))
        assert torch.equal(capped[1], torch.logsumexp(values, dim, keepdim=True))


# ---- common codewords


def test_two_classes_share_codewords_half_way_and_use_them_equally():
    # the same square, 0.4 apart, with the corners filled otherwise: four codes of a quarter of each class
    sides = [squares([60, 20, 80, 40], 0.0), squares([30, 70, 50, 50], 0.4)]
    weights = [np.full(len(side), 1 / len(side)) for side in sides]
    codewords, potentials = common_codewords(sides, weights, 4, TEMPERATURE, seed=0)
    assert (codewords.shape, potentials.shape) == ((4, 2), (2, 4))
    assert codewords.dtype == np.float32
    np.testing.assert_allclose(potentials.mean(1), 0, atol=1e-9)
    for g, side in enumerate(sides):
        np.testing.assert_allclose(used(side, potentials[g], codewords), 0.25, atol=0.01)
    uncoupled = [used(side, np.zeros(4), codewords) for side in sides]
    assert distance(*uncoupled) > 0.15  # without potentials they tell the class
    # in equal shares, the mean codeword is the mean of both classes' means
    np.testing.assert_allclose(codewords.mean(0), np.mean([side.mean(0) for side in sides], axis=0), atol=0.03)


def test_codewords_of_classes_that_are_alike_are_their_corners():
    sides = [squares([50] * 4, 0.0)] * 2
    codewords, potentials = common_codewords(sides, [np.full(200, 1 / 200)] * 2, 4, TEMPERATURE, seed=1)
    found = codewords[np.lexsort((np.round(codewords[:, 1]), np.round(codewords[:, 0])))]
    np.testing.assert_allclose(found, [[0, 0], [0, 1], [1, 0], [1, 1]], atol=0.05)
    np.testing.assert_allclose(potentials[0], potentials[1], atol=1e-6)


def test_codewords_follow_from_the_seed():
    sides, weights = [squares([30, 10, 20, 20], 0.0)] * 2, [np.full(80, 1 / 80)] * 2
    first, again = (common_codewords(sides, weights, 3, TEMPERATURE, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


# ---- potentials


def test_better_potentials_come_nearer_at_every_step_and_arrive():
    points = squares([60, 20, 80, 40], 0.0)
    codewords = squares([1] * 4, 0.2).astype(np.float32)
    cells, weights = points[::2], np.full(100, 0.01)  # half of the people stand for all of them
    for wanted in (np.full(4, 0.25), np.array([0.4, 0.3, 0.2, 0.1])):
        potentials = np.zeros(4)
        shares = used(points, potentials, codewords, 0.1)
        left = [distance(shares, wanted)]
        for _ in range(12):
            potentials = better_potentials(potentials, shares, wanted, cells, weights, codewords, 0.1)
            shares = used(points, potentials, codewords, 0.1)
            left.append(distance(shares, wanted))
        assert left[0] > 0.15
        assert all(later < earlier for earlier, later in pairwise(left) if earlier > 1e-4)
        assert left[-1] < 1e-4


def test_potentials_that_are_right_stay():
    points, codewords = squares([50] * 4, 0.0), squares([1] * 4, 0.1).astype(np.float32)
    shares = used(points, np.zeros(4), codewords)
    weights = np.full(200, 1 / 200)
    same = better_potentials(np.zeros(4), shares, shares, points, weights, codewords, TEMPERATURE)
    np.testing.assert_allclose(same, 0, atol=1e-12)


def test_a_step_never_exceeds_its_limit():
    points, codewords = squares([50] * 4, 0.0), squares([1] * 4, 0.1).astype(np.float32)
    far = np.array([0.97, 0.01, 0.01, 0.01])
    shares = np.array([1e-9, 0.4, 0.3, 0.3])
    moved = better_potentials(np.zeros(4), shares, far, points, np.full(200, 1 / 200), codewords, TEMPERATURE)
    assert np.abs(moved).max() <= 2 * TEMPERATURE + 1e-12
    assert moved[0] > 0


# ---- leftovers


def test_leftovers_by_hand():
    keep, fill = leftovers(np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3]))
    np.testing.assert_allclose(keep, [0.8, 1, 1])
    np.testing.assert_allclose(fill, [0, 0, 1])
    keep, fill = leftovers(np.array([0.7, 0.3, 0.0]), np.array([0.2, 0.5, 0.3]))
    np.testing.assert_allclose(keep, [2 / 7, 1, 1])
    np.testing.assert_allclose(fill, [0, 0.4, 0.6])
    keep, fill = leftovers(np.array([0.25, 0.75]), np.array([0.25, 0.75]))
    np.testing.assert_allclose(keep, 1)
    np.testing.assert_allclose(fill, [0.25, 0.75])


def test_leftovers_lead_to_what_is_wanted_and_move_no_more_than_needed():
    generator = np.random.default_rng(0)
    for _ in range(20):
        shares, wanted = generator.dirichlet(np.full(9, 0.5)), generator.dirichlet(np.ones(9))
        keep, fill = leftovers(shares, wanted)
        moved = (shares * (1 - keep)).sum()
        np.testing.assert_allclose(shares * keep + moved * fill, wanted, atol=1e-9)
        assert moved == pytest.approx(distance(shares, wanted), abs=1e-9)
        assert fill.sum() == pytest.approx(1)


# ---- codes of x alone


def class_free(shares: np.ndarray, allowed: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plan, and what distances and weights it was made with."""
    words = np.random.default_rng(seed).standard_normal((shares.shape[1], 2))
    distances, weights = squared_distances(words, words), shares.mean(0)
    return class_free_plan(shares, distances, weights, allowed), distances, weights


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("share_allowed", [0.0, 0.3, 0.7])
def test_a_class_free_plan_keeps_to_its_limit(groups, share_allowed):
    shares = np.random.default_rng(groups).dirichlet(np.full(6, 0.7), groups)
    apart = 0.5 * np.abs(shares - shares.mean(0)).sum(1)
    plan, _, _ = class_free(shares, share_allowed * apart)
    assert (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(1), 1, atol=1e-9)
    after = shares @ plan
    left = 0.5 * np.abs(after - after.mean(0)).sum(1)
    assert (left <= share_allowed * apart + 1e-6).all()


def test_a_class_free_plan_costs_less_the_more_is_allowed():
    shares = np.random.default_rng(5).dirichlet(np.full(6, 0.7), 2)
    apart = 0.5 * np.abs(shares - shares.mean(0)).sum(1)
    costs = []
    for allowed in (0.0, 0.25, 0.5, 0.75, 1.0):
        plan, distances, weights = class_free(shares, allowed * apart)
        costs.append(float((weights[:, None] * plan * distances).sum()))
    assert all(a > b for a, b in pairwise(costs))
    assert costs[-1] < 1e-6


def test_where_everything_is_allowed_no_code_changes():
    shares = np.random.default_rng(4).dirichlet(np.ones(5), 2)
    plan, _, _ = class_free(shares, np.ones(2))
    np.testing.assert_allclose(plan, np.eye(5), atol=1e-5)


def test_classes_that_share_no_cell_end_in_the_same_codes_when_nothing_is_allowed():
    plan, _, _ = class_free(np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2))
    np.testing.assert_allclose(plan[0], plan[1], atol=1e-6)


def test_no_plan_is_an_input_error():
    with pytest.raises(InputError, match="no coupling was found for codes of x alone"):
        class_free(np.array([[1.0, 0.0], [0.0, 1.0]]), np.full(2, -1.0))
