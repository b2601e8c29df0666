"""The release channel, the information bounds and the privacy objectives against closed forms and plain loops."""

import math
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from fl_tiprdc.config import build_experiment
from fl_tiprdc.data.crowd import Attribute, Column, Description
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.checking import check_settings
from fl_tiprdc.hybrid.bounds import INFORMATION, infonce, jsd_pairs, jsd_rolled, reconstruction
from fl_tiprdc.hybrid.privacy import (
    PRIVACY,
    balance,
    balanced_cross_entropy,
    maximum_entropy,
    negated_cross_entropy,
)
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.channel import capacity_bits, draw_noise, release
from strategies.exchange_plan import EXCHANGES

# two numbers and a category of three values with shares ½, ¼, ¼; private: u of two values, v of three
SHARES = (0.5, 0.25, 0.25)
ENTROPY = 1.5 * math.log(2)  # of SHARES, in nats: ½·1 + ¼·2 + ¼·2 bits
DESCRIPTION = Description.of_table(
    (
        Column("a", "numeric", 0),
        Column("color", "categorical", 1, ("red", "green", "blue"), ENTROPY),
        Column("b", "numeric", 4),
    ),
    (Attribute("u", ("p", "q")), Attribute("v", ("x", "y", "z"))),
    ((0.25, 0.75), SHARES),
)
ONE = Description.of_table(DESCRIPTION.columns, DESCRIPTION.attributes[:1], DESCRIPTION.marginals[:1])


def one_hot(u, description):
    return torch.cat([functional.one_hot(u[:, a], k) for a, k in enumerate(description.classes)], dim=1).float()


