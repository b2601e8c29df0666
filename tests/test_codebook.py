"""A code fit, driven over made-up records: what it ends with, whoever answers its questions."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from fl_tiprdc.data.crowd import Attribute, Column, Description
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.certificate import codes_for
from fl_tiprdc.methods import CodesConfig
from fl_tiprdc.release.codebook import CodeFit, cells_for, choose_codes, fit_codes, questions_in
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.groups import FEWEST_FITTED, group_classes
from fl_tiprdc.release.statistics import Coded, Request, answer, ask_all

D = 6
SEX = (Attribute("sex", ("Female", "Male")),)
SEX_AND_RACE = (*SEX, Attribute("race", ("A", "B", "Other")))
CODES = CodesConfig(codes=8)
LAMBDAS = (0.0, 0.5, 1.0)


def crowd(sizes: dict[int, int], seed: int = 0, certifying: float = 0.25, leak: float = 1.2) -> Coded:
    """Points on the sphere, so many of each joint class, in six clusters that classes fill otherwise."""
    generator = np.random.default_rng(seed)
    joint = np.concatenate([np.full(n, j) for j, n in sizes.items()])
    joint = joint[generator.permutation(len(joint))].astype(np.int64)
    centers = generator.standard_normal((6, D)) * 1.5
    cluster = np.array([generator.choice(6, p=_shares(j)) for j in joint])
    z = centers[cluster] + generator.standard_normal((len(joint), D)) * 0.7
    z[:, 0] += leak * (joint % 2)
    z = (np.sqrt(D) * z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    normal = generator.standard_normal((len(joint), 1)).astype(np.float32)
    aside = generator.random(len(joint)) < certifying
    return Coded(z, joint, aside, lambda codes: codes.draw(z, joint, normal))


def description_of(attributes: tuple[Attribute, ...]) -> Description:
    """Records of one number, "age", which attackers may be taken to know."""
    age = Column("age", "numeric", 0)
    return Description.of_table((age,), attributes, tuple((1.0,) * len(a.classes) for a in attributes))


def _shares(joint: int) -> np.ndarray:
    return np.random.default_rng(100 + joint).dirichlet(np.ones(6))


def rows(records: Coded, kept: np.ndarray) -> Coded:
    """Some of the records, which publish what they publish among all."""
    places = np.flatnonzero(kept)
    return Coded(
        records.z[places],
        records.joint[places],
        records.certifying[places],
        lambda codes: records.draw(codes)[places],
    )


def fit(
    records: list[Coded],
    config: CodesConfig = CODES,
    attributes: tuple[Attribute, ...] = SEX,
    lambdas: tuple[float, ...] = LAMBDAS,
    bears=codes_for,
    as_float32: bool = False,
) -> tuple[CodeFit, list[Request]]:
    """Fit codes to clients' records; also the questions that it took."""
    asked: list[Request] = []

    def add_up(request: Request) -> dict[str, np.ndarray]:
        asked.append(request)
        sums = [answer(request.name, one, request.arrays) for one in records]
        assert all({name: one[name].shape for name in one} == dict(request.shapes) for one in sums)
        assert {name: zero.shape for name, zero in request.zeros().items()} == dict(request.shapes)
        if as_float32:
            sums = [{name: value.astype(np.float32) for name, value in one.items()} for one in sums]
        return {name: np.sum([one[name] for one in sums], axis=0, dtype=np.float64) for name in request.shapes}

    return ask_all(fit_codes(config, description_of(attributes), D, lambdas, 0, bears), add_up), asked


def shares_of(codes: Codes, records: Coded, fitting: bool = True) -> np.ndarray:
    """How often each group of people uses each code, by the probabilities: [groups, K]."""
    kept = records.certifying != fitting
    z, group = records.z[kept], codes.group[records.joint[kept]]
    return np.stack(
        [codes.probabilities(z[group == g], group[group == g]).mean(0) for g in range(codes.group.max() + 1)]
    )


def apart(shares: np.ndarray) -> float:
    return float(max(0.5 * np.abs(a - b).sum() for a in shares for b in shares))


@pytest.fixture(scope="module")
def people() -> Coded:
    return crowd({0: 700, 1: 1300})


