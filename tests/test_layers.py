"""The shape of the code: imports go one way, and training can't reach a task label."""

import ast
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fl_tiprdc.config import CentralizedConfig
from fl_tiprdc.environment import SILENT
from fl_tiprdc.federated.client_app import build_client_app
from fl_tiprdc.federated.cohort_actor import CohortActor
from fl_tiprdc.hybrid.centralized import train_centralized
from fl_tiprdc.hybrid.step import HybridStep
from tests.conftest import ROOT

# from the lowest layer up; a module may import its own layer and those before it
LAYERS = (
    ("fl_tiprdc.errors", "fl_tiprdc.environment", "fl_tiprdc.moved", "fl_tiprdc.notices"),
    ("fl_tiprdc.seeding", "fl_tiprdc.whole_file"),
    ("fl_tiprdc.frozen", "fl_tiprdc.wrong_setting"),
    ("fl_tiprdc.methods",),
    ("fl_tiprdc.config",),
    ("fl_tiprdc.data",),
    ("fl_tiprdc.models",),
    ("fl_tiprdc.release",),
    ("fl_tiprdc.hybrid",),
    ("fl_tiprdc.baselines",),
    ("fl_tiprdc.wire",),
    ("fl_tiprdc.secagg",),
    ("strategies",),
    ("fl_tiprdc.federated",),
    ("fl_tiprdc.evaluation",),
    ("fl_tiprdc.extractor",),
    ("fl_tiprdc.report",),
    ("fl_tiprdc.experiment",),
    ("fl_tiprdc.command_line",),
    ("fl_tiprdc.flower",),
    ("fl_tiprdc.catalogue",),
    ("fl_tiprdc.commands",),
    ("fl_tiprdc.deploy",),
    ("fl_tiprdc.studies",),
    ("fl_tiprdc.__main__",),
    ("simulations",),
)


def layer(module: str) -> int | None:
    for height, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return height
    return None


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules() -> list[tuple[str, Path]]:
    paths = [path for top in ("fl_tiprdc", "strategies", "simulations") for path in (ROOT / top).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return sorted(zip(names, paths, strict=True))


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_go_down(name, path):
    if name == "fl_tiprdc":
        return
    own = layer(name)
    assert own is not None, f"{name} belongs to no layer"
    for other in imports(path):
        height = layer(other)
        assert height is None or height <= own, f"{name} imports {other} from a higher layer"


def test_training_knows_nothing_of_flower_and_flower_code_nothing_of_losses():
    for name, path in modules():
        used = imports(path)
        if name.startswith(("fl_tiprdc.hybrid", "fl_tiprdc.models", "fl_tiprdc.data")):
            assert not [module for module in used if module.split(".")[0] in {"flwr", "ray"}], name
        if name.startswith(("fl_tiprdc.federated", "fl_tiprdc.wire", "fl_tiprdc.secagg", "strategies")):
            assert "fl_tiprdc.hybrid.bounds" not in used, name
            assert "torch.nn" not in used, name
        if name.startswith(("fl_tiprdc.federated", "strategies", "fl_tiprdc.hybrid")):
            # the type with task labels: training gets Records
            assert not {"fl_tiprdc.data.crowd.Crowd", "fl_tiprdc.data.crowd.Population"} & used, name


def test_scripts_parse_call_and_print():
    for name, path in modules():
        if name.startswith("simulations."):
            used = {module.split(".")[0] for module in imports(path)}
            assert not {"numpy", "torch", "flwr", "ray"} & used, f"{name} computes: that is a study's part"


def test_an_audit_of_somebodys_release_needs_neither_flower_nor_ray():
    seen = "import sys, fl_tiprdc.commands.audit; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", seen], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "fl_tiprdc" in done.stdout.split()
    assert not {"flwr", "ray", "strategies"} & set(done.stdout.split())


def test_a_client_imports_little():
    """There may be many on one machine: what only servers and audits need would be a third of a process's memory."""
    seen = "import sys, fl_tiprdc.flower.client, fl_tiprdc.federated.cohort_actor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", seen], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "fl_tiprdc.hybrid.step" in done.stdout.split()
    assert not {"pandas", "sklearn", "ot", "scipy.optimize", "matplotlib", "torch._dynamo"} & set(done.stdout.split())


