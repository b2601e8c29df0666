"""Figures, from tables alone."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.evaluation.frontier import over_seeds, retention_of_tasks, summarize_points
from fl_tiprdc.report.figures import (
    ATTACK,
    RETENTION,
    comparison_figure,
    draw_all,
    frontier_figure,
    methods_figure,
    tasks_figure,
    training_figure,
)
from fl_tiprdc.report.style import colors
from fl_tiprdc.report.training_curves import serving_all, training_curves
from tests.invented_metrics import metrics_of

FIGURES = ["frontier", "comparison", "tasks", "training"]


def some_metrics(
    methods=("tiprdc", "tiprdc+"), lambdas=(0.1, 0.5, 0.9), seeds=(0, 1), tasks=("income", "college", "married")
) -> pd.DataFrame:
    rows = []
    for seed in seeds:
        where = [("raw", "raw", 0.0), ("baseline", "gaussian-noise", 1.0), ("baseline", "gaussian-noise", 4.0)]
        where += [(s, m, lam) for s in ("centralized", "federated") for m in methods for lam in lambdas]
        for setting, method, lam in where:
            loss = 0.0 if setting == "raw" else 0.1 * (lam if lam < 1 else lam / 2) + 0.01 * seed
            rows.append((setting, method, lam, seed, "attack", "sex", "mlp", "auc", 0.94 - loss, 0.92, 0.95))
            for i, task in enumerate(tasks):
                auc = 0.9 - 0.05 * i - loss
                rows.append((setting, method, lam, seed, "task", task, "mlp", "auc", auc, auc - 0.01, auc + 0.01))
    return metrics_of(rows)


def some_points(**changes) -> pd.DataFrame:
    return summarize_points(some_metrics(**changes))


def some_tasks(**changes) -> pd.DataFrame:
    return retention_of_tasks(some_metrics(**changes))


def some_rounds(methods=("tiprdc", "tiprdc+"), lambdas=(0.1, 0.5, 0.9), seeds=(0, 1)) -> pd.DataFrame:
    rows = []
    for method in methods:
        phases = ("local-training",) if method == "tiprdc" else ("adversary-gradient", "hybrid-gradient")
        for lam in lambdas:
            for seed in seeds:
                for round_ in range(1, 5):
                    for phase in phases:
                        curve = {"adversary": 0.7 - lam / round_, "privacy": lam / round_, "information": 1 - lam / 2}
                        rows.append(
                            {"setting": "federated", "method": method, "lam": lam, "seed": seed, "round": round_}
                            | {"phase": phase}
                            # an adversary's gradient says nothing of the others
                            | {name: 0.0 if phase == "adversary-gradient" else v for name, v in curve.items()}
                            | {"adversary": curve["adversary"]}
                        )
    rows.append({**rows[0], "setting": "centralized", "phase": "update"})  # isn't drawn
    return pd.DataFrame(rows)


def all_figures(points, tasks, rounds):
    return [
        frontier_figure(points),
        comparison_figure(points),
        tasks_figure(points, tasks),
        training_figure(rounds, points),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder with figures/ drawn."""
    folder = tmp_path_factory.mktemp("run")
    assert draw_all(folder / "figures", some_points(), some_tasks(), some_rounds()) == FIGURES
    return folder


