"""What a run with a finite release measures besides: limits of the tasks, what each code tells; and its figures."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fl_tiprdc.evaluation.frontier import retention_of_tasks, summarize_points
from fl_tiprdc.evaluation.limits import MEAN, limit_table
from fl_tiprdc.evaluation.posterior_risk import RISK_COLUMNS, risk_tables
from fl_tiprdc.experiment.carry_out import carry_out
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.report.exact_figure import exact_figures
from fl_tiprdc.report.figures import CERTIFIED, EXACT, frontier_figure, tasks_figure
from tests.conftest import adult
from tests.invented_metrics import metrics_of

pytestmark = pytest.mark.usefixtures("one_thread_each")


# ---- in a run


@pytest.fixture(scope="module")
def people():
    """More of Adult's than other tests have: codes need them."""
    return adult(1100, 200)


@pytest.fixture
def outcome_of(people, small, tmp_path):
    """Runs a small experiment on a slice of Adult: its outcome."""

    def outcome_of(**changes):
        stages = Stages(Console(quiet=True))
        kept = Kept(tmp_path / "kept")
        return carry_out(small(**changes), tmp_path / "publication", stages, kept, population=people)

    return outcome_of


def test_a_run_with_codes_has_limits_and_risks(outcome_of, people):
    outcome = outcome_of(methods=("coded",))
    metrics = outcome.metrics
    limits = metrics[metrics["kind"] == "limit"]
    assert set(limits["seed"]) == {0}
    assert set(limits["target"]) == set(people.contributors.tasks)
    raw = metrics[(metrics["setting"] == "raw") & (metrics["kind"] == "task") & (metrics["metric"] == "auc")]
    for row in limits[limits["metric"] == "retention"].itertuples():  # shares of the run's own raw probes
        same = (limits["target"] == row.target) & (limits["seed"] == row.seed) & (limits["lam"] == row.lam)
        mine = limits[same & (limits["metric"] == "auc")]
        best = raw[(raw["target"] == row.target) & (raw["seed"] == row.seed) & (raw["model"] == "logistic")]
        assert row.value == pytest.approx((mine["value"].item() - 0.5) / (best["value"].item() - 0.5))
    assert set(limits["lam"]) == {0.5, 1.0}  # as much leak as at the run's λ, and none
    points = summarize_points(metrics)
    finite = points["exact"].notna()
    at_half = limits[(limits["lam"] == 0.5) & (limits["metric"] == "retention")]["value"].mean()
    assert points.loc[finite, "limit"].tolist() == [pytest.approx(at_half)] * 2
    assert points.loc[~finite, "limit"].isna().all()
    table = limit_table(metrics)
    assert table["task"].tolist() == [*limits["target"].unique(), MEAN]

    risk = outcome.risk
    assert list(risk.columns) == ["setting", "method", "lam", "seed", "attribute", *RISK_COLUMNS]
    assert set(risk["setting"]) == {"centralized", "federated"}
    counted = risk[(risk["setting"] == "federated") & (risk["seed"] == 0)].drop_duplicates("code")["records"].sum()
    held_out, contributors = len(people.held_out), len(people.contributors)
    assert held_out + 0.1 * contributors < counted < held_out + 0.5 * contributors  # a quarter had no part in the fit
    assert list(exact_figures(risk)) == ["exact-0.5-sex"]
    json.dumps(table.to_dict("records"))


def test_a_run_without_codes_has_neither(outcome_of):
    outcome = outcome_of(methods=("tiprdc+",), settings=("baseline",))
    assert not len(outcome.metrics[outcome.metrics["kind"] == "limit"])
    assert outcome.risk.empty
    assert limit_table(outcome.metrics).empty
    assert exact_figures(outcome.risk) == {}


# ---- tables


def test_limits_are_means_over_seeds_and_the_last_is_their_mean():
    rows = [
        ("limit", "rank-within-class", 1.0, seed, "limit", task, "rank-within-class", "retention", *ends)
        for seed, task, ends in (
            (0, "income", (0.8, 0.7, 0.9)),
            (1, "income", (0.9, 0.85, 0.95)),
            (0, "married", (0.5, 0.4, 0.6)),
        )
    ]
    rows += [(*rows[0][:7], metric, 0.1, 0.1, 0.1) for metric in ("auc", "distance")]
    table = limit_table(metrics_of(rows)).set_index("task")
    assert list(table.index) == ["income", "married", MEAN]
    assert table.loc["income"].tolist() == pytest.approx([0.85, 0.7, 0.95])
    assert table.loc[MEAN].tolist() == pytest.approx([0.675, 0.55, 0.775])


