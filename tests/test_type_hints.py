"""What the package exports has types that resolve, and the marker by which other projects' checkers use them."""

import inspect
from importlib import resources
from typing import get_type_hints

import pytest

import fl_tiprdc
from fl_tiprdc.extractor import export


def public_functions() -> list[object]:
    methods = [
        method
        for kind in (fl_tiprdc.Extractor, fl_tiprdc.TiprdcTransformer)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if method.__module__.startswith("fl_tiprdc") and not name.startswith("_")
    ]
    return [*methods, export.save_onnx, export.torch_program, export.graph_inputs]


@pytest.mark.parametrize("function", public_functions(), ids=lambda function: function.__qualname__)
def test_arguments_and_results_have_types(function):
    hints = get_type_hints(function)
    named = [name for name in inspect.signature(function).parameters if name != "self"]
    assert {*named, "return"} <= set(hints)


def test_the_package_tells_checkers_that_it_is_typed():
    assert resources.files("fl_tiprdc").joinpath("py.typed").is_file()
    assert set(fl_tiprdc.__all__) >= {"Extractor", "TiprdcTransformer"}
