"""The architectures: shapes, stacking, the paper's networks, batch normalization whose statistics travel."""

import numpy as np
import pytest
import torch
from torch import nn

from fl_tiprdc.config import NetworkConfig
from fl_tiprdc.data.crowd import Attribute, Description, Records
from fl_tiprdc.errors import InputError
from fl_tiprdc.hybrid.batches import CohortMember
from fl_tiprdc.hybrid.cohort import LocalTraining, cohort_gradients, train_cohort
from fl_tiprdc.hybrid.schedule import schedule_for
from fl_tiprdc.hybrid.step import GROUPS, PRETRAINED, Batch, HybridStep
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.models.batch_norm import MOMENTUM, BatchNorm2d
from fl_tiprdc.models.networks import build_networks, representation_shape
from strategies.aggregation import ServerAdam

PRIVATE = (Attribute("u", ("a", "b")),), ((0.5, 0.5),)
IMAGES = Description(*PRIVATE, (1, 15, 20), "image", 10.0)
PHOTOS = Description(*PRIVATE, (3, 32, 40), "image", 100.0)
TEXTS = Description(*PRIVATE, (7,), "text", 12.0, (), 11)
SMALL = NetworkConfig(representation=6, adversary_hidden=(8,), critic_hidden=(8,), critic_embedding=4, channels=4)
PAPER = MethodConfig(information="jsd-joint", privacy="negated-cross-entropy", channel=False, exchange="weights")


def some(description: Description, n: int, seed: int = 0) -> Records:
    generator = np.random.default_rng(seed)
    if description.modality == "image":
        x = generator.integers(0, 256, (n, *description.shape), dtype=np.uint8)
    else:
        x = generator.integers(0, description.vocabulary, (n, *description.shape)).astype(np.int32)
    return Records(x, generator.integers(0, 2, (n, 1)))


def a_step(description, method=None, architecture="auto"):
    method = method or MethodConfig()
    return HybridStep(description, SMALL.model_copy(update={"architecture": architecture}), method)


@pytest.mark.parametrize(
    ("description", "architecture", "shape"),
    [
        (IMAGES, "convolutional", (6,)),
        (TEXTS, "convolutional", (6,)),
        (PHOTOS, "vgg16", (128, 8, 10)),
        (TEXTS, "lstm", (7, 300)),
    ],
)
def test_shape_of_a_representation(description, architecture, shape):
    config = SMALL.model_copy(update={"architecture": architecture})
    assert representation_shape(description, config) == shape
    step = a_step(description, PAPER if len(shape) > 1 else None, architecture)
    with torch.no_grad():
        z = step.represent(step.initial(0)["extractor"], torch.tensor(some(description, 3).x), torch.zeros(()), 0.0)
    assert z.shape == (3, np.prod(shape)) == (3, step.d)


@pytest.mark.parametrize("description", [IMAGES, TEXTS], ids=["image", "text"])
@pytest.mark.parametrize("information", ["reconstruction", "jsd", "jsd-pairs", "infonce"])
def test_stacked_clients_equal_single_ones(description, information):
    """What clients of unequal sizes get in one stacked program is what each gets alone."""
    step = a_step(description, MethodConfig(information=information))
    members = [CohortMember(some(description, n, n), 0.5, 0.3, 0, (n,)) for n in (5, 9, 3)]
    training = LocalTraining(schedule_for(step.method), 4, 1e-3, epochs=2)
    start = step.initial(0)
    together = train_cohort(step, start, members, training)
    for i, member in enumerate(members):
        alone = train_cohort(step, start, [member], training)
        for name in GROUPS:
            for key, value in alone.groups[name].items():
                torch.testing.assert_close(together.groups[name][key][i], value[0], atol=1e-5, rtol=1e-4)
    still = [(g, k) for g in GROUPS for k in start[g] if torch.equal(together.groups[g][k][1], start[g][k])]
    assert not still


@pytest.mark.parametrize(("description", "architecture"), [(PHOTOS, "vgg16"), (TEXTS, "lstm")])
def test_networks_that_cannot_be_stacked_run_one_by_one(description, architecture, caplog):
    step = a_step(description, PAPER, architecture)
    members = [CohortMember(some(description, n, n), 0.5, 0.0, 0, (n,)) for n in (2, 3)]
    start = step.initial(0)
    together = cohort_gradients(step, start, members, GROUPS, 0)
    alone = cohort_gradients(step, start, members[:1], GROUPS, 0)
    for name in GROUPS:
        for key, value in alone.groups[name].items():
            torch.testing.assert_close(together.groups[name][key][0], value[0], atol=1e-5, rtol=1e-4)
            assert torch.isfinite(value).all()


