"""The reconstruction attack: similarity of images, decoders of each modality, the figure, and a run."""

import json

import numpy as np
import pandas as pd
import pytest
import pytorch_msssim
import torch
from rich.console import Console

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import PADDING, Attribute, Column, Crowd, Description, Population
from fl_tiprdc.evaluation.attacks.reconstruction import Examples, is_wanted, reconstruct
from fl_tiprdc.evaluation.audit import AuditedRelease
from fl_tiprdc.evaluation.frontier import summarize_points
from fl_tiprdc.evaluation.image_decoder import ImageDecoder
from fl_tiprdc.evaluation.image_similarity import ms_ssim, psnr, scales_and_window, ssim
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.experiment.run import run_experiment
from fl_tiprdc.report.reconstruction_figure import reconstruction_figure
from tests.conftest import on_one_thread

ATTRIBUTES = (Attribute("u", ("a", "b")),)
CONFIG = AuditConfig(reconstruct="always", reconstruction_records=400, reconstruction_steps=100, bootstrap=50)


def crowd_of(x, description, tasks=False) -> Crowd:
    generator = np.random.default_rng(len(x))
    labels = {"t": generator.integers(0, 2, len(x))} if tasks else {}
    return Crowd(x, generator.integers(0, 2, (len(x), 1)), labels, np.arange(len(x)), description)


def two_crowds(x, description, known=400):
    return crowd_of(x[:known], description), crowd_of(x[known:], description)


def some_images(n=500, size=16, channels=1, seed=0):
    """Images that four numbers make of what all have in common: [n, C, size, size] uint8 and [n, 4]."""
    generator = np.random.default_rng(seed)
    codes = generator.normal(size=(n, 4)).astype(np.float32)
    place = np.linspace(0, 2 * np.pi, size)
    wave = np.stack([np.sin(place), np.cos(place), np.sin(2 * place), np.cos(2 * place)])
    patterns = wave[:, :, None] * wave[::-1, None, :]
    common = 40 * np.sin(3 * place)[:, None] * np.sin(place)
    x = 127.5 + common + 40 * np.einsum("nk,kij->nij", codes, patterns)
    return x.clip(0, 255).astype(np.uint8)[:, None].repeat(channels, axis=1), codes


def release(z, known=400, **changes):
    where = {"setting": "federated", "method": "tiprdc+", "lam": 0.5, "seed": 0} | changes
    return AuditedRelease(**where, contributors=z[:known].astype(np.float32), held_out=z[known:].astype(np.float32))


def row(table, model, metric):
    (found,) = table[(table["model"] == model) & (table["metric"] == metric)].to_dict("records")
    return found


def image_description(x):
    return Description(ATTRIBUTES, ((0.5, 0.5),), x.shape[1:], "image")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """As in a run, where attacks share the cores."""
    with on_one_thread():
        yield


# ---- similarity


def test_the_number_of_scales_and_the_window_follow_the_shorter_side():
    sides = (8, 11, 16, 28, 31, 32, 40, 41, 64, 80, 81, 160, 161, 218)
    found = [scales_and_window(side, 300) for side in sides]
    assert [scales for scales, _ in found] == [1, 1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5]
    assert [window for _, window in found] == [7] + [11] * 13
    assert scales_and_window(218, 178) == (5, 11)


def test_large_images_have_the_packages_ms_ssim_and_small_ones_its_ssim():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((2, 3, 165, 170), generator=generator)
    y = (x + 0.2 * torch.rand(x.shape, generator=generator)).clamp(0, 1)
    wanted = pytorch_msssim.ms_ssim(x, y, data_range=1.0, size_average=False)
    torch.testing.assert_close(ms_ssim(x, y), wanted)
    small_x, small_y = x[..., :24, :30], y[..., :24, :30]
    wanted = pytorch_msssim.ssim(small_x, small_y, data_range=1.0, size_average=False)
    torch.testing.assert_close(ssim(small_x, small_y), wanted)
    torch.testing.assert_close(ms_ssim(small_x, small_y), wanted)


