"""Exported graphs compute what the extractor computes."""

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from fl_tiprdc.errors import InputError
from fl_tiprdc.extractor.export import graph_inputs, save_onnx, torch_program
from fl_tiprdc.release.release import unit_features
from tests.test_coded_extractor import coded_extractor, some_people
from tests.test_coded_extractor import table as with_sex
from tests.test_extractor import CROWDS, HIDDEN, built, table

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


# ---- codes

RECORDS = 4000
ROUNDED = 0.001  # share of records whose draw may fall on a threshold, to within float32's rounding of the extractor


def coded_example(architecture, sees_private):
    description, information, _ = CROWDS[architecture]
    extractor = coded_extractor(description, sees_private, architecture, information)
    rng = np.random.default_rng(0)
    draw = {
        "table": lambda shape: rng.normal(size=shape).astype(np.float32),
        "image": lambda shape: rng.integers(0, 256, shape).astype(np.uint8),
        "text": lambda shape: rng.integers(0, description.vocabulary, shape).astype(np.int32),
    }
    x = draw[description.modality]((RECORDS, *description.shape))
    private = rng.integers(0, len(HIDDEN[0].classes), RECORDS)
    normal = rng.normal(size=(RECORDS, 1)).astype(np.float32)
    numbers = iter(normal)
    wanted = extractor.release.apply(x, private[:, None], lambda part, width: np.stack([next(numbers) for _ in part]))
    inputs = {"x": x, **({"private": private} if sees_private else {}), "uniform": ndtr(normal.astype(np.float64))}
    return extractor, inputs, wanted


@pytest.mark.parametrize(
    ("architecture", "sees_private"),
    [("perceptron", True), ("perceptron", False), ("convolutional", True), ("lstm", False)],
)
def test_exported_codes_equal_eager_ones(architecture, sees_private, tmp_path):
    pytest.importorskip("onnxscript")
    extractor, inputs, wanted = coded_example(architecture, sees_private)
    save_onnx(extractor, tmp_path / "extractor.onnx")
    graph = session(tmp_path / "extractor.onnx")
    torch.export.save(torch_program(extractor), tmp_path / "extractor.pt2")
    program = torch.export.load(tmp_path / "extractor.pt2").module()
    assert [(one.name, one.shape[0]) for one in graph.get_inputs()] == [(name, "records") for name in inputs]
    assert [(one.name, one.type) for one in graph.get_outputs()] == [("code", "tensor(int64)"), ("z", "tensor(float)")]

    def onnx(inputs):
        return graph.run(["code", "z"], inputs)

    def torchs(inputs):
        return [value.numpy() for value in program(*map(torch.from_numpy, inputs.values()))]

    for run in (onnx, torchs):
        code, z = run(inputs)
        assert code.dtype == np.int64
        assert (code != wanted.codes).mean() <= ROUNDED
        assert np.array_equal(z, extractor.codes.codewords[code])
        few = run({name: value[:1] for name, value in inputs.items()})
        assert (few[0].shape, few[1].shape) == ((1,), (1, extractor.d))
        assert few[0][0] == code[0]


@pytest.mark.parametrize("sees_private", [True, False])
def test_a_graph_that_draws_its_codes_has_the_release_s_chances(sees_private, tmp_path):
    pytest.importorskip("onnxscript")
    extractor = coded_extractor(table(), sees_private)
    x = np.repeat(np.random.default_rng(0).normal(size=(1, 5)), 20_000, axis=0).astype(np.float32)
    private = np.full(len(x), int(sees_private))
    inputs = {"x": x, **({"private": private} if sees_private else {})}
    save_onnx(extractor, tmp_path / "extractor.onnx", draws=True)
    graph = session(tmp_path / "extractor.onnx")
    program = torch_program(extractor, draws=True).module()
    point = unit_features(extractor.module.extractor, x[:1], extractor.d)
    wanted = extractor.codes.probabilities(point, private[:1])[0]
    for run in (
        lambda: graph.run(None, inputs)[0],
        lambda: program(*map(torch.from_numpy, inputs.values()))[0].numpy(),
    ):
        first, second = run(), run()
        shares = np.bincount(first, minlength=len(extractor.codes)) / len(first)
        assert np.abs(shares - wanted).max() < 0.015
        assert (first != second).mean() > 0.3


# ---- a table into a graph


@pytest.mark.parametrize("sees_private", [True, False])
def test_three_lines_release_a_table_in_onnx_runtime_as_the_extractor_does(sees_private, tmp_path):
    pytest.importorskip("onnxscript")
    extractor, people, key = coded_extractor(with_sex(), sees_private), some_people(), bytes(range(32))
    save_onnx(extractor, tmp_path / "codes.onnx")
    graph = session(tmp_path / "codes.onnx")
    code, z = graph.run(["code", "z"], graph_inputs(extractor, people, key=key))
    assert (code == extractor.transform_codes(people, key=key)).mean() > 0.99
    assert np.array_equal(z, extractor.codes.codewords[code])
    apart = graph_inputs(extractor, people.drop(columns="sex"), people["sex"] if sees_private else None, key=key)
    assert np.array_equal(graph.run(["code"], apart)[0], code)
    again = graph.run(["code"], graph_inputs(extractor, people))[0]  # without a key, fresh draws
    assert (again != code).mean() > 0.2


@pytest.mark.parametrize("method", ["tiprdc+", "tiprdc"])
def test_graph_inputs_are_those_that_the_graph_takes(method):
    extractor, _ = built(table(), method=method)
    x = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    inputs = graph_inputs(extractor, x, key=1)
    assert list(inputs) == (["x", "noise"] if method == "tiprdc+" else ["x"])
    z = torch_program(extractor).module()(*map(torch.from_numpy, inputs.values())).numpy()
    assert np.allclose(z, extractor.transform(x, key=1), atol=1e-5)


def test_a_graph_of_codes_needs_the_private_labels():
    extractor = coded_extractor(with_sex())
    with pytest.raises(InputError, match=r"give each record's private label too$"):
        graph_inputs(extractor, np.zeros((2, 5), dtype=np.float32))
