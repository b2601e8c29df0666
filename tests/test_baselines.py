"""Baselines: what they promise exactly, what they are fitted on, and that their dials turn the right way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.baselines.leace import fit_leace
from fl_tiprdc.baselines.local_laplace import CLIP, local_laplace, sensitivity
from fl_tiprdc.config import Point
from fl_tiprdc.data.crowd import Attribute, Column, Crowd, Description
from fl_tiprdc.data.principal_components import WIDEST_VECTOR, narrow_features
from fl_tiprdc.data.raw_features import raw_features
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.classifiers import logistic
from fl_tiprdc.hybrid.step import GROUPS, Batch, HybridStep
from fl_tiprdc.methods import METHODS
from tests.test_runtimes import expected, federate, largest_difference

DIALS = [(name, dial) for name, baseline in BASELINES.items() for dial in (baseline.dials[0], baseline.dials[-1])]
WIDTHS = {"encoder": 32, "hybrid-osia": 8, "known-task": 32}  # others are as wide as x
U = Attribute("u", ("p", "q"))


def crowd_of(x, u, task, description) -> Crowd:
    return Crowd(x, u[:, None], {"task": task}, np.arange(len(x)), description)


@pytest.fixture(scope="module")
def mixture() -> tuple[Crowd, Crowd]:
    """Ten numbers, two of which tell u and two others the task, with noise; 2000 contributors, 1000 others."""
    generator = np.random.default_rng(0)
    u, task = generator.integers(0, 2, (2, 3000))
    x = generator.standard_normal((3000, 10)).astype(np.float32)
    x[:, :2] += 1.5 * (2 * u - 1)[:, None]
    x[:, 2:4] += 1.5 * (2 * task - 1)[:, None]
    x /= x.std(0)
    description = Description.of_table(tuple(Column(str(i), "numeric", i) for i in range(10)), (U,), ((0.5, 0.5),))
    whole = crowd_of(x, u, task, description)
    return whole.take(np.arange(2000)), whole.take(np.arange(2000, 3000))


def attack(contributors: Crowd, held_out: Crowd, released) -> float:
    """AUC of a logistic attacker on held-out people."""
    guess = logistic(released[0], contributors.private, [2], released[1], 0)[0][:, 1]
    return float(roc_auc_score(held_out.private[:, 0], guess))


# ---- all of them


@pytest.mark.parametrize(("name", "dial"), DIALS)
def test_a_release_is_a_function_of_the_seed_and_of_contributors(name, dial, population):
    contributors, held_out = population.contributors, population.held_out
    release = BASELINES[name].release
    ours, theirs, clean, sigma, _ = release(contributors, held_out, dial, 0)
    width = WIDTHS.get(name, contributors.description.width)
    assert (ours.shape, theirs.shape) == ((360, width), (200, width))
    assert ours.dtype == theirs.dtype == np.float32
    assert np.isfinite(ours).all()
    assert np.isfinite(theirs).all()
    if clean is not None and sigma:  # what an attacker in the white box knows is true
        assert (ours - clean).std() == pytest.approx(sigma, rel=0.1)
        assert abs((ours - clean).mean()) < 0.1 * sigma
    again = release(contributors, held_out, dial, 0)
    np.testing.assert_array_equal(again[0], ours)
    np.testing.assert_array_equal(again[1], theirs)
    if (name, dial) not in {("leace", 0.0), ("leace", 1.0)}:  # no random numbers in it
        assert not np.array_equal(release(contributors, held_out, dial, 1)[0], ours)
    # other held-out people, and other labels of theirs: contributors publish the same
    strangers = held_out.take(np.arange(50))
    strangers = replace(strangers, x=-strangers.x, private=1 - strangers.private)
    np.testing.assert_array_equal(release(contributors, strangers, dial, 0)[0], ours)


@pytest.mark.parametrize("name", BASELINES)
def test_more_of_the_dial_is_less_of_the_private_attribute(name, mixture):
    dials = BASELINES[name].dials
    assert list(dials) == sorted(dials)
    low, high = (attack(*mixture, BASELINES[name].release(*mixture, dial, 0)) for dial in (dials[0], dials[-1]))
    assert low > 0.8
    assert high < low - 0.1


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("modality", ["image", "text"])
def test_any_modality(name, modality):
    generator = np.random.default_rng(0)
    u, task = generator.integers(0, 2, (2, 60))
    if modality == "image":  # 768 numbers: more than training takes
        x = generator.integers(0, 256, (60, 3, 16, 16)).astype(np.uint8)
        description = Description((U,), ((0.5, 0.5),), (3, 16, 16), "image")
    else:
        x = generator.integers(0, 9, (60, 6)).astype(np.int32)
        description = Description((U,), ((0.5, 0.5),), (6,), "text", vocabulary=9)
    crowd = crowd_of(x, u, task, description)
    ours, theirs, *_ = BASELINES[name].release(crowd, crowd.take(np.arange(20)), BASELINES[name].dials[1], 0)
    assert len(ours) == 60
    assert theirs.shape == (20, ours.shape[1])
    assert np.isfinite(ours).all()
    assert np.isfinite(theirs).all()


def test_wide_records_are_narrowed_along_the_contributors_directions_of_most_variance():
    generator = np.random.default_rng(0)
    x = generator.integers(0, 40, (700, 1, 30, 30)).astype(np.uint8)
    x[:, 0, 0, :10] = np.where(generator.random(700) < 0.5, 0, 255)[:, None]  # ten pixels that go together
    description = Description((U,), ((0.5, 0.5),), (1, 30, 30), "image")
    u = generator.integers(0, 2, 700)
    crowd = crowd_of(x, u, u, description)
    known, unknown = narrow_features(crowd, crowd.take(np.arange(5)), 0)
    assert known.shape == (700, WIDEST_VECTOR)
    assert abs(np.corrcoef(known[:, 0], x[:, 0, 0, 0])[0, 1]) > 0.99
    np.testing.assert_allclose(unknown, known[:5], atol=1e-4)


# ---- Laplace noise


def test_the_sensitivity_is_the_largest_distance_of_two_clipped_records():
    columns = (Column("a", "numeric", 0), Column("b", "categorical", 1, ("x", "y", "z")), Column("c", "numeric", 4))
    assert sensitivity(Description.of_table(columns, (U,), ((0.5, 0.5),))) == 2 * (2 * CLIP) + 2
    one, other = np.array([CLIP, 1, 0, 0, -CLIP]), np.array([-CLIP, 0, 0, 1, CLIP])
    assert np.abs(one - other).sum() == 2 * (2 * CLIP) + 2
    assert sensitivity(Description((U,), ((0.5, 0.5),), (3, 4, 5), "image")) == 120
    # two texts without a token in common
    text = Description((U,), ((0.5, 0.5),), (6,), "text", vocabulary=9)
    x = np.repeat([[1], [2]], 6, axis=1).astype(np.int32)
    features = raw_features(crowd_of(x, np.array([0, 1]), np.array([0, 1]), text))
    assert np.abs(features[0] - features[1]).sum() == sensitivity(text) == 12


def test_the_noise_is_laplace_of_scale_sensitivity_over_epsilon(mixture):
    epsilon = 20.0
    noisy, *_ = local_laplace(*mixture, 0)(1 / epsilon)
    clipped, *_ = local_laplace(*mixture, 0)(0.0)
    np.testing.assert_array_equal(clipped, mixture[0].x.clip(-CLIP, CLIP))
    scale = 10 * 2 * CLIP / epsilon
    noise = (noisy - clipped).ravel() / scale
    # 20,000 draws; |noise| is exponential of mean 1, and E[noise²] = 2
    assert np.abs(noise).mean() == pytest.approx(1, abs=4 / np.sqrt(len(noise)))
    assert (noise**2).mean() == pytest.approx(2, abs=4 * np.sqrt(20 / len(noise)))
    assert noise.mean() == pytest.approx(0, abs=4 * np.sqrt(2 / len(noise)))
    assert np.abs(np.corrcoef((noisy - clipped).T) - np.eye(10)).max() < 0.1  # every number has its own


# ---- LEACE


def test_leace_leaves_no_covariance_and_no_linear_classifier(population):
    crowd = population.contributors
    u = crowd.private[:, 0]
    released, *_ = BASELINES["leace"].release(crowd, population.held_out, 1.0, 0)
    centered = released.astype(np.float64) - released.mean(0, dtype=np.float64)
    assert np.abs((crowd.x - crowd.x.mean(0)).T @ (u - u.mean()) / len(u)).max() > 0.1
    assert np.abs(centered.T @ (u - u.mean()) / len(u)).max() < 1e-6
    answers = LogisticRegression(max_iter=5000, tol=1e-9).fit(released, u).predict_proba(released)[:, 1]
    np.testing.assert_allclose(answers, u.mean(), atol=1e-3)  # says the same of everybody


def test_leace_changes_no_more_than_it_must():
    """The case that is known by hand: independent numbers of which the first alone is correlated with u."""
    u = np.tile([0, 0, 1, 1], 50)[:, None]
    x = np.stack([2 * u[:, 0] - 1, np.tile([-1, 1, -1, 1], 50)], axis=1).astype(np.float32)
    np.testing.assert_allclose(fit_leace(x, u)(x), [[0, b] for b in x[:, 1]], atol=1e-7)
    # stretched and turned, and with a column that says nothing new: a projection all the same
    mixed = (x @ np.array([[3.0, 1.0, 4.0], [0.5, 2.0, 2.5]])).astype(np.float32)
    erase = fit_leace(mixed, u)
    once = erase(mixed)
    np.testing.assert_allclose(erase(once.astype(np.float32)), once, atol=1e-5)
    np.testing.assert_allclose(once - once.mean(0), x[:, [1]] * [[0.5, 2.0, 2.5]], atol=1e-5)


def test_leace_erases_several_attributes_at_once():
    generator = np.random.default_rng(0)
    private = np.stack([generator.integers(0, 2, 500), generator.integers(0, 3, 500)], axis=1)
    x = (generator.standard_normal((500, 6)) + private @ generator.standard_normal((2, 6))).astype(np.float32)
    erased = fit_leace(x, private)(x)
    for a, k in ((0, 2), (1, 3)):
        means = [erased[private[:, a] == value].mean(0) for value in range(k)]
        np.testing.assert_allclose(means, np.tile(erased.mean(0), (k, 1)), atol=1e-6)


def test_leace_interpolates_and_then_adds_noise(mixture):
    release = BASELINES["leace"].release
    raw, half, whole, noisy = (release(*mixture, dial, 0)[0] for dial in (0.0, 0.5, 1.0, 3.0))
    np.testing.assert_array_equal(raw, mixture[0].x)
    np.testing.assert_allclose(half, (raw + whole) / 2, atol=1e-6)
    assert (noisy - whole).std() == pytest.approx(2, rel=0.03)


# ---- trained ones


def test_noise_is_added_to_the_code_in_its_own_deviations(mixture):
    for name in ("encoder", "hybrid-osia"):
        still, noisy = (BASELINES[name].release(*mixture, dial, 0)[0] for dial in (0.0, 2.0))
        assert still.var(0).mean() == pytest.approx(1, rel=1e-3)
        assert (noisy - still).std() == pytest.approx(2, rel=0.03)


def test_the_autoencoder_keeps_what_x_says(mixture):
    code, *_ = BASELINES["encoder"].release(*mixture, 0.0, 0)
    x = mixture[0].x
    solution, *_ = np.linalg.lstsq(code, x, rcond=None)
    assert ((code @ solution - x) ** 2).mean() < 0.1


def test_osia_releases_uncorrelated_components_with_the_largest_first(mixture):
    released, *_ = BASELINES["hybrid-osia"].release(*mixture, 0.0, 0)
    covariance = np.cov(released.T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_the_known_task_is_the_first_and_is_kept(mixture):
    contributors, held_out = mixture
    coin = np.random.default_rng(1).integers(0, 2, len(contributors))
    release = BASELINES["known-task"].release
    ours, theirs, *_ = release(contributors, held_out, 0.5, 0)
    guess = logistic(ours, contributors.tasks["task"][:, None], [2], theirs, 0)[0][:, 1]
    assert roc_auc_score(held_out.tasks["task"], guess) > 0.9
    second = replace(contributors, tasks={**contributors.tasks, "coin": coin})
    np.testing.assert_array_equal(release(second, held_out, 0.5, 0)[0], ours)
    first = replace(contributors, tasks={"coin": coin, **contributors.tasks})
    assert not np.array_equal(release(first, held_out, 0.5, 0)[0], ours)
    with pytest.raises(InputError, match="known-task"):
        release(replace(contributors, tasks={}), held_out, 0.5, 0)


# ---- methods with a single term, and TAPPFL


@pytest.mark.parametrize("privacy", ["negated-cross-entropy", "maximum-entropy"])
def test_a_single_term_is_what_both_are_at_its_end_of_the_dial(privacy, small, population):
    crowd, network = population.contributors, small().network
    batch = Batch(torch.tensor(crowd.x), torch.tensor(crowd.private), torch.ones(360), torch.randn(360, 8))

    def gradients(terms: str, lam: float, change: str = ""):
        method = METHODS["tiprdc+"].settings.model_copy(update={"terms": terms, "privacy": privacy})
        step = HybridStep(crowd.description, network, method)
        groups = step.initial(0)
        for value in groups.get(change, {}).values():
            value.mul_(-3)
        found, _ = step.gradients(groups, {}, batch, torch.tensor(lam), torch.tensor(0.2))
        return {name: torch.cat([g.ravel() for g in found[name].values()]) for name in GROUPS}

    for terms, end, other in (("privacy", 1.0, "critic"), ("information", 0.0, "adversary")):
        alone, both = gradients(terms, 0.4), gradients("both", end)
        for name in GROUPS:  # critic and adversary learn whatever the extractor listens to
            torch.testing.assert_close(alone[name], both[name])
            assert alone[name].isfinite().all()
            assert alone[name].abs().max() > 0
        torch.testing.assert_close(gradients(terms, 0.4, other)["extractor"], alone["extractor"])
    mixed = gradients("both", 0.4)["extractor"]
    torch.testing.assert_close(
        mixed, 0.4 * gradients("privacy", 0.4)["extractor"] + 0.6 * gradients("information", 0.4)["extractor"]
    )


def test_the_presets_of_the_literature():
    assert METHODS["tappfl"].settings.terms == METHODS["tiprdc"].settings.terms == "both"
    same = ("privacy", "information", "channel", "exchange")
    assert all(getattr(METHODS["tappfl"].settings, key) == getattr(METHODS["tiprdc"].settings, key) for key in same)
    for name, terms in (("pat", "privacy"), ("maxmi", "information")):
        assert METHODS[name].settings == METHODS["tiprdc+"].settings.model_copy(update={"terms": terms})
        assert METHODS[name].settings.sigma(0.9) > METHODS[name].settings.sigma(0.1)  # so λ is a dial for them as well


def test_a_crowd_trains_them(small, make_store, population, tmp_path):
    """With the same noise throughout, a single term is `tiprdc+` at its end of the dial; TAPPFL is the plain loop."""
    still = {"sigma_low": 0.3, "sigma_high": 0.3}
    experiment = small(partition="by-private", method=dict.fromkeys(("pat", "maxmi", "tiprdc+"), still))
    store = make_store(6, "by-private")
    points = [Point("pat", 0.5, 0), Point("maxmi", 0.5, 0), Point("tiprdc+", 1.0, 0), Point("tiprdc+", 0.0, 0)]
    pat, maxmi, private, informed, tappfl = (
        one.groups
        for one in federate("inline", experiment, store, population, tmp_path, [*points, Point("tappfl", 0.5, 0)])
    )
    assert largest_difference(pat, private) < 1e-5
    assert largest_difference(maxmi, informed) < 1e-5
    assert largest_difference(pat, maxmi) > 1e-3
    assert largest_difference(tappfl, expected(experiment, store, population, "tappfl")) < 1e-5
