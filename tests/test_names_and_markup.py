"""Names that mean something to what shows them: formulas, tags, folders, letters that a font doesn't have."""

import io
import json
import warnings

import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from fl_tiprdc.config import build_experiment
from fl_tiprdc.experiment.audit_tables import best_table
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.results import write_results
from fl_tiprdc.experiment.run_folder import config_text
from fl_tiprdc.experiment.screen import Screen, say, show_table
from fl_tiprdc.notices import DataNotice
from fl_tiprdc.report.figures import tasks_figure
from fl_tiprdc.report.file_names import file_name
from fl_tiprdc.report.run_tables import read_run
from fl_tiprdc.report.style import draw_each, save
from tests.invented_metrics import some_outcome
from tests.test_report import some_points, some_tasks

NAMES = (
    "price $_$",
    "$",
    "a_b^{c $\\frac{1}{$",
    "weight [kg]",
    "sex [/m]",
    "[red]",
    ":heart:",
    "<b>&amp;</b>",
    "収入 и 😀",
    "../x/\\y",
    "%s {0} {x}",
    "tab\there\x1b[31m",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_shows_a_name_as_it_is_written_and_warns_of_nothing(name, tmp_path):
    figure = tasks_figure(some_points(tasks=(name, "other")), some_tasks(tasks=(name, "other")))
    for axes in figure.get_axes():
        axes.set_xscale("log")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(figure, tmp_path, "tasks")
    assert {path.name for path in tmp_path.iterdir()} == {"tasks.png", "tasks.svg"}
    written = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    assert {axes.get_title() for axes in figure.get_axes()} == {f"task: {written}", "task: other"}
    for axes in figure.get_axes():
        assert not axes.title.get_parse_math()
        ticks = [label.get_text() for label in axes.get_xticklabels(which="both")]
        assert not [text for text in ticks if "$" in text]


def test_a_name_of_thousands_of_letters_fits_into_a_figure(tmp_path):
    tasks = ("begin" + "x" * 30_000 + "end",)
    save(tasks_figure(some_points(tasks=tasks), some_tasks(tasks=tasks)), tmp_path, "tasks")
    assert (tmp_path / "tasks.png").stat().st_size < 1e6


def test_a_figure_that_fails_is_a_line_and_the_others_are_drawn(tmp_path):
    def fails() -> Figure:
        raise ValueError("no such thing\nTraceback: and more")

    with pytest.warns(DataNotice) as said:
        draw_each(tmp_path, {"broken": fails, "whole": Figure()})
    assert [str(one.message) for one in said] == ["no figure 'broken': ValueError: no such thing"]
    assert {path.name for path in tmp_path.iterdir()} == {"whole.png", "whole.svg"}


def test_what_was_found_is_written_though_nothing_can_be_drawn(tmp_path):
    found = some_outcome()
    found.risk = pd.DataFrame({"unknown": [1.0]})  # the figure of codes has no use for it
    experiment = build_experiment({"private": ["sex"], "methods": ["tiprdc+"], "lambdas": [0.1, 0.9]})
    (tmp_path / "config.toml").write_text(config_text(experiment))
    with pytest.warns(DataNotice, match="^no figures of codes: KeyError"), Stages(Screen(file=io.StringIO())) as stages:
        summary, points = write_results(tmp_path, experiment, found, stages)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert "figures and report" in summary["seconds"]
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == len(found.metrics)
    assert len(points)
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("name", NAMES[:-1])
def test_a_terminal_shows_a_name_as_it_is_written(name):
    rows = [{"kind": "attack", "target": name, "model": "mlp", "auc": 0.9, "low": 0.8, "high": 1.0, "chance": 0.5}]
    for console in (Screen(file=io.StringIO(), width=80), Console(file=io.StringIO(), width=80)):
        show_table(console, best_table(pd.DataFrame(rows)))
        say(console, f"worst attack on {name}")
        table, line = console.file.getvalue().rsplit("worst", 1)
        assert name in line
        if isinstance(console, Screen):
            assert f"attack: {name}" in table


def test_tables_read_back_keep_names_that_look_like_something_else(tmp_path):
    found = some_outcome()
    renamed = {"income": "null", "sex": "1"}
    found.metrics["target"] = found.metrics["target"].map(renamed)
    found.metrics.to_csv(tmp_path / "metrics.csv", index=False)
    read = read_run(tmp_path)
    assert set(read.metrics["target"]) == {"null", "1"}
    assert set(read.tasks["task"]) == {"null"}


def test_file_names_stay_in_their_folder_and_apart():
    for name in (*NAMES, "x" * 5000, "..", "", "a b", "a-b", "a_b", "ä", "ö"):
        made = file_name(name)
        assert made == (made.encode("ascii").decode())
        assert 0 < len(made) < 100
        assert not {"/", "\\", " "} & set(made)
        assert made.strip(".")
    made = [file_name(name) for name in ("a b", "a-b", "a_b", "a/b", "ä", "ö", "x" * 200, "x" * 201)]
    assert len(set(made)) == len(made)
    assert file_name("exact-0.5-sex") == "exact-0.5-sex"