@pytest.mark.parametrize("side", [16, 33, 50, 90])
def test_equal_images_are_as_alike_as_can_be_at_any_size(side):
    x = torch.rand((2, 1, side, side), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(2))  # so the weights of the scales add up to 1
    assert (ms_ssim(x, 1 - x) < 0.3).all()


def test_training_on_opposite_images_has_finite_slopes():
    x = torch.rand((2, 1, 50, 50), generator=torch.Generator().manual_seed(0))
    y = (1 - x).requires_grad_()  # its contrast is negative at every scale
    ms_ssim(y, x, floor=1e-3).mean().backward()
    assert torch.isfinite(y.grad).all()


def test_psnr_by_hand():
    x = torch.zeros((2, 1, 4, 4))
    assert psnr(x, torch.stack([x[0] + 0.1, x[1]])).tolist() == pytest.approx([20, 100])


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 28, 28), (3, 64, 48), (3, 218, 178)])
def test_a_decoder_starts_at_the_image_it_is_given_and_fits_any_size(shape):
    start = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    decoder = ImageDecoder(6, shape, start)
    answers = decoder(torch.randn(2, 6, generator=torch.Generator().manual_seed(1)))
    assert answers.shape == (2, *shape)
    torch.testing.assert_close(answers[0], start)


# ---- images


@pytest.fixture(scope="module")
def leaked():
    x, codes = some_images()
    contributors, held_out = two_crowds(x, image_description(x))
    return contributors, held_out, codes, reconstruct(release(codes), contributors, held_out, CONFIG)


def test_images_come_back_from_a_release_that_holds_them(leaked):
    contributors, held_out, _, found = leaked
    table = found.metrics
    assert list(table.columns) == COLUMNS
    assert len(table) == 2 * 3
    assert (table[["setting", "method", "lam", "seed"]] == ["federated", "tiprdc+", 0.5, 0]).all(axis=None)
    assert (table[["kind", "target"]] == ["reconstruction", "x"]).all(axis=None)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    for metric, better in (("ms-ssim", 0.2), ("ssim", 0.2), ("psnr", 2)):
        assert row(table, "decoder", metric)["low"] > row(table, "constant", metric)["high"] + better
    examples = found.examples
    assert examples.originals.shape == examples.reconstructions.shape == (8, 1, 16, 16)
    assert examples.reconstructions.dtype == np.uint8
    rows = [next(i for i, x in enumerate(held_out.x) if np.array_equal(x, image)) for image in examples.originals]
    assert len(set(held_out.participant[rows])) == 8  # one record a person
    assert examples.similarity == row(table, "decoder", "ms-ssim")["value"]
    assert examples.chance == row(table, "constant", "ms-ssim")["value"]
    errors = np.square(examples.reconstructions - examples.originals.astype(float)).mean((1, 2, 3))
    of_constant = np.square(examples.constant - examples.originals.astype(float)).mean((1, 2, 3))
    assert np.median(errors / of_constant) < 0.6
    # the constant is never worse than the contributors' mean image
    mean = contributors.x.mean(0)
    error = np.square((mean - held_out.x) / 255).mean((1, 2, 3))
    assert row(table, "constant", "psnr")["value"] >= (-10 * np.log10(error)).mean() - 0.01


def test_nothing_comes_back_from_noise(leaked):
    contributors, held_out, codes, _ = leaked
    noise = np.random.default_rng(5).normal(size=codes.shape)
    table = reconstruct(release(noise), contributors, held_out, CONFIG).metrics
    for metric, tolerance in (("ms-ssim", 0.02), ("ssim", 0.02), ("psnr", 0.3)):
        assert row(table, "decoder", metric)["value"] < row(table, "constant", metric)["value"] + tolerance