def test_every_figure_is_written_as_png_and_svg(folder):
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")
    }
    for name in FIGURES:
        png = (folder / "figures" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
        assert width > 800  # legible at column width
        assert height > 400
        assert len(png) > 10_000  # a blank page of that size has about 5 kB
        assert (folder / "figures" / f"{name}.svg").read_text().count("<path") > 50


def test_a_run_without_rounds_has_no_training_figure_and_no_note_of_one(tmp_path, recwarn, capsys):
    assert draw_all(tmp_path, some_points(), some_tasks(), pd.DataFrame()) == [
        name for name in FIGURES if name != "training"
    ]
    assert not (tmp_path / "training.png").exists()
    assert not recwarn.list
    assert "training" not in "".join(capsys.readouterr())


def test_the_same_tables_give_the_same_svg(folder, tmp_path):
    draw_all(tmp_path, some_points(), some_tasks(), some_rounds())
    for name in FIGURES:
        assert (folder / "figures" / f"{name}.svg").read_bytes() == (tmp_path / f"{name}.svg").read_bytes(), name


def test_tables_stay_as_they_are():
    points, rounds = some_points(), some_rounds()
    before = points.copy(), rounds.copy()
    all_figures(points, some_tasks(), rounds)
    pd.testing.assert_frame_equal(points, before[0])
    pd.testing.assert_frame_equal(rounds, before[1])


def test_axes_have_labels_and_figures_a_title():
    for figure in all_figures(some_points(), some_tasks(), some_rounds()):
        visible = [axes for axes in figure.axes if axes.get_visible()]
        for axes in visible:
            assert axes.get_ylabel()
            if axes.get_subplotspec().is_last_row():  # those above share it
                assert axes.get_xlabel()
        assert figure.get_suptitle() or all(axes.get_title() for axes in visible)
        assert figure.legends


def drawn(axes):
    """Data of each labeled error-bar series: label -> (x, y)."""
    return {bars.get_label(): np.array(bars.lines[0].get_data(), dtype=float) for bars in axes.containers}


def test_the_frontier_figure_shows_the_points():
    points = some_points()
    (axes,) = frontier_figure(points).axes
    mean = over_seeds(points)
    series = drawn(axes)
    assert set(series) == {
        "gaussian-noise, baseline",
        *(f"{m}, {s}" for m in ("tiprdc", "tiprdc+") for s in ("centralized", "federated")),
    }
    wanted = mean[(mean["setting"] == "federated") & (mean["method"] == "tiprdc+")]
    x, y = series["tiprdc+, federated"]
    np.testing.assert_allclose(x, wanted["attack"])
    np.testing.assert_allclose(y, wanted["retention"])
    raw = next(line for line in axes.lines if line.get_label() == "raw data")
    assert list(raw.get_xdata()) == pytest.approx(mean[mean["setting"] == "raw"]["attack"].tolist())
    assert list(raw.get_ydata()) == pytest.approx([1.0])
    assert "chance" in [text.get_text() for text in axes.texts]


def test_the_methods_figure_has_a_line_for_each_method_and_a_dot_for_each_lambda():
    figure = methods_figure(some_points(methods=("tiprdc", "tiprdc+", "mine")))
    left, right = figure.axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["mine", "tiprdc+", "tiprdc"]
    assert left.get_xlabel() == ATTACK
    assert right.get_xlabel() == f"mean {RETENTION}"
    dots = [container for container in left.containers if "federated" in container.get_label()]
    assert all(len(container.lines[0].get_xdata()) == 3 for container in dots)


def test_the_training_figure_shows_the_mean_over_seeds_by_round():
    rounds = some_rounds()
    rounds["adversary"] += 0.1 * rounds["seed"]
    figure = training_figure(rounds, some_points())
    line = figure.axes[0].lines[0]  # tiprdc, adversary, λ = 0.1
    assert line.get_label() == "λ = 0.1"
    assert list(line.get_xdata()) == [1, 2, 3, 4]
    np.testing.assert_allclose(line.get_ydata(), [0.7 - 0.1 / r + 0.05 for r in (1, 2, 3, 4)])
    for axes in figure.axes:
        assert len(axes.lines) == 3
        assert all(np.isfinite(line.get_ydata()).all() for line in axes.lines)


def test_sums_and_networks_that_a_method_lacks_make_no_training_curve():
    rounds = some_rounds(("coded",), (0.0,), (0,)).assign(adversary=0.0, privacy=0.0, phase="local-training")
    sums = rounds[rounds["round"] == 4].assign(round=5, phase="codes.cells", information=0.0)
    trained = rounds[rounds["setting"] == "federated"]
    curves = training_curves(pd.concat([trained, sums]))
    assert set(curves["loss"]) == {"information"}
    assert curves["round"].tolist() == [1, 2, 3, 4]
    assert (curves["value"] > 0).all()
    points = pd.DataFrame({"setting": "federated", "method": "coded", "lam": [0.0, 0.5, 1.0]})
    figure = training_figure(pd.concat([trained, sums]), points)
    assert [line.get_label() for line in figure.axes[2].lines] == ["all λ"]  # codes of all λ share the extractor
    assert serving_all(curves, points) == {("federated", "coded")}
    assert not serving_all(curves, points[:1])
    assert [bool(axes.lines) for axes in figure.axes] == [axes.axison for axes in figure.axes] == [False, False, True]


def test_the_tasks_figure_has_a_panel_a_task_and_an_x_scale_on_the_lowest_of_each_column():
    figure = tasks_figure(some_points(), some_tasks())
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in visible] == ["task: college", "task: income", "task: married"]
    figure.draw_without_rendering()
    upper_right, lower_left = visible[1], visible[2]
    for axes in (upper_right, lower_left):
        assert any(label.get_visible() and label.get_text() for label in axes.get_xticklabels())