@pytest.fixture
def batch():
    """Six records: scores of all pairs, x, private labels (three pairs that agree in u and v)."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(6, 6, generator=generator) * 2
    x = torch.cat(
        [
            torch.randn(6, 1, generator=generator),
            functional.one_hot(torch.tensor([0, 1, 2, 0, 0, 1]), 3).float(),
            torch.randn(6, 1, generator=generator),
        ],
        dim=1,
    )
    u = torch.tensor([[0, 1], [1, 1], [0, 1], [1, 1], [1, 0], [1, 0]])
    return scores, x, u


# ---- channel


def test_the_channel_puts_features_on_a_sphere_of_radius_root_d():
    features = torch.tensor([[3.0, 4.0], [-0.3, 0.4]])
    z = release(features, torch.zeros(2, 2), 0.5)
    # √2 · (3, 4) / 5
    torch.testing.assert_close(z, math.sqrt(2) * torch.tensor([[0.6, 0.8], [-0.6, 0.8]]))
    many = release(torch.randn(50, 7), torch.zeros(50, 7), 0.0)
    torch.testing.assert_close(many.norm(dim=1), torch.full((50,), math.sqrt(7)))


def test_the_channels_noise_is_added_at_sigma():
    features, noise = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, -2.0]])
    still = release(features, noise, 0.0)
    torch.testing.assert_close(release(features, noise, 0.5) - still, 0.5 * noise)
    torch.testing.assert_close(release(features, noise, torch.tensor(0.5)), release(features, noise, 0.5))


def test_noise_is_standard_normal_and_owned_by_its_generator():
    noise = draw_noise((4000, 2), torch.Generator().manual_seed(1))
    assert torch.equal(noise, draw_noise((4000, 2), torch.Generator().manual_seed(1)))
    assert noise.mean().abs() < 4 / math.sqrt(8000)
    assert (noise.std() - 1).abs() < 4 / math.sqrt(2 * 8000)


@pytest.mark.parametrize(
    ("d", "sigma", "bits"),
    [
        (2, 1.0, 1.0),  # 1 · log2(2)
        (32, 0.5, 16 * math.log2(5)),  # 37.15
        (4, 1 / math.sqrt(15), 8.0),  # 2 · log2(16)
        (8, 0.0, math.inf),
    ],
)
def test_capacity(d, sigma, bits):
    assert capacity_bits(d, sigma) == pytest.approx(bits)


# ---- reconstruction bound


def population_of_shares():
    """Four records in which every column has exactly the statistics that the description states."""
    colors = functional.one_hot(torch.tensor([0, 0, 1, 2]), 3).float()  # shares ½, ¼, ¼
    a, b = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]), torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])  # mean 0, var 1
    return torch.cat([a, colors, b], dim=1)


def test_reconstruction_is_zero_for_the_best_constant():
    x = population_of_shares()
    constant = torch.tensor([[0.0, *(math.log(p) for p in SHARES), 0.0]]).expand(4, 5)
    assert float(reconstruction(constant, x, None, torch.ones(4), DESCRIPTION)) == pytest.approx(0, abs=1e-6)
    worse = constant + torch.tensor([0.1, 0, 0.1, 0, 0])
    assert float(reconstruction(worse, x, None, torch.ones(4), DESCRIPTION)) < 0


def test_reconstruction_goes_to_one_for_a_perfect_decoder():
    x = population_of_shares()
    values = []
    for certainty in (1, 3, 10, 30):
        perfect = torch.cat([x[:, :1], certainty * x[:, 1:4], x[:, 4:]], dim=1)
        values.append(float(reconstruction(perfect, x, None, torch.ones(4), DESCRIPTION)))
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1, abs=1e-6)


def test_reconstruction_by_hand():
    x = population_of_shares()
    # numbers are known, of the color nothing: log 3 nats stay of a total of ½ + ½ + H(color)
    blind = torch.cat([x[:, :1], torch.zeros(4, 3), x[:, 4:]], dim=1)
    wanted = 1 - math.log(3) / (1 + ENTROPY)
    assert float(reconstruction(blind, x, None, torch.ones(4), DESCRIPTION)) == pytest.approx(wanted, abs=1e-6)


# ---- contrastive bounds against loops


def softplus(value) -> float:
    return math.log1p(math.exp(float(value)))


def partners(u, i):
    return [j for j in range(len(u)) if u[j].tolist() == u[i].tolist()]


def test_jsd_rolled_is_the_papers_formula(batch):
    scores, x, u = batch
    # mean[-softplus(-T(x, z, u))] - mean[softplus(T(x', z, u))], x' the batch rolled by one
    joint = [-softplus(-scores[i, i]) for i in range(6)]
    independent = [softplus(scores[i, (i + 1) % 6]) for i in range(6)]
    wanted = np.mean(joint) - np.mean(independent)
    got = jsd_rolled(scores, x, one_hot(u, DESCRIPTION), torch.ones(6), DESCRIPTION)
    assert float(got) == pytest.approx(wanted, abs=1e-6)


def test_jsd_pairs_is_a_loop_over_pairs_that_share_u(batch):
    scores, x, u = batch
    joint = [-softplus(-scores[i, i]) for i in range(6)]
    independent = [softplus(scores[i, j]) for i in range(6) for j in partners(u, i) if j != i]
    assert len(independent) == 6  # three couples, both ways
    wanted = np.mean(joint) - np.mean(independent)
    got = jsd_pairs(scores, x, one_hot(u, DESCRIPTION), torch.ones(6), DESCRIPTION)
    assert float(got) == pytest.approx(wanted, abs=1e-6)


def test_infonce_is_a_loop_over_softmaxes_of_records_that_share_u(batch):
    scores, x, u = batch
    terms = [float(scores[i, i]) - math.log(sum(math.exp(scores[i, j]) for j in partners(u, i))) for i in range(6)]
    wanted = np.mean(terms) / math.log(6) + 1
    got = infonce(scores, x, one_hot(u, DESCRIPTION), torch.ones(6), DESCRIPTION)
    assert float(got) == pytest.approx(wanted, abs=1e-6)


def test_infonce_reaches_from_zero_to_one():
    same = torch.zeros(8, 2)
    same[:, 0] = 1  # one private value
    blind = infonce(torch.zeros(8, 8), None, same, torch.ones(8), ONE)
    perfect = infonce(50 * torch.eye(8), None, same, torch.ones(8), ONE)
    assert float(blind) == pytest.approx(0, abs=1e-6)
    assert float(perfect) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("bound", [jsd_pairs, infonce])
def test_negatives_are_conditional_on_u(bound, batch):
    scores, x, u = batch
    hot, full = one_hot(u, DESCRIPTION), torch.ones(6)
    before = bound(scores, x, hot, full, DESCRIPTION)
    for i in range(6):
        for j in range(6):
            changed = scores.clone()
            changed[i, j] += 3
            same = torch.equal(bound(changed, x, hot, full, DESCRIPTION), before)
            # records 0 and 1 share v but not u: sharing one attribute is not enough
            assert same == (j not in partners(u, i)), (i, j)


@pytest.mark.parametrize("bound", [jsd_rolled, jsd_pairs, infonce])
def test_a_batch_of_one_record_is_finite(bound):
    value = bound(torch.ones(1, 1), None, torch.tensor([[1.0, 0.0]]), torch.ones(1), ONE)
    assert torch.isfinite(value)


# ---- padding


def padded(tensor, fill):
    return torch.cat([tensor, torch.full((3, *tensor.shape[1:]), fill, dtype=tensor.dtype)])


MASK = torch.tensor([1.0] * 6 + [0.0] * 3)  # the padding's private labels are those of two records


@pytest.mark.parametrize("name", INFORMATION)
def test_padding_changes_no_bound_and_gets_no_gradient(name, batch):
    scores, x, u = batch
    critic, bound = INFORMATION[name]
    if critic == "decoder":
        scores = scores[:, :5]
    hot = one_hot(u, DESCRIPTION)
    wanted = bound(scores, x, hot, torch.ones(6), DESCRIPTION)
    wide = torch.full((9, 5 if critic == "decoder" else 9), 7.0)
    wide[:6, : scores.shape[1]] = scores
    wide.requires_grad_()
    got = bound(wide, padded(x, 5.0), one_hot(padded(u, 1), DESCRIPTION), MASK, DESCRIPTION)
    assert float(got.detach()) == pytest.approx(float(wanted), abs=1e-6)
    got.backward()
    assert torch.isfinite(wide.grad).all()
    assert (wide.grad[6:] == 0).all()
    assert (wide.grad[:6, scores.shape[1] :] == 0).all()
    assert (wide.grad[:6, : scores.shape[1]] != 0).any()


@pytest.mark.parametrize("loss", [balanced_cross_entropy, *PRIVACY.values()])
def test_padding_changes_no_loss(loss, batch):
    logits, _, u = batch
    wanted = loss(logits[:, :5], u, torch.ones(6), DESCRIPTION)
    got = loss(padded(logits[:, :5], 9.0), padded(u, 1), MASK, DESCRIPTION)
    assert float(got) == pytest.approx(float(wanted), abs=1e-6)


# ---- privacy


def test_balanced_cross_entropy_is_torchs_with_class_weights():
    u = torch.tensor([[0], [1], [1], [1], [0], [1], [1], [1]])  # shares ¼ and ¾, as the marginals say
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([1 / (2 * 0.25), 1 / (2 * 0.75)])
    got = balanced_cross_entropy(logits, u, torch.ones(8), ONE)
    torch.testing.assert_close(got, functional.cross_entropy(logits, u[:, 0], weight=weight))
    # and so the plain mean of the two values' means
    each = [functional.cross_entropy(logits[u[:, 0] == k], u[u[:, 0] == k, 0]) for k in (0, 1)]
    torch.testing.assert_close(got, (each[0] + each[1]) / 2)


def test_balanced_cross_entropy_adds_up_over_clients_of_one_value():
    u = torch.tensor([[0], [1], [1], [1]])
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    whole = balanced_cross_entropy(logits, u, torch.ones(4), ONE)
    parts = [balanced_cross_entropy(logits[s], u[s], torch.ones(len(u[s])), ONE) for s in (slice(0, 1), slice(1, 4))]
    torch.testing.assert_close((1 * parts[0] + 3 * parts[1]) / 4, whole)  # weighted by records


def test_losses_are_sums_over_attributes(batch):
    logits, _, u = batch
    first = balanced_cross_entropy(logits[:, :2], u[:, :1], torch.ones(6), ONE)
    second_only = Description.of_table(DESCRIPTION.columns, DESCRIPTION.attributes[1:], DESCRIPTION.marginals[1:])
    second = balanced_cross_entropy(logits[:, 2:5], u[:, 1:], torch.ones(6), second_only)
    both = balanced_cross_entropy(logits[:, :5], u, torch.ones(6), DESCRIPTION)
    torch.testing.assert_close(both, first + second)


def test_negated_cross_entropy_is_minus_the_adversarys_loss(batch):
    logits, _, u = batch
    loss = balanced_cross_entropy(logits[:, :5], u, torch.ones(6), DESCRIPTION)
    torch.testing.assert_close(negated_cross_entropy(logits[:, :5], u, torch.ones(6), DESCRIPTION), -loss)


def test_maximum_entropy_is_zero_for_uniform_answers_and_positive_otherwise(batch):
    logits, _, u = batch
    uniform = torch.tensor([[4.0, 4.0, -1.0, -1.0, -1.0]]).expand(6, 5)  # equal within each attribute
    assert float(maximum_entropy(uniform, u, torch.ones(6), DESCRIPTION)) == pytest.approx(0, abs=1e-6)
    assert float(maximum_entropy(logits[:, :5], u, torch.ones(6), DESCRIPTION)) > 0.1
    # answers ¼, ¾: ½(-log ¼ - log ¾) / log 2 - 1, right or wrong alike
    answer = torch.tensor([[0.25, 0.75]]).log().expand(6, 2)
    wanted = -0.5 * math.log(0.25 * 0.75) / math.log(2) - 1
    for labels in (u[:, :1], 1 - u[:, :1]):
        assert float(maximum_entropy(answer, labels, torch.ones(6), ONE)) == pytest.approx(wanted, abs=1e-6)


def test_balance_is_one_for_a_typical_client():
    assert balance(np.array([[0], [1], [1], [1]]), ONE) == pytest.approx(1)
    assert balance(np.array([[0], [0]]), ONE) == pytest.approx(2)  # 1 / (2 · ¼)
    assert balance(np.array([[1]]), ONE) == pytest.approx(2 / 3)  # 1 / (2 · ¾)
    # of two attributes: the mean of 2 and 1 / (3 · ½)
    assert balance(np.array([[0, 0]]), DESCRIPTION) == pytest.approx((2 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("field", "wrong", "registry"),
    [("privacy", "none", PRIVACY), ("information", "entropy", INFORMATION), ("exchange", "letters", EXCHANGES)],
)
def test_names_of_a_method_are_those_of_registries_also_from_outside(field, wrong, registry, monkeypatch):
    def asked(name):
        return check_settings(build_experiment({"methods": ["own"], "method": {"own": {field: name}}}))

    message = f"unknown method.own.{field} '{wrong}': choose one of {', '.join(registry)}"
    with pytest.raises(InputError, match=re.escape(message)):
        asked(wrong)
    monkeypatch.setitem(registry, wrong, next(iter(registry.values())))
    method = asked(wrong).method_config("own")
    if field != "exchange":
        HybridStep(DESCRIPTION, asked(wrong).network, method)
        monkeypatch.delitem(registry, wrong)
        with pytest.raises(InputError, match=f"unknown .* '{wrong}': choose one of"):
            HybridStep(DESCRIPTION, build_experiment({}).network, method)
