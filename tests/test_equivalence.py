"""Two one-sided tests: by hand, and how often they are wrong."""

import json

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.evaluation.equivalence import equivalence, two_one_sided_tests


def test_by_hand():
    # mean .01, standard deviation .01, n = 3: error .01 / √3; t = (.02 - .01) / error = √3, two degrees of freedom
    p, low, high = two_one_sided_tests(np.array([0.0, 0.01, 0.02]), 0.02)
    t = np.sqrt(3)
    assert p == pytest.approx(0.5 - t / (2 * np.sqrt(2 + t**2)))  # Student's law has a closed form here
    reach = 2.919986 * 0.01 / np.sqrt(3)  # the table's 95 % quantile
    assert (low, high) == pytest.approx((0.01 - reach, 0.01 + reach), abs=1e-6)
    mirrored = two_one_sided_tests(-np.array([0.0, 0.01, 0.02]), 0.02)
    assert mirrored == pytest.approx((p, -high, -low))


def test_the_interval_lies_within_the_margin_exactly_where_the_test_succeeds():
    generator = np.random.default_rng(0)
    verdicts = set()
    for _ in range(200):
        p, low, high = two_one_sided_tests(generator.normal(0, 0.01, 4), 0.02)
        assert (p < 0.05) == (low > -0.02 and high < 0.02)
        verdicts.add(p < 0.05)
    assert verdicts == {True, False}


def test_one_difference_or_no_spread():
    assert np.isnan(two_one_sided_tests(np.array([0.0]), 0.02)).all()
    assert two_one_sided_tests(np.full(3, 0.25), 0.5) == (0, 0.25, 0.25)
    assert two_one_sided_tests(np.full(3, 0.5), 0.25)[0] == 1


def test_a_difference_at_the_margin_is_rarely_taken_for_none():
    generator = np.random.default_rng(1)
    wrong = sum(two_one_sided_tests(generator.normal(0.02, 0.005, 4), 0.02)[0] < 0.05 for _ in range(2000))
    assert wrong / 2000 == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 2000))


def some_points(seeds, attack_difference=0.001, retention_difference=-0.2):
    rows = []
    generator = np.random.default_rng(0)
    for seed in range(seeds):
        for lam, attack, retention in ((0.1, 0.8, 0.9), (0.9, 0.6, 0.7)):
            luck = generator.normal(0, 0.1)  # of the seed: paired, it falls out
            for setting, far in (("centralized", 0), ("federated", 1)):
                own = generator.normal(0, 0.001, 2)
                values = attack + luck + far * attack_difference, retention + luck + far * retention_difference
                rows.append((setting, "m", lam, seed, *(values + own)))
    rows.append(("raw", "raw", 0.0, 0, 0.94, 1.0))
    return pd.DataFrame(rows, columns=["setting", "method", "lam", "seed", "attack", "retention"])


def test_seeds_are_paired():
    points = some_points(4).sample(frac=1, random_state=0)  # in any order
    table = equivalence(points)
    assert len(table) == 2 * 3  # attack and retention; two λ and all of them
    assert (table["seeds"] == 4).all()
    attack, retention = table[table["value"] == "attack"], table[table["value"] == "retention"]
    assert (attack["equivalent"] == "yes").all()
    assert attack["difference"].tolist() == pytest.approx([0.001] * 3, abs=0.003)
    assert (retention["equivalent"] == "not shown").all()
    assert attack["lam"].tolist()[:2] == [0.1, 0.9]
    assert attack["lam"].isna().tolist() == [False, False, True]
    overall = attack.iloc[2]
    assert overall["difference"] == pytest.approx(attack["difference"].iloc[:2].mean())
    wide = equivalence(points, margin=0.5)
    assert (wide["equivalent"] == "yes").all()
    assert json.loads(table.to_json(orient="records"))[2]["lam"] is None


def test_one_seed_shows_nothing():
    table = equivalence(some_points(1))
    assert (table["equivalent"] == "one seed: no test").all()
    assert table[["p", "low", "high"]].isna().all(axis=None)
    assert table["difference"].notna().all()


def test_a_run_without_one_of_the_settings():
    points = some_points(3)
    assert equivalence(points[points["setting"] != "centralized"]).empty
