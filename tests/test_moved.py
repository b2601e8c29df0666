"""Names of 0.1 go on working, with a warning that names what is there in their place."""

from importlib import import_module

import pytest

from fl_tiprdc.moved import MOVED
from tests.test_layers import imports, modules


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in MOVED.items() for name in names])
def test_an_old_name_is_the_new_one_and_says_where_that_is(module, name):
    place, _, current = MOVED[module][name].rpartition(".")
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} is {place}.{current} now") as warned:
        old = getattr(import_module(module), name)
    assert old is getattr(import_module(place), current)
    assert warned[0].filename == __file__, "the warning names the line that has to change"


@pytest.mark.parametrize("module", MOVED)
def test_a_name_that_never_was_is_no_attribute(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'no_such_name'"):
        import_module(module).no_such_name  # noqa: B018


def test_the_library_itself_uses_no_old_name():
    old = {f"{module}.{name}" for module, names in MOVED.items() for name in names}
    assert not {name: used for name, path in modules() if (used := imports(path) & old)}
