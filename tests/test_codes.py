"""Codes: what their probabilities are by hand, how they are drawn, how they travel."""

import numpy as np
import pytest
from scipy.special import ndtri, softmax
from scipy.stats import chisquare

from fl_tiprdc.errors import InputError
from fl_tiprdc.release.codes import Codes, joint_classes, softmax_rows

GROUP = np.array([0, 1, 1], dtype=np.int64)  # three joint classes, the last two as one group


def some_codes(seed: int = 0, codes: int = 5, groups: int = 2, **changes: object) -> Codes:
    """Codes of random numbers that move some people of every code."""
    generator = np.random.default_rng(seed)
    values = {
        "codewords": generator.standard_normal((codes, 3)).astype(np.float32),
        "potentials": generator.standard_normal((groups, codes)).astype(np.float32),
        "temperature": 0.75,
        "plan": np.zeros((0, codes), np.float32),
        "keep": generator.uniform(0.3, 1, (groups, codes)).astype(np.float32),
        "fill": generator.dirichlet(np.ones(codes), groups).astype(np.float32),
        "group": GROUP,
    }
    values["cells"] = values["codewords"]
    return Codes(**{**values, **changes})


def points(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 3)).astype(np.float32)


def a_plan(cells: int = 4, codes: int = 5) -> Codes:
    """Codes of x alone."""
    plan = np.random.default_rng(3).dirichlet(np.ones(codes), cells).astype(np.float32)
    return some_codes(
        codes=codes,
        cells=points(cells, 2),
        potentials=np.zeros((1, cells), np.float32),
        plan=plan,
        keep=np.ones((1, codes), np.float32),
        fill=np.full((1, codes), 1 / codes, np.float32),
        group=np.zeros(3, np.int64),
    )


# ---- probabilities


def test_rows_become_probabilities_with_the_bits_of_scipys_softmax():
    logits = 300 * np.random.default_rng(0).standard_normal((50, 20))
    wanted = softmax(logits, axis=1)
    assert softmax_rows(logits) is logits
    np.testing.assert_array_equal(logits, wanted)


@pytest.mark.parametrize("codes", [some_codes(), a_plan()], ids=["coupled", "of x alone"])
def test_probabilities_sum_to_one(codes):
    group = np.arange(50) % len(codes.potentials)
    chances = codes.probabilities(points(50), group)
    assert chances.shape == (50, 5)
    assert (chances >= 0).all()
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-6)


def test_a_record_goes_to_cells_by_distance_and_potential():
    # cells at 0 and 2; a record at 1/2 has squared distances 1/4 and 9/4, so odds of e^(2/T), times e^(-a/T)
    codes = some_codes(
        codewords=np.array([[0], [2]], np.float32),
        cells=np.array([[0], [2]], np.float32),
        potentials=np.array([[0, 0], [0, 3]], np.float32),
        temperature=2.0,
        plan=np.zeros((0, 2), np.float32),
        keep=np.ones((2, 2), np.float32),
        fill=np.full((2, 2), 0.5, np.float32),
    )
    z = np.full((2, 1), 0.5, np.float32)
    chances = codes.probabilities(z, np.array([0, 1]))
    assert chances[0, 0] / chances[0, 1] == pytest.approx(np.exp(1.0))
    assert chances[1, 0] / chances[1, 1] == pytest.approx(np.exp(1.0 - 1.5))


def test_keep_and_fill_move_what_they_say():
    # far cells at a low temperature: the first code is certain before anybody moves
    codes = some_codes(
        codewords=np.array([[0], [10], [20]], np.float32),
        cells=np.array([[0], [10], [20]], np.float32),
        potentials=np.zeros((1, 3), np.float32),
        temperature=0.1,
        plan=np.zeros((0, 3), np.float32),
        keep=np.array([[0.75, 1, 0.5]], np.float32),
        fill=np.array([[0, 0.8, 0.2]], np.float32),
        group=np.zeros(2, np.int64),
    )
    chances = codes.probabilities(np.array([[0], [10], [20]], np.float32), np.zeros(3, np.int64))
    by_hand = [[0.75, 0.25 * 0.8, 0.25 * 0.2], [0, 1, 0], [0, 0.5 * 0.8, 0.5 + 0.5 * 0.2]]
    np.testing.assert_allclose(chances, by_hand, atol=1e-6)


def test_a_plan_says_which_code_a_cell_becomes_and_nobody_asks_for_the_class():
    codes = a_plan()
    assert not codes.sees_private
    assert some_codes().sees_private
    sharp = a_plan()
    object.__setattr__(sharp, "temperature", 1e-4)  # each record is in its nearest cell
    z = points(40)
    nearest = ((z[:, None] - sharp.cells) ** 2).sum(2).argmin(1)
    np.testing.assert_allclose(sharp.probabilities(z, np.zeros(40, int)), sharp.plan[nearest], atol=1e-6)
    normal = np.random.default_rng(0).standard_normal((40, 1)).astype(np.float32)
    drawn = [codes.draw(z, np.full(40, joint), normal) for joint in range(3)]
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[0], drawn[2])


# ---- draws


@pytest.mark.parametrize("joint", [0, 2])
@pytest.mark.parametrize("codes", [some_codes(), a_plan()], ids=["coupled", "of x alone"])
def test_draws_have_the_frequencies_of_the_probabilities(codes, joint):
    n, z = 20_000, points(1)
    normal = np.random.default_rng(5).standard_normal((n, 1)).astype(np.float32)
    drawn = codes.draw(np.repeat(z, n, axis=0), np.full(n, joint), normal)
    group = codes.group[[joint]] if codes.sees_private else np.zeros(1, np.int64)
    expected = codes.probabilities(z, group)[0]
    assert chisquare(np.bincount(drawn, minlength=5), n * expected / expected.sum()).pvalue > 1e-3