@pytest.fixture(scope="module")
def fitted(people) -> CodeFit:
    return fit([people])[0]


# ---- what coupled codes are


def test_at_lambda_1_both_groups_use_the_codes_alike(people, fitted):
    shares = shares_of(fitted.couplings[2], people)
    np.testing.assert_allclose(shares, 1 / 8, atol=1e-5)
    assert fitted.distances[2] == 0


def test_the_dial_takes_the_distance_down_in_a_straight_line(people, fitted):
    alone = apart(shares_of(fitted.couplings[0], people))
    assert alone > 0.2
    for lam, codes, told in zip(LAMBDAS, fitted.couplings, fitted.distances, strict=True):
        assert apart(shares_of(codes, people)) == pytest.approx((1 - lam) * alone, abs=1e-4)
        assert told == pytest.approx((1 - lam) * alone, abs=1e-4)


def test_people_who_had_no_part_in_the_fit_are_nearly_as_well_hidden(people, fitted):
    others = [apart(shares_of(codes, people, fitting=False)) for codes in fitted.couplings]
    assert others[0] > others[1] > others[2]
    assert others[2] < 0.15  # 500 people on 8 codes


def test_all_lambdas_share_a_codebook_and_differ_in_their_digests(fitted):
    for codes in fitted.couplings:
        np.testing.assert_array_equal(codes.codewords, fitted.couplings[0].codewords)
        np.testing.assert_array_equal(codes.cells, codes.codewords)
        assert codes.sees_private
    assert len({codes.digest for codes in fitted.couplings}) == 3


def test_codes_tell_where_a_record_is(people, fitted):
    """The codeword is nearer to a record than the mean of all, in each coupling; hiding costs some of it."""
    left = []
    for codes in fitted.couplings:
        near = codes.codewords[people.draw(codes)]
        left.append(float(((people.z - near) ** 2).sum(1).mean()))
    spread = float(((people.z - people.z.mean(0)) ** 2).sum(1).mean())
    assert left[0] <= left[1] <= left[2] < 0.9 * spread


def test_counts_are_those_of_the_certifying_people_who_publish(people, fitted):
    assert fitted.counts.shape == (3, 2, 8)
    assert fitted.fitted.tolist() == [int((people.joint[~people.certifying] == j).sum()) for j in (0, 1)]
    for codes, counts in zip(fitted.couplings, fitted.counts, strict=True):
        published = people.draw(codes)[people.certifying]
        for joint in (0, 1):
            mine = published[people.joint[people.certifying] == joint]
            assert np.bincount(mine, minlength=8).tolist() == counts[joint].tolist()


def test_the_couplings_are_the_same_after_a_journey(people, fitted):
    """What was counted is what people publish who get the codes as arrays."""
    for codes in fitted.couplings:
        again = Codes.of_arrays(codes.arrays())
        assert again.digest == codes.digest
        np.testing.assert_array_equal(people.draw(again), people.draw(codes))


# ---- who answers


def test_many_clients_give_the_couplings_of_one(people, fitted):
    generator = np.random.default_rng(3)
    client = generator.integers(0, 40, len(people.z))
    client[client == 7] = 8  # client 7 holds nobody
    own = [rows(people, client == c) for c in range(40)]
    own.append(rows(people, client < 0))
    assert len(own[7].z) == 0
    many, _ = fit(own, as_float32=True)  # as they travel
    assert np.array_equal(many.fitted, fitted.fitted)
    assert np.array_equal(many.counts.sum(2), fitted.counts.sum(2))
    for a, b in zip(many.couplings, fitted.couplings, strict=True):
        for name, array in a.arrays().items():
            np.testing.assert_allclose(array, b.arrays()[name], atol=2e-3, err_msg=name)
        assert (people.draw(a) != people.draw(b)).mean() < 0.005
    one_private_value_each = [rows(people, people.joint == j) for j in (0, 1)]
    split, _ = fit(one_private_value_each)
    for a, b in zip(split.couplings, fitted.couplings, strict=True):
        np.testing.assert_allclose(a.codewords, b.codewords, atol=1e-3)