def test_the_order_of_publication_makes_no_difference_and_the_seed_does(leaked):
    contributors, held_out, codes, found = leaked
    rows = np.random.default_rng(2).permutation(400)
    published = np.concatenate([codes[:400][rows], codes[400:]])
    again = reconstruct(release(published), contributors, held_out, CONFIG, rows)
    # the same people in the same batches; only sums for standardizing z may round differently
    np.testing.assert_allclose(again.metrics["value"], found.metrics["value"], rtol=1e-3)
    few = CONFIG.model_copy(update={"reconstruction_steps": 5})
    first, second, other = (
        reconstruct(release(codes, seed=seed), contributors, held_out, few).metrics for seed in (3, 3, 4)
    )
    pd.testing.assert_frame_equal(first, second)
    assert not np.allclose(first["value"], other["value"])


def test_pixels_of_a_crowd_are_read_by_the_batch(leaked):
    _, _, codes, _ = leaked
    x, _ = some_images()
    contributors, held_out = two_crowds(x, image_description(x))
    read = []

    class Watched:
        def __len__(self):
            return 400

        def __getitem__(self, rows):
            read.append(len(rows))
            return x[:400][rows]

    object.__setattr__(contributors, "x", Watched())
    few = CONFIG.model_copy(update={"reconstruction_steps": 3, "reconstruction_records": 100})
    reconstruct(release(codes), contributors, held_out, few)
    assert 0 < max(read) <= 64


# ---- tables and texts


def test_tables():
    generator = np.random.default_rng(0)
    codes = generator.normal(size=(600, 3)).astype(np.float32)
    x = (codes @ generator.normal(size=(3, 7))).astype(np.float32)
    columns = tuple(Column(f"c{i}", "numeric", i) for i in range(7))
    contributors, held_out = two_crowds(x, Description.of_table(columns, ATTRIBUTES, ((0.5, 0.5),)))
    found = reconstruct(release(codes), contributors, held_out, CONFIG)
    assert found.examples is None
    assert row(found.metrics, "decoder", "explained")["value"] > 0.99  # a ridge regression has it all
    assert row(found.metrics, "constant", "explained")["value"] == 0
    noise = reconstruct(release(generator.normal(size=(600, 3))), contributors, held_out, CONFIG).metrics
    assert row(noise, "decoder", "explained")["value"] < 0.02
    # a curve that no straight line follows needs the perceptron
    bent = crowd_of(np.abs(x[:400]), contributors.description), crowd_of(np.abs(x[400:]), contributors.description)
    straight = np.linalg.lstsq(np.c_[codes[:400], np.ones(400)], bent[0].x, rcond=None)[0]
    left = np.square(np.c_[codes[400:], np.ones(200)] @ straight - bent[1].x).sum()
    by_line = 1 - left / np.square(bent[1].x - bent[0].x.mean(0)).sum()
    curved = reconstruct(release(codes), *bent, CONFIG).metrics
    assert row(curved, "decoder", "explained")["value"] > by_line + 0.3


def some_texts(n=600, places=5, vocabulary=6):
    generator = np.random.default_rng(0)
    x = generator.integers(1, vocabulary, (n, places)).astype(np.int32)
    x[:, 0] = np.where(generator.random(n) < 0.6, 2, x[:, 0])  # a frequent first letter
    x[np.arange(places) >= generator.integers(2, places + 1, n)[:, None]] = PADDING
    return x, Description(ATTRIBUTES, ((0.5, 0.5),), (places,), "text", vocabulary=vocabulary)


def test_texts():
    x, description = some_texts()
    contributors, held_out = two_crowds(x, description)
    one_hot = (x[:, :, None] == np.arange(6)).reshape(len(x), -1)
    found = reconstruct(release(one_hot), contributors, held_out, CONFIG).metrics
    assert row(found, "decoder", "token-accuracy")["value"] > 0.95
    # by hand: the most frequent letter of each place, over letters that are there
    frequent = [np.bincount(column[column > 0], minlength=6).argmax() for column in x[:400].T]
    right = (x[400:] == frequent).sum() / (x[400:] != PADDING).sum()
    assert row(found, "constant", "token-accuracy")["value"] == pytest.approx(right)
    noise = np.random.default_rng(3).normal(size=(600, 8))
    lost = reconstruct(release(noise), contributors, held_out, CONFIG).metrics
    assert row(lost, "decoder", "token-accuracy")["low"] < right


