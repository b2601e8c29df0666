"""What is certified of a release by codes: exact inequalities, small cases by enumeration, populations known."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multinomial
from sklearn.metrics import roc_auc_score

from fl_tiprdc.evaluation.certificate import USEFUL_BOUND, certify, codes_for
from fl_tiprdc.evaluation.code_bounds import best_attacker_auc, bounded_differences, estimate_distance, gini_bound
from fl_tiprdc.evaluation.sharp_bound import Plan, evidence, make_plan, people_used, subset_size
from fl_tiprdc.seeding import numpy_generator

GENERATOR_SEED = 7
DRAWS = 500


def generator(purpose):
    return numpy_generator(GENERATOR_SEED, "test-certificate", purpose)


def distributions(rng, codes, weight=None):
    return rng.dirichlet(np.full(codes, weight or rng.choice([0.1, 1, 10])), size=2)


def draw(rng, probabilities, people):
    return np.stack([rng.multinomial(n, p) for n, p in zip(people, probabilities, strict=True)])


# ---- the best attacker


def test_best_attacker_is_the_likelihood_ratio_in_a_reference_implementation():
    rng = generator("auc")
    for _ in range(50):
        counts = rng.integers(0, 6, size=(2, 9)) + np.eye(2, 9, dtype=int)
        labels = np.repeat([0, 1], counts.sum(1))
        codes = np.concatenate([np.repeat(np.arange(9), row) for row in counts])
        shares = counts / counts.sum(1, keepdims=True)
        ratio = shares[1] / np.maximum(shares.sum(0), 1e-300)
        ours = best_attacker_auc(*counts)
        assert ours == pytest.approx(roc_auc_score(labels, np.round(ratio[codes], 9)))
        assert ours == pytest.approx(best_attacker_auc(*counts[::-1]))
        assert ours >= roc_auc_score(labels, rng.permutation(9)[codes]) - 1e-12
    assert best_attacker_auc([1, 0], [0, 1]) == 1
    assert best_attacker_auc([1, 1], [2, 2]) == best_attacker_auc([0, 0], [1, 2]) == 0.5


def test_gini_bound_lies_above_the_best_attacker_for_any_mixture():
    rng = generator("gini")
    closest = 1.0
    for _ in range(2000):
        codes = int(rng.integers(2, 40))
        p0, p1 = distributions(rng, codes)
        if rng.random() < 0.5:
            p1 = p0 + rng.random() * 0.2 * (p1 - p0)
        mixture = rng.uniform(0.01, 0.99)
        mixed = mixture * p1 + (1 - mixture) * p0
        truth = best_attacker_auc(p0, p1)
        pairwise = np.abs(np.outer(p1, p0) - np.outer(p0, p1)).sum() / 4
        assert truth == pytest.approx(0.5 + pairwise)
        bound = gini_bound(float(((p1 - p0) ** 2 / mixed).sum()), codes)
        assert bound >= truth - 1e-12
        closest = min(closest, (bound - 0.5) / max(truth - 0.5, 1e-9))
    assert closest < 1.02  # and is nearly attained


# ---- bounded differences


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(st.integers(0, 8), min_size=5, max_size=5), min_size=2, max_size=2), st.data())
def test_one_person_moves_the_hindsight_by_one_over_the_class(rows, data):
    counts = np.array(rows)
    if (counts.sum(1) == 0).any():
        return
    group = data.draw(st.integers(0, 1))
    old = data.draw(st.sampled_from(np.flatnonzero(counts[group]).tolist()))
    new = data.draw(st.integers(0, 4))
    moved = counts.copy()
    moved[group, old] -= 1
    moved[group, new] += 1
    change = abs(best_attacker_auc(*moved) - best_attacker_auc(*counts))
    assert change <= 1 / counts[group].sum() + 1e-12


def test_bounded_differences_by_hand():
    first, second = np.array([50, 50]), np.array([100, 100])
    slack = math.sqrt(0.5 * math.log(20) * (1 / 100 + 1 / 200))
    assert bounded_differences(first, second, 0.05) == pytest.approx(0.5 + slack)


# ---- the evidence


@pytest.mark.parametrize("share", [0.5, 0.33, 0.03, 0.8])
@pytest.mark.parametrize("strength", [0.02, 0.15, 2.5])
def test_a_code_says_no_more_than_it_may(share, strength):
    """E exp(-evidence) <= (1 - ν ω)^N for each number of people and each share of class 1."""
    plan = Plan(1000, share, strength, 10, 0.05)
    ends = np.logspace(-9, -2, 50)
    shares = np.unique(np.concatenate([np.linspace(0, 1, 1001), ends, 1 - ends, [share]]))
    for number in (1, 2, 3, 5, 20, 150, 1500):
        k = np.arange(number + 1)
        logs = binom.logpmf(k, number, shares[:, None]) - evidence(plan, number - k[:, None], k[:, None])
        means = np.logaddexp.reduce(logs, axis=1)
        allowed = number * np.log1p(-plan.rate * plan.excess(shares - share))
        assert (means <= allowed + 1e-9).all()
        if number <= 1024:
            assert (means - allowed).max() > -1e-4  # and no less
    assert plan.rate * plan.excess(np.array([-share, 1 - share])).max() < 1


def test_all_codes_together_by_enumeration():
    """E exp(-evidence) <= (1 - ν θ)^m, over every table of m labeled people."""
    rng = generator("enumeration")
    for codes, people in ((2, 7), (3, 4)):
        cells = 2 * codes
        tables = np.array([t for t in itertools.product(range(people + 1), repeat=cells) if sum(t) == people])
        for share, strength in ((0.5, 0.3), (0.3, 1.0), (0.2, 0.05)):
            plan = Plan(people, share, strength, codes, 0.05)
            said = evidence(plan, tables[:, :codes], tables[:, codes:])
            for _ in range(10):
                p0, p1 = distributions(rng, codes)
                mixed = share * p1 + (1 - share) * p0
                theta = float((mixed * plan.excess(share * p1 / mixed - share)).sum())
                weights = multinomial.pmf(tables, people, np.concatenate([(1 - share) * p0, share * p1]))
                assert weights @ np.exp(-said) <= (1 - plan.rate * theta) ** people + 1e-9
                # θ is a distance of the classes by a mixture of them
                by = plan.share + plan.slope * plan.variance
                distance = ((p1 - p0) ** 2 / (by * p1 + (1 - by) * p0)).sum()
                assert theta / plan.variance**2 == pytest.approx(distance)


def test_large_numbers_of_people_are_rounded_down_a_little():
    numbers = np.array([0, 1, 1024, 1025, 2047, 2048, 10**6])
    used, most = people_used(numbers)
    assert (used <= numbers).all()
    assert (numbers <= most).all()
    assert (used[:3] == numbers[:3]).all()
    assert ((most - used) <= used / 256).all()


@pytest.mark.parametrize("people", [(6333, 3167), (20, 20), (20, 10**6), (10**5, 300)])
def test_subsets_are_mostly_to_be_had(people):
    size, share = subset_size(*people)
    possible = binom.cdf(people[1], size, share) - binom.cdf(size - people[0] - 1, size, share)
    assert possible > 0.9
    assert size > sum(people) - 5 * math.sqrt(sum(people))


def test_the_estimated_distance_is_right_on_average():
    rng = generator("unbiased")
    p0 = rng.dirichlet(np.full(12, 5.0))
    for p1 in (p0, rng.dirichlet(np.full(12, 5.0))):
        people = (700, 300)
        estimates = [estimate_distance(*draw(rng, (p0, p1), people)) for _ in range(4000)]
        values, variances = np.array(estimates).T
        truth = ((p1 - p0) ** 2 / (0.7 * p0 + 0.3 * p1)).sum()
        error = 4 * values.std() / math.sqrt(len(values))
        assert values.mean() == pytest.approx(truth, abs=error + 0.01 * truth)
        if p1 is p0:
            assert values.var() == pytest.approx(variances.mean(), rel=0.15)


# ---- coverage


def equal_shares(rng, codes):
    return np.full((2, codes), 1 / codes)


def leaking(rng, codes):
    p0 = rng.dirichlet(np.full(codes, 5.0))
    return np.stack([p0, p0 * (1 + 0.25 * np.where(np.arange(codes) % 2, 1, -1))])


def few_codes_tell(rng, codes):
    """Three codes that class 1 alone has, and rare codes besides."""
    p0 = rng.dirichlet(np.full(codes, 0.3))
    p1 = 0.97 * p0
    p0[:3], p1[:3] = 0, 0.01
    return np.stack([p0, p1])


POPULATIONS = {
    "nothing leaks": (equal_shares, 64, (1300, 700)),
    "a leak everywhere": (leaking, 32, (1300, 700)),
    "few codes tell": (few_codes_tell, 40, (1600, 400)),
    "a tiny class": (leaking, 8, (3000, 60)),
    "as many codes as people": (equal_shares, 300, (200, 100)),
    "two codes": (leaking, 2, (150, 150)),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_bound_holds_for_populations_that_are_known(name):
    rng = generator(name)
    population, codes, people = POPULATIONS[name]
    probabilities = population(rng, codes)
    probabilities /= probabilities.sum(1, keepdims=True)
    truth = best_attacker_auc(*probabilities)
    rows = [certify(draw(rng, probabilities, people), 0.05, rng).pairs[0] for _ in range(DRAWS)]
    sharp, by_differences = (np.array([getattr(row, k) for row in rows]) for k in ("sharp", "bounded_differences"))
    assert (np.minimum(sharp, by_differences) >= truth).mean() >= 0.95
    assert (sharp >= truth).mean() >= 0.96
    assert (by_differences >= truth).mean() >= 0.99
    if name in ("nothing leaks", "a leak everywhere"):
        assert (np.array([row.asymptotic for row in rows]) >= truth).mean() >= 0.93
    predicted = rows[0].at_best
    if name == "nothing leaks":
        assert predicted == pytest.approx(np.mean([row.bound for row in rows]), abs=0.01)


def test_many_classes_hold_together():
    rng = generator("classes")
    probabilities = np.stack([leaking(rng, 10)[0] for _ in range(4)])
    people = (300, 500, 400, 200)
    held = 0
    for _ in range(DRAWS):
        certificate = certify(draw(rng, probabilities, people), 0.05, rng)
        assert len(certificate.pairs) == 6
        bounds = {(int(row.first), int(row.second)): row.bound for row in certificate.pairs}
        assert certificate.bound == max(bounds.values())
        held += all(bound >= best_attacker_auc(probabilities[a], probabilities[b]) for (a, b), bound in bounds.items())
    assert held >= 0.95 * DRAWS


def test_two_correlated_attributes_hold_together():
    """Codes depend on both, which go together: each is certified by its own counts, with half of the probability."""
    rng = generator("correlated")
    joint = np.array([[0.4, 0.1], [0.15, 0.35]])  # P(first, second)
    both = leaking(rng, 8)
    given = np.stack([[both[0], both.mean(0)], [both.mean(0), both[1]]])  # P(code | first, second)
    together = joint[:, :, None] * given
    truths = [
        best_attacker_auc(*(rows / rows.sum(1, keepdims=True)))
        for rows in (together.sum(1), together.sum(0))  # of the first attribute, of the second
    ]
    held = 0
    for _ in range(DRAWS):
        counts = rng.multinomial(200, together.reshape(-1)).reshape(together.shape)
        bounds = [certify(counts.sum(other), 0.025, rng).bound for other in (1, 0)]
        held += all(bound >= truth for bound, truth in zip(bounds, truths, strict=True))
    assert held >= 0.95 * DRAWS


# ---- how sharp it is


def test_the_sharp_bound_is_far_below_bounded_differences():
    rng = generator("sharp")
    people = (6333, 3167)
    rows = [certify(draw(rng, equal_shares(rng, 128), people), 0.05, rng) for _ in range(40)]
    assert np.mean([row.bound for row in rows]) < 0.55  # .544 on average
    assert np.mean([row.asymptotic for row in rows]) < 0.545
    assert np.mean([row.pairs[0].bounded_differences for row in rows]) > 0.59
    assert {row.kind for row in rows} == {"sharp"}


def test_a_large_leak_is_certified_by_bounded_differences():
    probabilities = np.array([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]])
    certificate = certify(draw(generator("large"), probabilities, (5000, 5000)))
    truth = best_attacker_auc(*probabilities)
    assert certificate.kind == "bounded-differences"
    assert truth <= certificate.bound <= truth + 0.04


@pytest.mark.parametrize("codes", [64, 256])
def test_what_codes_can_be_borne_is_what_certificates_say(codes):
    rng = generator(f"codes-{codes}")
    fitted, people = (19_333, 9_667), (6_333, 3_167)
    shares = [rng.dirichlet(np.full((codes), n / codes), size=30) for n in fitted]
    bounds = [certify(draw(rng, pair, people), 0.05, rng).bound for pair in zip(*shares, strict=True)]
    assert codes_for(people, fitted, target=np.mean(bounds)) == pytest.approx(codes, rel=0.15)


def test_codes_for_grows_with_people_and_is_fast():
    start = time.perf_counter()
    allowed = [codes_for((2 * n, n), (6 * n, 3 * n)) for n in (10, 100, 1000, 3000, 30_000, 300_000)]
    assert time.perf_counter() - start < 0.6
    assert allowed[0] == 1
    assert allowed == sorted(allowed)
    assert allowed[2] < allowed[3] < allowed[4]
    assert codes_for((6333, 3167), (19_333, 9_667), target=0.6) > codes_for((6333, 3167), (19_333, 9_667))
    assert codes_for((3000, 3000, 3000), (9000, 9000, 9000)) < codes_for((3000, 3000), (9000, 9000))


def test_seeds_matter_little_and_the_same_seed_says_the_same():
    counts = draw(generator("seeds"), equal_shares(None, 128), (6333, 3167))
    bounds = [certify(counts, 0.05, seed).bound for seed in range(10)]
    assert certify(counts, 0.05, 3).bound == bounds[3]
    assert np.ptp(bounds) < 0.003  # a standard deviation of .0003


@pytest.mark.parametrize(("people", "codes"), [((13_333, 6_667), 1024), ((600_000, 400_000), 64)])
def test_it_is_fast(people, codes):
    counts = draw(generator("fast"), equal_shares(None, codes), people)
    start = time.perf_counter()
    certify(counts)
    assert time.perf_counter() - start < 5  # .2 and .5 s on an idle core


# ---- what is said


def test_too_few_people_are_told_so():
    rng = generator("few")
    certificate = certify(draw(rng, equal_shares(rng, 64), (60, 60)), class_names=("a", "b"))
    assert certificate.bound is None
    assert certificate.kind == "none"
    assert not certificate.exact
    assert certificate.at_best > USEFUL_BOUND
    assert certificate.sentence().startswith("Not certifiable with 120 people: at best")
    tiny = certify(np.array([[500, 500], [400, 600], [4, 3]]), class_names=("a", "b", "c"))
    assert tiny.bound is None
    assert tiny.pairs[0].bound is not None
    assert "c has 7" in tiny.sentence()
    assert "c" in tiny.worst
    empty = certify(np.array([[500, 500], [0, 0]]))
    assert empty.bound is None


def test_a_class_that_nobody_can_certify_costs_the_others_nothing():
    counts = np.array([[5000, 5000], [4000, 6000]])
    with_tiny = certify(np.concatenate([counts, [[3, 4]]]))
    assert with_tiny.pairs[0] == certify(counts).pairs[0]


def test_the_sentence_says_what_is_claimed_and_the_note_what_is_not():
    rng = generator("sentence")
    certificate = certify(draw(rng, equal_shares(rng, 16), (3000, 2000)), 0.05, class_names=("men", "women"))
    assert certificate.exact
    assert "0.95" in certificate.sentence()
    assert "men from women" in certificate.sentence()
    assert f"{certificate.bound:.3f}" in certificate.sentence()
    assert certificate.people == {"men": 3000, "women": 2000}
    assert "know the record already" in certificate.note


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ([[1, 2]], {}, "two classes"),
        ([1, 2], {}, "two classes"),
        ([[1, -2], [1, 2]], {}, "whole numbers"),
        ([[1, 0.5], [1, 2]], {}, "whole numbers"),
        ([[1, 2], [1, 2]], {"delta": 1.0}, "delta"),
        ([[1, 2], [1, 2]], {"class_names": ("a",)}, "class names"),
    ],
)
def test_wrong_tables_are_refused(counts, options, message):
    with pytest.raises(ValueError, match=message):
        certify(counts, **options)


def test_a_plan_knows_no_counts():
    assert make_plan(6333, 3167, 128, 0.04) == make_plan(6333, 3167, 128, 0.04)
    assert 0 < make_plan(10**6, 20, 2, 0.04).share < 0.5
