"""Batches side by side: no record twice or dropped, padding without effect, and centralized training."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from fl_tiprdc.config import CentralizedConfig
from fl_tiprdc.data.crowd import Attribute, Records
from fl_tiprdc.hybrid.batches import CohortBatches, CohortMember, batches_in, shuffled_batches
from fl_tiprdc.hybrid.centralized import train_centralized
from fl_tiprdc.hybrid.cohort import LocalTraining, cohort_gradients, train_cohort
from fl_tiprdc.hybrid.step import GROUPS, HybridStep
from fl_tiprdc.seeding import derive, numpy_generator, torch_generator

HYBRID = [("extractor", "critic", "adversary")]


@pytest.mark.parametrize(("n", "size"), [(1, 32), (31, 32), (32, 32), (33, 32), (100, 32), (5, 1)])
def test_a_pass_holds_every_record_once_in_batches_of_like_size(n, size):
    count = batches_in(n, size, 2)
    dealt = shuffled_batches(n, size, count, np.random.default_rng(0))
    half = count // 2
    for one_pass in (dealt[:half], dealt[half:]):
        assert sorted(np.concatenate(one_pass).tolist()) == list(range(n))
        sizes = [len(batch) for batch in one_pass]
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1


def members_of(population, sizes, seed=0) -> list[CohortMember]:
    crowd, members, start = population.contributors, [], 0
    for i, n in enumerate(sizes):
        rows = slice(start, start + n)
        members.append(CohortMember(Records(crowd.x[rows], crowd.private[rows]), 0.5, 0.2, seed, (i, 1)))
        start += n
    return members


def test_a_cohort_sees_every_record_once_however_unequal_its_clients(population):
    sizes = (3, 50, 1, 33, 32)
    members = members_of(population, sizes)
    counts = [batches_in(n, 32, 1) for n in sizes]
    batches = CohortBatches(members, 32, counts, 4, torch.device("cpu"))
    seen: list[np.ndarray] = []
    for step in range(len(batches)):
        batch = batches[step]
        assert batch.mask.sum(1).min() >= 1  # those who are done are not computed
        seen.append(batch.x[batch.mask > 0].numpy())
        assert (batch.noise[batch.mask == 0] == 0).all()
    together = np.concatenate(seen)
    expected = population.contributors.x[: sum(sizes)]
    assert len(together) == len(expected)
    np.testing.assert_array_equal(together[np.lexsort(together.T)], expected[np.lexsort(expected.T)])


@pytest.mark.parametrize("method", ["tiprdc", "tiprdc+"])
def test_company_changes_nothing(method, small, population, one_thread):
    """A client trains the same alone and in any cohort, in any place."""
    experiment = small()
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config(method))
    training = LocalTraining(HYBRID, 32, 1e-3, epochs=2)
    members = members_of(population, (3, 70, 1, 33))
    together = train_cohort(step, step.initial(0), members, training)
    for i, member in enumerate(members):
        alone = train_cohort(step, step.initial(0), [member], training)
        for name, group in alone.groups.items():
            for key, value in group.items():
                torch.testing.assert_close(together.groups[name][key][i], value[0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(together.losses[i], alone.losses[0], atol=1e-5, rtol=1e-5)


COMPILER = """
import sys
import numpy as np
from fl_tiprdc.config import build_experiment
from fl_tiprdc.data.crowd import Attribute, Column, Description, Records
from fl_tiprdc.hybrid.batches import CohortMember
from fl_tiprdc.hybrid.cohort import LocalTraining, cohort_gradients, train_cohort
from fl_tiprdc.hybrid.step import HybridStep

experiment = build_experiment({})
columns = tuple(Column(f"x{i}", "numeric", i) for i in range(5))
description = Description.of_table(columns, (Attribute("u", ("a", "b")),), ((0.5, 0.5),))
generator = np.random.default_rng(0)
records = Records(generator.normal(size=(20, 5)).astype("float32"), generator.integers(0, 2, (20, 1)))
for method in ("tiprdc", "tiprdc+", "coded"):
    step = HybridStep(description, experiment.network, experiment.method_config(method))
    start = step.needed(step.initial(0))
    for members in (1, 3):
        cohort = [CohortMember(records, 0.5, 0.1, 0, (i,)) for i in range(members)]
        train_cohort(step, start, cohort, LocalTraining([tuple(start)], 8, 1e-3))
        cohort_gradients(step, start, cohort, tuple(start), 0)