@pytest.mark.parametrize(
    "changes",
    [
        {"lambdas": (0.5,)},
        {"methods": ("tiprdc",)},
        {"methods": ("tiprdc+",), "lambdas": (0.5,), "seeds": (3,)},
        {"methods": tuple(f"mine-{i}" for i in range(7))},
    ],
)
def test_small_and_large_runs_can_be_drawn(changes):
    figures = all_figures(some_points(**changes), some_tasks(**changes), some_rounds(**changes))
    for figure in figures:
        figure.draw_without_rendering()
    methods, lambdas = changes.get("methods", ("tiprdc", "tiprdc+")), changes.get("lambdas", (0.1, 0.5, 0.9))
    assert len(drawn(figures[0].axes[0])) == 2 * len(methods) + 1  # both settings and the baseline
    assert len(figures[3].axes) == 3 * len(methods)
    assert len(figures[3].axes[0].lines) == len(lambdas)


@pytest.mark.parametrize("tasks", [("income",), ("income", "college"), ("a", "b", "c", "d", "e")])
def test_any_number_of_tasks_can_be_drawn(tasks):
    figure = tasks_figure(some_points(tasks=tasks), some_tasks(tasks=tasks))
    assert sum(axes.get_visible() for axes in figure.axes) == len(tasks)


def test_a_run_without_baselines_can_be_drawn():
    points = some_points()
    points = points[points["setting"] != "baseline"]
    assert "gaussian-noise, baseline" not in drawn(frontier_figure(points).axes[0])


def test_a_method_has_one_color_in_every_figure():
    points = some_points(methods=("tiprdc+", "mine"))

    def color(axes, label):
        return next(bars.lines[0].get_color() for bars in axes.containers if bars.get_label() == label)

    for label in ("mine, federated", "tiprdc+, centralized"):
        frontier, comparison = (figure(points).axes[0] for figure in (frontier_figure, comparison_figure))
        tasks = tasks_figure(points, some_tasks(methods=("tiprdc+", "mine"))).axes[0]
        assert color(frontier, label) == color(comparison, label) == color(tasks, label)


def test_colors_do_not_depend_on_the_order():
    assert colors(["raw", "tiprdc", "tiprdc+"]) == colors(["tiprdc+", "raw", "tiprdc", "raw"])
    assert len(set(colors(["tiprdc", "tiprdc+", "a", "b", "c", "d"]).values())) == 6


def test_matplotlib_is_left_as_it_was(tmp_path):
    """In a process of its own: this one has imported everything already."""
    code = f"""
import importlib, pathlib, pkgutil
import matplotlib as mpl
from matplotlib.figure import Figure
before, backend = dict(mpl.rcParams), mpl.get_backend(auto_select=False)
import fl_tiprdc
for module in pkgutil.walk_packages(fl_tiprdc.__path__, "fl_tiprdc."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from fl_tiprdc.report.style import save
from tests.test_report import frontier_figure, some_points
figure = frontier_figure(some_points())
save(figure, pathlib.Path({str(tmp_path)!r}), "frontier")
assert figure.dpi == 150 and not figure.axes[0].spines["top"].get_visible()
assert dict(mpl.rcParams) == before
assert mpl.get_backend(auto_select=False) == backend
assert Figure().dpi == before["figure.dpi"]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "frontier.png").is_file()