def test_risks_of_several_attributes_are_below_each_other():
    labels = {"a": np.array([0, 1, 1]), "b": np.array([2, 0, 1])}
    risk = risk_tables(np.array([0, 0, 2]), labels, {"a": ("x", "y"), "b": ("p", "q", "r")})
    assert risk["attribute"].tolist() == ["a"] * 6 + ["b"] * 9
    assert risk[(risk["attribute"] == "a") & (risk["code"] == 0)]["posterior"].tolist() == [0.5, 0.5]
    assert list(risk_tables(np.array([0]), {}, {}).columns) == ["attribute", *RISK_COLUMNS]


# ---- figures


def coded_metrics(seeds=(0, 1)) -> pd.DataFrame:
    """A vector and two releases of codes; the exact attack lies above the panel's, seeds .02 apart."""
    rows = []
    for seed in seeds:
        points = [("raw", "raw", 0.0), ("federated", "tiprdc+", 0.5), ("federated", "coded", 0.1)]
        for at in [*points, ("federated", "coded", 0.9)]:
            more = 0.02 * seed
            rows.append((*at, seed, "attack", "sex", "mlp", "auc", 0.6 + more, 0.55, 0.65))
            rows.append((*at, seed, "task", "income", "mlp", "auc", 0.9 - 0.1 * at[2], 0.8, 0.9))
            if at[1] == "coded":
                rows.append((*at, seed, "exact", "sex", "table", "auc", 0.62 + more, 0.6, 0.66))
                bound = np.nan if at[2] == 0.1 and seed == 1 else 0.7 + more
                rows.append((*at, seed, "certificate", "sex", "anybody", "auc-bound", bound, np.nan, np.nan))
    return metrics_of(rows)


def coded_points(seeds=(0, 1)) -> pd.DataFrame:
    return summarize_points(coded_metrics(seeds))


def lines_of(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def test_the_frontier_marks_exact_attacks_and_what_is_certified():
    figure = frontier_figure(coded_points(), 0.93)
    (axes,) = figure.axes
    (dots,) = lines_of(axes, EXACT)
    np.testing.assert_allclose(dots.get_xdata().astype(float), [0.63, 0.63])
    np.testing.assert_allclose(dots.get_ydata().astype(float), [0.975, 0.775])
    (tick,) = lines_of(axes, CERTIFIED)  # the largest of the seeds; none where a seed has none
    np.testing.assert_allclose(tick.get_xdata().astype(float), [0.72])
    np.testing.assert_allclose(tick.get_ydata().astype(float), [0.775])
    (connection,) = [c for c in axes.collections if np.allclose(c.get_segments()[0], [[0.63, 0.775], [0.72, 0.775]])]
    assert connection.get_linewidth()[0] < 1
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend.count(EXACT) == legend.count(CERTIFIED) == 1
    assert any(np.allclose(line.get_ydata(), 0.93) for line in axes.lines)
    assert any("limit at no leak" in text.get_text() for text in axes.texts)


def test_a_run_without_codes_has_the_figure_that_it_had():
    points = coded_points()
    points = points[points["method"] != "coded"].drop(columns=["exact", "certified", "panel"])
    figure = frontier_figure(points)
    assert not lines_of(figure.axes[0], EXACT)
    assert not any("limit" in text.get_text() for text in figure.axes[0].texts)


def test_each_task_has_its_own_limit():
    figure = tasks_figure(coded_points(), retention_of_tasks(coded_metrics()), {"income": 0.9, MEAN: 0.5})
    assert any(np.allclose(line.get_ydata(), 0.9) for line in figure.axes[0].lines)
    assert lines_of(figure.axes[0], EXACT)


def test_exact_figures_are_of_what_is_published():
    risk = risk_tables(np.arange(40) % 4, {"sex": np.arange(40) % 2}, {"sex": ("f", "m")})
    points = [("centralized", 0), ("federated", 0), ("federated", 1)]
    tables = [risk.assign(setting=s, method=m, lam=0.5, seed=i) for s, i in points for m in ("coded", "coded/x")]
    figures = exact_figures(pd.concat(tables, ignore_index=True))
    plain, signs = figures  # a name that is no file name gets what tells it from others
    assert plain == "exact-coded-0.5-sex"
    assert re.fullmatch(r"exact-coded-x-0\.5-sex-[0-9a-f]{8}", signs)
    assert figures["exact-coded-0.5-sex"].get_suptitle() == "What each of 4 codes tells of sex: coded, λ = 0.5"
    figures = exact_figures(pd.concat(tables[:1], ignore_index=True))
    assert list(figures) == ["exact-0.5-sex"]