def test_the_papers_image_networks_have_its_layers():
    """VGG16's thirteen convolutions, cut after the second max-pool, and two hidden layers of 4,096."""
    networks = build_networks(PHOTOS, NetworkConfig(architecture="vgg16"), "joint", 0)

    def convolutions(network):
        return [part.out_channels for part in network.modules() if isinstance(part, nn.Conv2d)]

    assert convolutions(networks["extractor"]) == [64, 64, 128, 128]
    assert convolutions(networks["adversary"]) == [256] * 3 + [512] * 6
    linear = [part.out_features for part in networks["adversary"].modules() if isinstance(part, nn.Linear)]
    assert linear == [4096, 4096, 2]
    assert sum(isinstance(part, nn.Dropout) for part in networks["adversary"].modules()) == 2
    assert convolutions(networks["critic"]) == [64, 64, 128, 128] + [256] * 3 + [512] * 6
    first = networks["extractor"][0][1].weight
    assert float(first.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    assert float(networks["critic"].head[0].weight.detach().std()) == pytest.approx(0.01, rel=0.05)


def test_the_papers_text_networks_read_up_to_the_last_word():
    networks = build_networks(TEXTS, NetworkConfig(architecture="lstm"), "joint", 0)
    networks["adversary"].eval()
    short = torch.tensor([[3, 4, 5, 0, 0, 0, 0]])
    with torch.no_grad():
        z = networks["extractor"](short).reshape(1, 7, 300)
        assert (z[:, 3:] == 0).all()
        assert (z[:, :3] != 0).all()
        cut = networks["adversary"][1](z[:, :3])
        torch.testing.assert_close(networks["adversary"][1](z), cut)


def test_the_joint_critic_compares_the_own_record_with_the_next():
    step = a_step(TEXTS, PAPER, "lstm")
    groups, records = step.initial(0), some(TEXTS, 3)
    batch = Batch(torch.tensor(records.x), torch.tensor(records.private), torch.ones(3), torch.zeros(3, 0))
    z = step.represent(groups["extractor"], batch.x, batch.noise, 0.0)
    u = torch.nn.functional.one_hot(batch.u[:, 0], 2).float()
    critic = step._modules["critic"]

    def score(i, j):
        return torch.func.functional_call(critic, groups["critic"], (batch.x[j : j + 1], z[i : i + 1], u[i : i + 1]))

    critic.eval()  # without dropout
    scores = step._scores(groups["critic"], batch, z, u)
    expected = torch.stack([torch.cat([score(i, i), score(i, (i + 1) % 3)]) for i in range(3)])
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-4)


def test_batch_normalization_equals_torchs():
    ours, torchs = BatchNorm2d(3), nn.BatchNorm2d(3)
    x = torch.randn(8, 3, 5, 4) * 2 + 1
    torch.testing.assert_close(ours(x), torchs(x), atol=1e-5, rtol=1e-5)
    ours.lag.backward()
    with torch.no_grad():
        for name in ("running_mean", "running_var"):
            parameter = getattr(ours, name)
            parameter -= MOMENTUM * parameter.grad
            torch.testing.assert_close(parameter.data, getattr(torchs, name), atol=1e-5, rtol=1e-5)
    ours.eval(), torchs.eval()
    torch.testing.assert_close(ours(x), torchs(x), atol=1e-5, rtol=1e-5)


def test_running_statistics_are_averaged_not_optimized():
    rule = ServerAdam(0.1, 0.9)
    current = {"0.running_mean": np.zeros(2, np.float32), "0.weight": np.ones(2, np.float32)}
    replies = [{key: np.full(2, value, np.float32) for key in current} for value in (1.0, 3.0)]
    after = rule(current, replies, [1, 1])
    np.testing.assert_allclose(after["0.running_mean"], -MOMENTUM * 2)
    np.testing.assert_allclose(after["0.weight"], 0.9, atol=1e-5)


def test_running_statistics_follow_a_client(one_thread):
    step = a_step(PHOTOS, PAPER, "vgg16")
    member = CohortMember(some(PHOTOS, 8), 0.5, 0.0, 0, (0,))
    start = step.initial(0)
    after = train_cohort(step, start, [member], LocalTraining([PRETRAINED], 8, 1e-4, epochs=2))
    assert set(after.groups) == {"extractor", "adversary"}  # the critic stays as it was
    name = next(key for key in start["extractor"] if key.endswith("running_mean"))
    assert (after.groups["extractor"][name][0] != start["extractor"][name]).any()


def test_pretraining_teaches_to_tell_the_private_value():
    """Extractor and adversary work together: the adversary's loss falls below chance's."""
    records = some(TEXTS, 200)
    records.x[:, 0] = records.private[:, 0] + 1
    step = a_step(TEXTS, MethodConfig(channel=False, pretraining=1.0))
    members = [CohortMember(records, 0.5, 0.0, 0, ("c",))]
    losses = []
    training = LocalTraining(schedule_for(step.method), 50, 3e-3, batches=20, pretraining=60)
    train_cohort(step, step.initial(0), members, training, on_batch=lambda done, of, rows: losses.append(rows[0]))
    assert len(losses) == 80
    assert losses[59][2] < 0.2 < losses[0][2]
    assert all(row[1] == 0 for row in losses[:60])
    assert losses[61][1] != 0  # the critic joins after it


@pytest.mark.parametrize(
    ("description", "architecture", "critic", "why"),
    [
        (
            IMAGES,
            "perceptron",
            "decoder",
            "perceptron' is not for image data: choose one of convolutional, linear, vgg16",
        ),
        (TEXTS, "vgg16", "joint", "vgg16' is not for text data: choose one of convolutional, lstm"),
        (IMAGES, "vgg16", "joint", "needs images of 32"),
        (PHOTOS, "vgg16", "decoder", "has critics joint, the method's information bound needs decoder"),
        (IMAGES, "auto", "joint", "has critics decoder, towers, softmax-towers"),
    ],
)
def test_what_does_not_fit_is_refused(description, architecture, critic, why):
    with pytest.raises(InputError, match=why):
        build_networks(description, NetworkConfig(architecture=architecture), critic, 0)