def test_the_draw_is_the_quantile_of_the_code():
    codes, z = some_codes(), points(1)
    edges = codes.probabilities(z, np.zeros(1, np.int64))[0].cumsum()
    inside = ndtri(edges - 0.5 * np.diff(edges, prepend=0)).astype(np.float32)[:, None]  # the middle of each code's
    assert codes.draw(np.repeat(z, 5, axis=0), np.zeros(5, int), inside).tolist() == [0, 1, 2, 3, 4]
    extremes = np.array([[-40], [40]], np.float32)  # whose uniform numbers are 0 and 1
    assert codes.draw(np.repeat(z, 2, axis=0), np.zeros(2, int), extremes).tolist() == [0, 4]


def test_the_same_draw_gives_the_same_code_alone_and_among_many():
    codes, z = some_codes(), points(9000)  # more than one piece
    joint = np.arange(9000) % 3
    normal = np.random.default_rng(0).standard_normal((9000, 1)).astype(np.float32)
    all_at_once = codes.draw(z, joint, normal)
    assert np.array_equal(all_at_once, codes.draw(z, joint, normal))
    for i in (0, 4095, 4096, 8999):
        assert codes.draw(z[[i]], joint[[i]], normal[[i]])[0] == all_at_once[i]
    assert not np.array_equal(all_at_once, codes.draw(z, joint, -normal))
    assert len(codes.draw(z[:0], joint[:0], normal[:0])) == 0


def test_people_of_one_group_have_the_same_codes_and_those_of_another_not():
    codes, z = some_codes(), points(500)
    normal = np.random.default_rng(0).standard_normal((500, 1)).astype(np.float32)
    first, second, third = (codes.draw(z, np.full(500, joint), normal) for joint in range(3))
    assert np.array_equal(second, third)
    assert (first != second).mean() > 0.1


def test_joint_classes_count_the_last_attribute_fastest():
    private = np.array([[0, 0], [0, 2], [1, 0], [1, 2]])
    assert joint_classes(private, (2, 3)).tolist() == [0, 2, 3, 5]
    with pytest.raises(ValueError, match="invalid entry"):
        joint_classes(np.array([[2, 0]]), (2, 3))


# ---- as arrays


@pytest.mark.parametrize("codes", [some_codes(), a_plan()], ids=["coupled", "of x alone"])
def test_arrays_give_the_same_codes_back(codes):
    arrays = codes.arrays()
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    again = Codes.of_arrays(arrays)
    assert again.digest == codes.digest
    assert (len(again), again.bits, again.sees_private) == (5, np.log2(5), codes.sees_private)
    assert np.array_equal(again.group, codes.group)
    group = np.zeros(20, np.int64)
    np.testing.assert_array_equal(again.probabilities(points(20), group), codes.probabilities(points(20), group))


def test_every_array_has_a_say_in_the_digest():
    digests = {some_codes().digest, some_codes(temperature=0.5).digest, some_codes(group=GROUP[::-1].copy()).digest}
    for name in ("codewords", "cells", "potentials", "keep", "fill"):
        changed = some_codes().arrays()[name].copy()
        changed[0, :2] = changed[0, :2][::-1]
        digests.add(some_codes(**{name: changed}).digest)
    assert len(digests) == 8


def changed(**arrays: object) -> dict:
    whole = some_codes().arrays()
    return {name: value for name, value in {**whole, **arrays}.items() if value is not None}


BAD = {
    "an array missing": changed(keep=None),
    "one too many": changed(labels=np.zeros(3, np.float32)),
    "not a number": changed(potentials=np.full((2, 5), np.nan, np.float32)),
    "infinite": changed(codewords=np.full((5, 3), np.inf, np.float32)),
    "potentials of fewer cells": changed(potentials=np.zeros((2, 4), np.float32)),
    "potentials of one group only": changed(potentials=np.zeros((1, 5), np.float32)),
    "keep of other codes": changed(keep=np.ones((2, 6), np.float32)),
    "fill of other codes": changed(fill=np.ones((2, 6), np.float32)),
    "plan of other cells": changed(plan=np.ones((3, 5), np.float32)),
    "a group that it doesn't have": changed(group=np.array([0, 1, 2], np.float32)),
    "a negative group": changed(group=np.array([0, -1, 1], np.float32)),
    "no group": changed(group=np.zeros(0, np.float32)),
    "no temperature": changed(temperature=np.float32(0)),
    "cells of another space": changed(cells=np.zeros((5, 4), np.float32)),
    "more cells than codes and no plan": changed(
        cells=np.zeros((6, 3), np.float32), potentials=np.zeros((2, 6), np.float32)
    ),
    "chances below 0": changed(keep=np.full((2, 5), -1, np.float32)),
    "chances above 1": changed(fill=np.full((2, 5), 2, np.float32)),
    "two temperatures": changed(temperature=np.ones(2, np.float32)),
    "flat codewords": changed(codewords=np.zeros(5, np.float32), cells=np.zeros(5, np.float32)),
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_are_no_codes_are_refused(name):
    with pytest.raises(InputError):
        Codes.of_arrays(BAD[name])


def test_a_codebook_has_as_many_codes_as_fit_their_type():
    def codes_of(count: int) -> Codes:
        words = np.zeros((count, 1), np.float32)
        one = np.zeros((1, count), np.float32)
        fill = np.full((1, count), 1 / max(1, count), np.float32)
        return Codes(words, words, one, 1.0, np.zeros((0, count), np.float32), one, fill, np.zeros(1, np.int64))

    assert len(codes_of(65_535)) == 65_535
    for count in (0, 65_536):
        with pytest.raises(InputError, match=f"a codebook has {count} codes: allowed are 1 to 65535"):
            codes_of(count)