def test_a_fit_asks_about_as_many_questions_as_it_says(people):
    _, asked = fit([people])
    assert abs(len(asked) - questions_in(CODES)) <= 8
    assert (asked[0].name, asked[-1].name) == ("class-counts", "code-counts")
    assert sum(request.name == "shares" for request in asked) == CODES.coupling_rounds + 2


def test_certifying_people_have_no_part_in_the_fit(people, fitted):
    moved = people.z.copy()
    moved[people.certifying] = np.roll(moved[people.certifying], 1, axis=0)[:, ::-1]
    other = Coded(moved, people.joint, people.certifying, lambda codes: _draw(codes, moved, people.joint))
    again, asked = fit([other])
    for a, b in zip(again.couplings, fitted.couplings, strict=True):
        assert a.digest == b.digest  # bit for bit
    assert again.distances == fitted.distances
    assert not np.array_equal(again.counts, fitted.counts)
    # nor do their private classes
    joint = np.where(people.certifying, 1 - people.joint, people.joint)
    relabeled = replace(other, joint=joint)
    for request in asked[1:-1]:
        with_these, with_those = (answer(request.name, one, request.arrays) for one in (other, relabeled))
        assert all(np.array_equal(with_these[name], with_those[name]) for name in request.shapes)


def _draw(codes: Codes, z: np.ndarray, joint: np.ndarray) -> np.ndarray:
    normal = np.random.default_rng(0).standard_normal((len(z), 1)).astype(np.float32)
    return codes.draw(z, joint, normal)


@pytest.mark.parametrize("name", ["cells", "shares"])
def test_the_memory_of_a_sum_does_not_grow_with_people_times_cells(name):
    """A million people and four thousand cells were 24 GB at once."""
    people, cells, d = 60_000, 1_000, 4
    generator = np.random.default_rng(0)
    z = generator.standard_normal((people, d)).astype(np.float32)
    alone = np.zeros(people, dtype=np.int64)
    records = Coded(z, alone, alone.astype(bool), lambda codes: alone)
    arrays = {"cells": z[None, :cells], "codewords": z[:cells], "potentials": np.zeros((1, 1, cells), np.float32)}
    arrays |= {"temperature": np.float32(1), "group": np.zeros(1, np.float32)}
    tracemalloc.start()
    sums = answer(name, records, arrays)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6 < people * cells * 8
    if name == "cells":
        nearest = np.concatenate([((part[:, None] - z[:cells]) ** 2).sum(2).argmin(1) for part in np.split(z, 600)])
        np.testing.assert_array_equal(sums["counts"][0], np.bincount(nearest, minlength=cells))
        np.testing.assert_allclose(sums["points"][0].sum(0), z.sum(0, dtype=np.float64), atol=1e-6)
    else:
        assert sums["shares"].sum() == pytest.approx(people)


def test_sums_never_hold_fewer_people_than_a_cell_has_on_average(people):
    """Cells are so few that the smallest class has eight people in each on average."""
    _, asked = fit([people], CodesConfig(codes=100, coupling_rounds=1))
    most = max(request.arrays["cells"].shape[1] for request in asked if request.name == "cells")
    assert most == int((people.joint[~people.certifying] == 0).sum()) // 8
    assert cells_for(8, np.array([100_000, 500_000])) == 32


# ---- codes of x alone


def test_codes_of_x_alone_stay_within_their_distance(people):
    config = CodesConfig(codes=8, sees_private=False)
    found, asked = fit([people], config)
    assert sum(request.name == "shares" for request in asked) == 1
    alone = found.couplings[0]
    assert not alone.sees_private
    # people of either class have the same probabilities at the same point
    z = people.z[:200]
    joint = people.joint[~people.certifying]

    def left(codes: Codes) -> float:
        chances = codes.probabilities(people.z[~people.certifying], np.zeros(len(joint), np.int64))
        return apart(np.stack([chances[joint == j].mean(0) for j in (0, 1)]))

    free = left(alone)
    assert free > 0.15
    for lam, codes, told in zip(LAMBDAS, found.couplings, found.distances, strict=True):
        assert left(codes) <= (1 - lam) * free + 1e-4
        assert told == pytest.approx((1 - lam) * free, abs=1e-4)
        normal = np.random.default_rng(0).standard_normal((200, 1)).astype(np.float32)
        drawn = [codes.draw(z, np.full(200, j), normal) for j in (0, 1)]
        assert np.array_equal(*drawn)
    np.testing.assert_allclose(alone.plan, np.eye(8), atol=1e-3)
    assert found.counts.shape == (3, 2, 8)