def test_texts_with_too_many_outputs_are_left_alone():
    x, _ = some_texts(60)
    wide = Description(ATTRIBUTES, ((0.5, 0.5),), (5,), "text", vocabulary=10_001)
    found = reconstruct(release(np.ones((60, 2)), 40), *two_crowds(x, wide, 40), CONFIG)
    assert found.metrics.empty
    assert list(found.metrics.columns) == COLUMNS


def test_auto_means_images():
    image = image_description(np.zeros((1, 1, 16, 16)))
    _, text = some_texts(2)
    assert is_wanted(AuditConfig(), image)
    assert not is_wanted(AuditConfig(), text)
    assert is_wanted(CONFIG, text)
    assert not is_wanted(AuditConfig(reconstruct="never"), image)


# ---- the figure


def some_examples(settings=("federated", "centralized"), methods=("tiprdc", "tiprdc+", "a"), lambdas=(0.9, 0.1)):
    x, _ = some_images(17)
    return {
        (setting, method, lam, seed): Examples(x[:8], x[16], x[8:16], 0.5 + lam / 10, 0.25)
        for setting in settings
        for method in methods
        for lam in lambdas
        for seed in (0, 1)
    }


def test_the_figure_has_a_column_for_each_lambda_of_two_methods():
    figure = reconstruction_figure(some_examples())
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    points = ["λ = 0.1\n0.51", "λ = 0.9\n0.59"]
    assert titles == ["original\n", "constant\n0.25", *points, *points]
    texts = [text.get_text() for text in figure.texts]
    assert texts[:2] == ["tiprdc+, federated", "tiprdc, federated"]
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 6 * 6  # people x columns
    x, _ = some_images(17)
    np.testing.assert_array_equal(images[0][..., 0], x[0, 0])
    np.testing.assert_array_equal(images[1][..., 0], x[16, 0])
    np.testing.assert_array_equal(images[2][..., 0], x[8, 0])


def test_images_keep_their_shape_in_narrow_figures():
    figure = reconstruction_figure(some_examples(methods=("tiprdc+",), lambdas=(0.5,)))
    width, height = figure.axes[0].get_position().size * figure.get_size_inches()
    assert width == pytest.approx(height, rel=0.1)


# ---- a run


def test_a_run_on_images_leaves_rows_and_the_figure(small, one_process, tmp_path):
    x, _ = some_images(300)
    parts = [crowd_of(x[:200], image_description(x), tasks=True), crowd_of(x[200:], image_description(x), tasks=True)]
    experiment = small(
        settings=("centralized", "baseline"),
        methods=("tiprdc+",),
        private=("u",),
        lambdas=(0.1, 0.9),
        centralized={"steps": 2},
        audit={"reconstruction_steps": 20},
    )
    run_experiment(experiment, Population(*parts), tmp_path / "run", Console(quiet=True))
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    rows = metrics[metrics["kind"] == "reconstruction"]
    assert set(zip(rows["setting"], rows["lam"], strict=True)) == {
        ("centralized", 0.1),
        ("centralized", 0.9),
        ("baseline", 1.0),
    }
    assert len(rows) == 3 * 2 * 3
    # what the audit says of attacks and tasks is not touched by these rows
    pd.testing.assert_frame_equal(
        summarize_points(metrics), summarize_points(metrics[metrics["kind"] != "reconstruction"])
    )
    assert (tmp_path / "run" / "figures" / "reconstruction.png").read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "best constant image" in page
    assert "Reconstruction of raw records" in page
    assert "reconstruction" in json.loads((tmp_path / "run" / "summary.json").read_text())["seconds"]
