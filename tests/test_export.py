"""Exported graphs compute what the extractor computes."""

import numpy as np
import pytest
import torch

from fl_tiprdc.extractor.export import save_onnx, torch_program
from tests.test_extractor import CROWDS, built, table

ARCHITECTURES = ("perceptron", "convolutional", "lstm")


def example(architecture):
    description, information, draw = CROWDS[architecture]
    extractor, _ = built(description, architecture, information=information)
    rng = np.random.default_rng(0)
    x = draw(rng)
    noise = rng.normal(size=(len(x), extractor.d)).astype(np.float32)
    return extractor, x, noise, extractor.release.apply(x, None, lambda part, width: noise).z


def session(path):
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_onnx_equals_eager_for_any_number_of_records(architecture, tmp_path):
    pytest.importorskip("onnxscript")
    extractor, x, noise, wanted = example(architecture)
    save_onnx(extractor, tmp_path / "extractor.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["extractor.onnx"]  # weights within
    graph = session(tmp_path / "extractor.onnx")
    assert [one.name for one in graph.get_inputs()] == ["x", "noise"]
    for rows in (slice(None), slice(0, 1)):
        found = graph.run(["z"], {"x": x[rows], "noise": noise[rows]})[0]
        assert np.allclose(found, wanted[rows], atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_torchs_graph_equals_eager_for_any_number_of_records(architecture, tmp_path):
    extractor, x, noise, wanted = example(architecture)
    torch.export.save(torch_program(extractor), tmp_path / "extractor.pt2")
    program = torch.export.load(tmp_path / "extractor.pt2").module()
    for rows in (slice(None), slice(0, 1)):
        found = program(torch.tensor(x[rows]), torch.tensor(noise[rows])).numpy()
        assert np.allclose(found, wanted[rows], atol=1e-5)


def test_a_graph_that_draws_its_noise_has_the_channels(tmp_path):
    pytest.importorskip("onnxscript")
    extractor, *_ = example("perceptron")
    x = np.zeros((4000, 5), dtype=np.float32)
    clean = extractor.release.apply_without_noise(x, None)
    save_onnx(extractor, tmp_path / "extractor.onnx", draws=True)
    graph = session(tmp_path / "extractor.onnx")
    program = torch_program(extractor, draws=True).module()
    for release in (lambda: graph.run(None, {"x": x})[0], lambda: program(torch.tensor(x)).numpy()):
        first, second = release() - clean, release() - clean
        assert first.std() == pytest.approx(extractor.sigma, rel=0.05)
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_a_method_without_a_channel_takes_x_alone():
    extractor, _ = built(table(), method="tiprdc")
    x = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    found = torch_program(extractor).module()(torch.tensor(x)).numpy()
    assert np.allclose(found, extractor.transform(x), atol=1e-6)