# ---- private classes


def test_rare_classes_are_merged_and_named():
    # Female A, Female B, Female Other, Male A, Male B, Male Other
    records = crowd({0: 500, 1: 90, 2: 150, 3: 500, 4: 150, 5: 0})
    found, _ = fit([records], CODES, SEX_AND_RACE)
    assert found.note == (
        "3 private classes have fewer than 200 people to fit a coupling and are hidden only together with others: "
        "Female, B, Female, Other, Male, B"
    )
    assert found.couplings[0].group.tolist() == [0, 2, 2, 1, 2, 2]
    assert found.counts.shape == (3, 6, 8)
    assert found.counts[0, 5].sum() == 0
    np.testing.assert_allclose(shares_of(found.couplings[2], records), 1 / 8, atol=1e-5)


@pytest.mark.parametrize(
    ("people", "groups"),
    [
        ([900, 900], [0, 1]),
        ([900, 900, 10], [0, 1, 0]),  # too few to stand alone: they join the largest class
        ([900, 901, 10], [0, 1, 1]),
        ([900, 900, 120, 90], [0, 1, 2, 2]),
        ([120, 900, 90, 900], [2, 0, 2, 1]),
        ([0, 900, 900], [0, 0, 1]),
        ([FEWEST_FITTED, FEWEST_FITTED - 1], [0, 0]),
    ],
)
def test_groups_of_classes(people, groups):
    assert group_classes(np.array(people)).tolist() == groups


# ---- how many codes


def bears_few(certifying, fitted) -> int:
    return 3


def bears_many(certifying, fitted) -> int:
    return 100_000


def test_the_number_of_codes_is_set_or_what_the_crowd_bears():
    fitted, certifying, group = np.array([4000, 8000]), np.array([1000, 2000]), np.array([0, 1])

    def chosen(bears, **config) -> int:
        return choose_codes(CodesConfig(**config), fitted, certifying, group, bears)

    assert chosen(bears_few, codes=17) == 17
    assert chosen(bears_few) == 32  # the fewest that are made
    assert chosen(bears_few, fewest=2) == 3
    assert chosen(bears_many) == 1000  # four people a code
    assert chosen(bears_many, sees_private=False) == 128
    assert 2 < chosen(codes_for, fewest=2) < 1000
    asked = []
    choose_codes(
        CodesConfig(),
        np.array([4000, 8000, 300]),
        np.array([1000, 2000, 80]),
        np.array([0, 1, 2]),
        lambda *counts: asked.append(counts) or 40,
    )
    assert asked == [([1000, 2000], [4000, 8000])]  # a small class has no say in it


def test_codes_set_too_high_are_refused_in_one_line(people):
    with pytest.raises(InputError) as refused:
        fit([people], CodesConfig(codes=200))
    fewest = int((people.joint[~people.certifying] == 0).sum())
    assert str(refused.value) == (
        f"codes is 200: the smallest class has {fewest} people to fit them on, which bears {fewest // 4} at most"
    )


def test_too_few_people_are_refused():
    with pytest.raises(InputError, match=r"^\d+ people are too few to fit codes on: coded methods need 400 besides"):
        fit([crowd({0: 150, 1: 250})])


def test_a_class_that_nobody_can_be_coupled_with_is_refused():
    """With fewer than 200 people of every other class there would be one group, which hides nothing."""
    records = crowd({0: 120, 1: 1500})
    women = int((records.joint[~records.certifying] == 0).sum())
    for sees_private in (True, False):
        with pytest.raises(InputError) as refused:
            fit([records], CodesConfig(codes=8, sees_private=sees_private))
        assert str(refused.value) == (
            f"{women} people are not Male: that is too few to fit a coupling on, and nothing would hide them; coded "
            "methods need 200 of a second private class besides those who certify"
        )