def test_importing_the_library_changes_nothing_of_its_surroundings():
    code = """
import os
import torch, sklearn  # which set some for themselves
before = dict(os.environ)
import fl_tiprdc, fl_tiprdc.config, fl_tiprdc.extractor.transformer, fl_tiprdc.commands.audit
print(dict(os.environ) == before)
import fl_tiprdc.federated.launch
print(os.environ["FLWR_TELEMETRY_ENABLED"], os.environ["RAY_USAGE_STATS_ENABLED"])
"""
    environment = {name: value for name, value in os.environ.items() if name not in SILENT}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "0", "0"]


def reachable_arrays(*roots: object) -> list[np.ndarray]:
    """Every array that can be reached from the roots by following references (not through modules and types)."""
    seen: set[int] = set()
    stack: list[object] = list(roots)
    arrays: list[np.ndarray] = []
    while stack:
        thing = stack.pop()
        if id(thing) in seen or isinstance(thing, (type, type(np))):
            continue
        seen.add(id(thing))
        if isinstance(thing, np.ndarray):
            arrays.append(np.asarray(thing))
            if thing.base is not None:
                stack.append(thing.base)
        elif isinstance(thing, torch.Tensor):
            arrays.append(thing.detach().numpy())
        namespace = getattr(thing, "__globals__", None)
        stack += [other for other in gc.get_referents(thing) if other is not namespace]
    return arrays


def test_no_task_label_is_reachable_from_training(population, small, make_store):
    crowd = population.contributors
    labels = dict(crowd.tasks)
    assert set(labels) == {"income", "married", "college", "white-collar"}
    experiment = small()
    step = HybridStep(crowd.description, experiment.network, experiment.method_config("tiprdc+"))
    seen: list[object] = []

    def on_update(done: int, of: int) -> None:
        if not seen:
            import sys

            frame = sys._getframe(1)
            while frame is not None and frame.f_code.co_name != "test_no_task_label_is_reachable_from_training":
                seen.append(dict(frame.f_locals))  # what every function of a running training can touch
                frame = frame.f_back

    train_centralized(step, crowd.records(), [0.5], 0, CentralizedConfig(steps=2, batch_size=64), on_update)
    assert len(seen) >= 2
    store = make_store(4)
    actor = CohortActor(str(store.root), 4, torch.get_num_threads())
    roots = [seen, step, crowd.records(), store, [store.records(i) for i in range(4)], actor, build_client_app("")]
    arrays = reachable_arrays(*roots)
    assert any(array.shape == crowd.x.shape for array in arrays)  # the walk does find what is there
    for name, values in labels.items():
        for array in arrays:
            assert array.size != values.size or not np.array_equal(array.reshape(-1), values), name
        column = values.astype(np.float32)
        for array in arrays:
            if array.ndim == 2 and len(array) == len(column) and array.dtype == np.float32:
                # college is a threshold of a column of x; no column of x is a task's label itself
                assert not (array == column[:, None]).all(0).any(), name


def test_a_clients_disk_holds_no_task_label(population, make_store):
    root = make_store(4).root
    assert {path.name for path in root.iterdir()} == {
        "x.npy",
        "private.npy",
        "offsets.npy",
        "secret",
        "description.json",
    }
    assert "tasks" not in (root / "description.json").read_text()
    private = np.load(root / "private.npy")
    assert private.shape == (360, 1)
    assert np.load(root / "x.npy").shape == population.contributors.x.shape


def test_the_library_speaks_through_logging_and_warnings_and_never_prints():
    speaking = ("__main__.py", "command_line/", "commands/", "deploy/", "flower/")  # these are for a terminal
    package = ROOT / "fl_tiprdc"
    quiet = [path for path in package.rglob("*.py") if not path.relative_to(package).as_posix().startswith(speaking)]
    assert len(quiet) > 100
    for path in quiet:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert "print" not in {call.func.id for call in calls if isinstance(call.func, ast.Name)}, path