print({"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules))
"""


def test_a_training_needs_no_compiler():
    """Its import takes seconds and 70 MB in every process, and torch.func.grad and torch.optim's classes ask for it."""
    done = subprocess.run([sys.executable, "-c", COMPILER], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_networks_in_half_precision_learn_the_same_but_for_rounding(small, population):
    members, training = members_of(population, (64, 64)), LocalTraining(HYBRID, 32, 1e-3, epochs=2)
    found = {}
    for precision in ("float32", "bfloat16"):
        experiment = small(network={"precision": precision})
        step = HybridStep(population.contributors.description, experiment.network, experiment.method_config("tiprdc"))
        found[precision] = train_cohort(step, step.initial(0), members, training)
    whole, half = found["float32"], found["bfloat16"]
    assert not torch.equal(whole.losses, half.losses)
    torch.testing.assert_close(half.losses, whole.losses, atol=0.02, rtol=0.02)
    assert {v.dtype for group in half.groups.values() for v in group.values()} == {torch.float32}


def test_the_mean_of_gradients_over_clients_is_the_gradient_over_the_crowd(small, population):
    """Whoever holds what: also when each client holds one private value. This is what by-private needs."""
    experiment = small()
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config("tiprdc+"))
    records = population.contributors.records()
    order = np.argsort(records.private[:, 0], kind="stable")
    groups = step.initial(3)
    cuts = np.split(order, [40, 100, 300])
    members = [CohortMember(Records(records.x[c], records.private[c]), 0.5, 0, 0, (i, 1)) for i, c in enumerate(cuts)]
    whole = [CohortMember(records, 0.5, 0, 0, (9, 1))]
    parts = cohort_gradients(step, groups, members, GROUPS, 0).groups
    crowd = cohort_gradients(step, groups, whole, GROUPS, 0).groups
    weights = torch.tensor([len(c) / 360 for c in cuts])
    for name in GROUPS:
        for key, value in parts[name].items():
            mean = torch.tensordot(weights, value, 1)
            torch.testing.assert_close(mean, crowd[name][key][0], atol=1e-6, rtol=1e-3)


def test_frozen_groups_do_not_move(small, population):
    experiment = small()
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config("tiprdc+"))
    result = train_cohort(
        step,
        step.initial(0),
        members_of(population, (40, 40)),
        LocalTraining([("extractor", "critic")], 32, 1e-3),
    )
    assert set(result.groups) == {"extractor", "critic"}


def test_lambda_zero_ignores_the_adversary_and_lambda_one_the_critic(small, population):
    experiment = small()
    description = population.contributors.description
    step = HybridStep(description, experiment.network, experiment.method_config("tiprdc+"))
    records = population.contributors.records()

    def extractor(lam: float, change: str) -> torch.Tensor:
        groups = step.initial(0)
        for value in groups[change].values():
            value.mul_(-3)
        member = CohortMember(records, lam, 0.1, 0, ("x",))
        training = LocalTraining([("extractor",)], 64, 1e-3)
        return train_cohort(step, groups, [member], training).groups["extractor"]["0.weight"]

    torch.testing.assert_close(extractor(0.0, "adversary"), extractor(0.0, "adversary"))
    assert not torch.allclose(extractor(0.5, "adversary"), extractor(0.5, "critic"))
    plain = step.initial(0)
    member = CohortMember(records, 0.0, 0.1, 0, ("x",))
    reference = train_cohort(step, plain, [member], LocalTraining([("extractor",)], 64, 1e-3)).groups["extractor"]
    torch.testing.assert_close(extractor(0.0, "adversary"), reference["0.weight"])
    member = CohortMember(records, 1.0, 0.1, 0, ("x",))
    reference = train_cohort(step, plain, [member], LocalTraining([("extractor",)], 64, 1e-3)).groups["extractor"]
    torch.testing.assert_close(extractor(1.0, "critic"), reference["0.weight"])


def test_the_centralized_trainer_trains_each_lambda_as_if_alone(small, population, one_thread):
    experiment = small()
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config("tiprdc+"))
    config = CentralizedConfig(steps=8, batch_size=64)
    records = population.contributors.records()
    both, curve = train_centralized(step, records, [0.2, 0.8], 1, config)
    one, _ = train_centralized(step, records, [0.8], 1, config)
    for key, value in one.groups["extractor"].items():
        torch.testing.assert_close(both.groups["extractor"][key][1], value[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(both.groups["extractor"]["0.weight"][0], both.groups["extractor"]["0.weight"][1])
    assert [update for update, _ in curve] == list(range(1, 9))
    assert all(torch.isfinite(losses).all() for _, losses in curve)


def test_training_makes_progress(small, population):
    experiment = small()
    step = HybridStep(population.contributors.description, experiment.network, experiment.method_config("tiprdc+"))
    config = CentralizedConfig(steps=120, batch_size=64)
    _, curve = train_centralized(step, population.contributors.records(), [0.0, 0.95], 0, config)
    start, end = curve[0][1], curve[-1][1]
    assert end[0, 1] > start[0, 1] + 0.1  # λ = 0: more information is kept
    assert end[0, 2] < end[1, 2]  # the adversary knows more about u at λ = 0 than at λ = 0.95


def test_generators_depend_on_purpose_and_ids_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    first = (torch.randn(3, generator=torch_generator(1, "a", 2)), numpy_generator(1, "a", 2).random(3))
    torch.manual_seed(99)
    np.random.seed(99)
    second = (torch.randn(3, generator=torch_generator(1, "a", 2)), numpy_generator(1, "a", 2).random(3))
    assert torch.equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    seeds = {derive(s, p, *ids) for s in (0, 1) for p in ("a", "b") for ids in ((), (1,), (1, 2), (12,), ("1", "2x"))}
    assert len(seeds) == 20


def test_separate_adversaries_share_nothing(small, population):
    description = replace(
        population.contributors.description,
        attributes=(Attribute("sex", ("a", "b")), Attribute("race", ("a", "b", "c"))),
        marginals=((0.5, 0.5), (0.2, 0.3, 0.5)),
    )
    u = np.random.default_rng(0).integers(0, [2, 3], (360, 2))
    records = Records(population.contributors.x, u)
    gradients = {}
    for kind in ("joint", "separate"):
        experiment = small(network={"adversaries": kind})
        step = HybridStep(description, experiment.network, experiment.method_config("tiprdc+"))
        found = []
        for changed in (u, np.column_stack([u[:, 0], (u[:, 1] + 1) % 3])):
            members = [CohortMember(replace(records, private=changed), 0.5, 0.5, 0, (1, 1))]
            found.append(cohort_gradients(step, step.initial(0), members, ("adversary",), 0).groups["adversary"])
        gradients[kind] = {key: torch.equal(found[0][key], found[1][key]) for key in found[0]}
    assert not any(gradients["joint"].values())  # one trunk: race labels move it all
    assert {key for key, same in gradients["separate"].items() if same} == {
        key
        for key in gradients["separate"]
        if key.startswith("each.0.")  # sex's own network doesn't see race
    }
