"""Every setting of a config file with wrong values, and junk of any kind: one line, or an experiment that is right."""

import math
import types
import typing
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fl_tiprdc.config import Experiment, build_experiment, read_toml
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.run_folder import config_text
from fl_tiprdc.methods import METHODS, MethodConfig


def model_of(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, types.UnionType):  # a table that may be left out
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object, list[object]]]:
    """Every setting of a model and of the tables in it: path, annotation, what bounds it."""
    found = []
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        found += leaves(inner, (*path, name)) if inner else [((*path, name), field.annotation, field.metadata)]
    return found


METHOD = [(("method", name, *path), *rest) for name in ("tiprdc+", "mine") for path, *rest in leaves(MethodConfig)]
LEAVES = [leaf for leaf in leaves(Experiment) if leaf[0] != ("method",)] + METHOD


def wrong_values(annotation: object, bounds: list[object]) -> list[object]:
    """Values that no setting of this type takes."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):  # None can't be written in TOML
        return wrong_values(next(a for a in arguments if a is not type(None)), bounds)
    if origin is typing.Annotated:
        return wrong_values(arguments[0], [*bounds, *(b for extra in arguments[1:] for b in extra.metadata)])
    if origin is typing.Literal:
        return ["something else", "", 3, [arguments[0]], True]
    if origin is tuple:
        inner = wrong_values(arguments[0], [])
        return ["text", 3, {"a": 1}, True, *[[value] for value in inner[:3]]]
    if origin is dict:
        return ["text", 3, [1], True, *[{"name": value} for value in wrong_values(arguments[1], [])[:2]]]
    if annotation is bool:
        return ["perhaps", 2, [], {}]
    if annotation in (int, float):
        outside: list[object] = []
        for bound in bounds:
            for kind, step in (("ge", -1), ("gt", 0), ("le", 1), ("lt", 0)):
                if (limit := getattr(bound, kind, None)) is not None:
                    outside.append(limit + step)
        return ["many", "", [1], {}, True, math.nan, math.inf, *outside, *([1.5] if annotation is int else [])]
    if annotation is Path:
        return [3, [], {}, True]
    assert annotation is str, annotation
    return [3, 1.5, [], {}, True]


def nested(path: tuple[str, ...], value: object) -> dict[str, object]:
    for name in reversed(path):
        value = {name: value}
    return typing.cast(dict[str, object], value)


@pytest.mark.parametrize(
    ("path", "annotation", "bounds"),
    LEAVES,
    ids=lambda v: ".".join(v) if v and isinstance(v, tuple) and isinstance(v[0], str) else "",
)
def test_every_setting_with_wrong_values(path, annotation, bounds, tmp_path):
    wrong = wrong_values(annotation, bounds)
    assert len(wrong) >= 3
    for value in wrong:
        with pytest.raises(InputError) as error:
            build_experiment(nested(path, value))
        assert "\n" not in str(error.value)
        assert path[-1] in str(error.value)
    (tmp_path / "config.toml").write_text(tomli_w.dumps(nested(path, wrong[0])))
    with pytest.raises(InputError):
        build_experiment(read_toml(tmp_path / "config.toml"))


# ---- junk

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # surrogates are no text
KEYS = st.sampled_from(sorted({name for path, *_ in LEAVES for name in path} | {*METHODS, "nonsense"})) | TEXT
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.dates() | st.binary(max_size=4)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)


def complaint(build: Callable[[], Experiment]) -> str:
    """Why something can't be an experiment; empty if it is one."""
    try:
        assert isinstance(build(), Experiment)
    except InputError as error:
        return str(error)
    return ""


@given(st.dictionaries(KEYS, JUNK, max_size=4))
@settings(max_examples=300)
def test_junk_is_refused_in_one_line_or_is_an_experiment(values):
    said = complaint(lambda: build_experiment(values))
    assert "\n" not in said
    assert len(said) < 2000


@given(st.binary(max_size=60) | TEXT.map(str.encode))
@settings(max_examples=100)
def test_any_bytes_as_a_file_are_toml_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("junk") / "config.toml"
    path.write_bytes(content)
    assert "\n" not in complaint(lambda: build_experiment(read_toml(path)))


# ---- whatever is right is written and read back


def right_values(annotation: object, bounds: list[object]) -> st.SearchStrategy[object]:
    """Values that a setting of this type takes."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return right_values(next(a for a in arguments if a is not type(None)), bounds)
    if origin is typing.Annotated:
        return right_values(arguments[0], [*bounds, *(b for extra in arguments[1:] for b in extra.metadata)])
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and (len(arguments) == 1 or arguments[1] is not Ellipsis):
        return st.tuples(*[right_values(a, []) for a in arguments])
    if origin is tuple:
        alike = lambda value: f"{value:g}" if isinstance(value, float) else value  # noqa: E731
        return st.lists(right_values(arguments[0], []), min_size=1, max_size=3, unique_by=alike).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, right_values(arguments[1], []), max_size=2)
    if annotation is bool:
        return st.booleans()
    if annotation in (int, float):
        low = max([getattr(b, k) for b in bounds for k in ("ge", "gt") if getattr(b, k, None) is not None], default=-5)
        high = min([getattr(b, k) for b in bounds for k in ("le", "lt") if getattr(b, k, None) is not None], default=99)
        if annotation is int:
            return st.integers(low, high)
        return st.floats(
            low,
            high,
            exclude_min=low in (0, -5) or any(getattr(b, "gt", None) is not None for b in bounds),
            exclude_max=high <= 1,
        )
    return TEXT.filter(str.isprintable) if annotation is Path else TEXT


SPECIAL = {
    # false doesn't go with known columns, nor the next two with every quorum and aggregation: tests of their own
    **{leaf[0]: st.just(True) for leaf in METHOD if leaf[0][-1] == "sees_private"},
    ("protection", "secagg"): st.just(False),
    ("protection", "noise"): st.just(0.0),
    ("methods",): st.just(("tiprdc",)),
    ("ray_address",): st.sampled_from(["", "auto", "10.0.0.1:6379", "ray://head.example:10001", "[::1]:1"]),
    ("federation", "clients_per_round"): st.just(0),
    ("license",): st.sampled_from(["unknown", "cc-by-4.0"]),
}


@st.composite
def right_settings(draw) -> dict[str, object]:
    chosen = draw(st.lists(st.sampled_from(LEAVES), max_size=12, unique_by=lambda leaf: leaf[0]))
    values: dict[str, object] = {}
    for path, annotation, bounds in chosen:
        place = values
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = draw(SPECIAL[path] if path in SPECIAL else right_values(annotation, bounds))
    return values


@given(right_settings())
@settings(max_examples=150)
def test_what_is_right_survives_config_toml(tmp_path_factory, values):
    experiment = build_experiment(values)
    path = tmp_path_factory.mktemp("right") / "config.toml"
    path.write_text(config_text(experiment), encoding="utf-8")
    assert build_experiment(read_toml(path)) == experiment
