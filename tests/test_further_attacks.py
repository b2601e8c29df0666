"""The attacks beside the panel's: the registry, their stage in a run, summary, tables and figures."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.registry import (
    FURTHER,
    LEAST,
    Case,
    FurtherAttack,
    LevelFigure,
    named_attacks,
)
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, MAJORITY
from fl_tiprdc.evaluation.further_summary import (
    KNOWN_HEADING,
    further_tables,
    headings,
    mean_further,
    mean_known,
    summarize_further,
    summarize_known,
)
from fl_tiprdc.evaluation.metric_rows import COLUMNS, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import Score
from fl_tiprdc.experiment.further_attacks import Job, attacked_jobs
from fl_tiprdc.experiment.run import run_experiment
from fl_tiprdc.report.further_figures import PERSON, further_figures
from fl_tiprdc.report.known_record_figure import known_record_figures
from tests.invented_metrics import metrics_of

PANEL = AuditConfig(attackers=("logistic",), probes=("logistic",), bootstrap=20)


pytestmark = pytest.mark.usefixtures("one_thread_each")


def test_names_of_attacks():
    assert named_attacks(("leaks", "membership")) == ("leaks", "membership")
    assert named_attacks(("all",)) == tuple(FURTHER)
    assert named_attacks(("none",)) == named_attacks(()) == ()
    for names, why in (
        (("lekas",), "unknown attack 'lekas': choose one of membership, "),
        (("leaks", "leaks"), "attacks have a value twice"),
        (("leaks", "none"), "attack 'none' stands alone"),
    ):
        with pytest.raises(InputError, match=why):
            named_attacks(names)
    assert AuditConfig().further == named_attacks(AuditConfig().further)


def some_case(people=40):
    z = np.random.default_rng(0).normal(size=(people, 3)).astype(np.float32)
    truth = Truth({"u": np.arange(people) % 2}, {}, {"u": 2}, np.arange(people))
    return Case(AuditedRelease("baseline", "m", 1.0, 0, z, z), truth, truth, PANEL)


def test_an_attack_gets_what_it_needs_and_no_more():
    bare = some_case()
    assert [name for name, attack in FURTHER.items() if attack.case(bare)] == ["leaks"]
    answered = FURTHER["linkage"].case(replace(bare, answers=()))
    assert answered is not None
    assert answered.answers == ()
    bare = replace(bare, answers=())
    assert FURTHER["leaks"].case(bare).answers is None
    raw = replace(bare, raw=(bare.release.contributors, bare.release.held_out), audited=pd.DataFrame({"a": [1]}))
    possible = [name for name, attack in FURTHER.items() if attack.case(raw)]
    assert possible == ["reidentification", "leaks", "linkage", "known-record"]
    assert FURTHER["leaks"].case(raw).raw is None
    assert FURTHER["leaks"].case(raw).audited is raw.audited
    assert FURTHER["reidentification"].case(raw).raw is raw.raw
    assert FURTHER["reidentification"].case(raw).audited is None


def test_a_handful_of_people_is_not_attacked():
    assert FURTHER["leaks"].case(some_case(LEAST)) is not None
    few = some_case(LEAST)
    few = replace(few, unknown=few.unknown.take(np.r_[np.arange(LEAST - 1), 0]))  # one of them has two records
    assert FURTHER["leaks"].case(few) is None


def test_federated_releases_stand_for_centralized_ones():
    def job(setting):
        return Job(AuditedRelease(setting, "m", 0.5, 0, np.empty((0, 1)), np.empty((0, 1))))

    all_ = [job(setting) for setting in ("raw", "baseline", "centralized", "federated")]
    assert [one.release.setting for one in attacked_jobs(all_)] == ["raw", "baseline", "federated"]
    assert [one.release.setting for one in attacked_jobs(all_[:3])] == ["raw", "baseline", "centralized"]


# ---- in a run


@pytest.fixture
def attacked(population, small, tmp_path):
    """Runs an experiment on a slice of Adult with all attacks: (folder, metrics)."""

    def attacked(name, own_attackers=(), **changes):
        audit = {"further": tuple(FURTHER), "known": ("age", "education"), "attackers": ("logistic", *own_attackers)}
        run_experiment(small(audit=audit, **changes), population, tmp_path / name, Console(quiet=True))
        return tmp_path / name, pd.read_csv(tmp_path / name / "metrics.csv")

    return attacked


def first_class(x, labels, classes, test, seed):
    """Answer the first class for everybody."""
    return [np.eye(k, dtype=np.float32)[np.zeros(len(test), dtype=int)] for k in classes]


def by_size(case):
    """Attack with more and more of something."""
    rows = []
    for size in (2, 20):
        for model, value in (("mine", 0.5 + size / 100), (MAJORITY, 0.5)):
            scores = {"auc": Score(value, value, value)}
            rows += metric_rows(case.release.point, "by-size", "sex", model, scores, level=size, unit="things")
    return metrics_table(rows)


def test_a_run_with_all_attacks_and_with_ones_registered_from_outside(attacked, population, monkeypatch):
    figure = LevelFigure("What things tell", {"things": "things seen"}, "AUC over things seen.")
    monkeypatch.setitem(CLASSIFIERS, "first-class", first_class)
    monkeypatch.setitem(FURTHER, "by-size", FurtherAttack(by_size, "AUC by things", figure))
    folder, metrics = attacked("run", own_attackers=("first-class",))
    mine = metrics[metrics["model"] == "first-class"]
    assert (mine.loc[(mine["kind"] == "attack") & (mine["metric"] == "auc"), "value"] == 0.5).all()
    assert "AUC by things" in (page := (folder / "report.html").read_text())
    assert "AUC over things seen." in page
    assert (folder / "figures" / "by-size.png").is_file()
    metrics = metrics[~metrics["model"].isin(("first-class", "mine")) & (metrics["kind"] != "by-size")]
    assert list(metrics.columns) == COLUMNS
    # names alone: levels, groups and known columns have columns of their own
    panel = {"majority", "logistic"}
    others = {"chance", "from-x", "from-z", "white-box", "nothing", "columns", "everything"}
    assert set(metrics["model"]) == panel | others
    levels = metrics.dropna(subset="level").groupby("kind")["unit"].unique()
    assert {kind: list(units) for kind, units in levels.items()} == {
        "leaks": ["leaks"],
        "linkage": ["pooled records"],
        "averaging": ["draws"],
        "known-record": ["columns"],
    }
    groups = metrics[metrics["metric"] == "group-accuracy"]
    assert set(zip(groups["attribute"], groups["group"], strict=True)) == {("sex", "Female"), ("sex", "Male")}
    assert metrics.loc[metrics["metric"] != "group-accuracy", "group"].isna().all()
    found = metrics[metrics["kind"].isin(list(FURTHER))]
    settings = {kind: set(rows["setting"]) for kind, rows in found.groupby("kind")}
    everywhere = {"raw", "baseline", "federated"}
    assert settings == {
        "leaks": everywhere,
        "linkage": everywhere,
        "reidentification": everywhere,
        "membership": {"federated"},
        "averaging": {"federated"},
        "known-record": {"baseline", "federated"},
    }
    by_method = found[found["setting"] == "federated"].groupby("kind")["method"].unique()
    assert set(by_method["membership"]) == {"tiprdc", "tiprdc+"}
    assert set(by_method["averaging"]) == {"tiprdc+"}  # nothing to average without a channel
    assert set(found[found["kind"] == "membership"]["target"]) == {"representations", "losses"}

    summary = summarize_further(metrics)
    chance = summary.set_index("kind")["chance"]
    assert (chance.drop("reidentification") == 0.5).all()  # beside every row
    assert (chance.loc["reidentification"] == 1 / len(population.held_out)).all()
    assert (summary["low"] <= summary["value"]).all()
    assert (summary["value"] <= summary["high"]).all()

    def values(kind, method):
        """Of the best attacker, by level."""
        return summary[(summary["kind"] == kind) & (summary["method"] == method)].set_index("level")["value"]

    assert values("reidentification", "raw").iloc[0] > 0.95
    assert set(values("leaks", "tiprdc+").index) == {100, 360}
    assert set(values("linkage", "raw").index) == {1, 4}
    assert set(values("averaging", "tiprdc+").index) == {1, 4, 16}
    attack = metrics[(metrics["kind"] == "attack") & (metrics["setting"] == "federated") & (metrics["metric"] == "auc")]
    attack = attack[(attack["method"] == "tiprdc+") & (attack["model"] == "logistic")]
    assert values("leaks", "tiprdc+").loc[360] == attack["value"].iloc[0]

    written = json.loads((folder / "summary.json").read_text())
    assert len([row for row in written["further_attacks"] if row["kind"] != "by-size"]) == len(summary)
    assert "further attacks" in written["seconds"]
    assert len(written["points"]) == 1 + 1 + 2 * 2  # no further attack is taken for the worst of the panel
    known = summarize_known(metrics)
    assert set(known["method"]) == {"gaussian-noise", "tiprdc", "tiprdc+"}
    assert set(known["knows"]) == {"nothing", "age", "education", "2 columns", "everything"}
    for name in ("leaks", "linkage", "averaging", "further-attacks"):
        assert (folder / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    page = (folder / "report.html").read_text()
    for heading in (*headings().values(), KNOWN_HEADING):
        assert heading in page
    assert "further = [" in (folder / "config.toml").read_text()


def test_without_federated_releases_centralized_ones_are_attacked_and_a_seed_gives_the_same(attacked):
    changes = {"settings": ("centralized",), "methods": ("tiprdc+",), "seeds": (2,)}
    metrics = [attacked(name, **changes)[1] for name in ("one", "two")]
    assert set(metrics[0][metrics[0]["kind"] == "membership"]["setting"]) == {"centralized"}
    pd.testing.assert_frame_equal(*metrics)


# ---- summary, tables, figures


def some_metrics(seeds=(0, 1), methods=("tiprdc", "tiprdc+"), targets=("sex",)) -> pd.DataFrame:
    rows = []
    points = [("raw", "raw", 0.0), ("baseline", "gaussian-noise", 1.0), ("baseline", "gaussian-noise", 4.0)]
    points += [("federated", method, lam) for method in methods for lam in (0.1, 0.5, 0.9)]
    levels = {"leaks": (100, 1000, 5000), "pooled records": (1, 4, 16), "draws": (1, 4, 16)}
    for seed in seeds:
        for setting, method, lam in points:

            def add(kind, target, metric, value, chance, level=None, unit="", at=(setting, method, lam, seed)):
                of = {"level": level, "unit": unit}
                rows.append((*at, kind, target, "mlp", metric, value, value - 0.02, value + 0.02, of))
                rows.append((*at, kind, target, "forest", metric, value - 0.1, value - 0.2, value + 0.1, of))
                nobody = "chance" if metric == "top-1" else "majority"
                rows.append((*at, kind, target, nobody, metric, chance, chance, chance, of))

            kinds = {"leaks": "leaks", "linkage": "pooled records", "averaging": "draws"}
            for kind, unit in kinds.items():
                if kind != "averaging" or setting == "federated":
                    for target in targets:
                        for i, level in enumerate(levels[unit]):
                            add(kind, target, "auc", 0.6 + 0.1 * i + 0.01 * seed, 0.5, level, unit)
            add("reidentification", "x", "top-1", 0.5 - 0.1 * lam, 0.001)
            if setting == "federated":
                add("membership", "representations", "auc", 0.52, 0.5)
                add("membership", "losses", "auc", 0.53, 0.5)
            rows.append((setting, method, lam, seed, "attack", "sex", "mlp", "auc", 0.9, 0.8, 0.95))
    return metrics_of(rows)


def test_the_summary_has_the_best_of_each_attack_beside_chance():
    summary = summarize_further(some_metrics())
    assert set(summary["kind"]) == set(FURTHER) - {"known-record"}  # which has a summary of its own
    assert set(summary["model"]) == {"mlp"}
    mine = summary[(summary["kind"] == "leaks") & (summary["method"] == "tiprdc+") & (summary["lam"] == 0.5)]
    assert mine["level"].tolist() == [100, 1000, 5000] * 2
    assert mine[["value", "low", "high", "chance"]].iloc[4].tolist() == pytest.approx([0.71, 0.69, 0.73, 0.5])
    assert summary.groupby("kind")["chance"].first()["reidentification"] == 0.001
    mean = mean_further(mine)
    assert mean["value"].tolist() == pytest.approx([0.605, 0.705, 0.805])
    assert mean["value_low"].tolist() == pytest.approx([0.58, 0.68, 0.78])
    empty = summarize_further(some_metrics()[lambda table: table["kind"] == "attack"])
    assert empty.empty
    assert list(empty.columns) == list(summary.columns)
    assert further_tables(empty) == further_figures(empty) == {}


def test_tables_have_a_row_a_point_and_a_column_a_level():
    tables = further_tables(summarize_further(some_metrics()))
    assert list(tables) == list(headings().values())
    leaks = tables[headings()["leaks"]]
    assert list(leaks.columns) == [
        *("setting", "method", "lam"),
        *("sex, 100 leaks", "sex, 1,000 leaks", "sex, 5,000 leaks", "chance"),
    ]
    assert leaks["method"].tolist() == ["raw", *["gaussian-noise"] * 2, *["tiprdc"] * 3, *["tiprdc+"] * 3]
    assert leaks["sex, 1,000 leaks"].iloc[0] == "0.705 (0.680 to 0.730)"
    assert list(tables[headings()["membership"]].columns)[3:] == ["losses", "representations", "chance"]


def test_figures_show_every_line_with_raw_data_and_chance():
    metrics = some_metrics()
    figures = further_figures(summarize_further(metrics))
    over_levels = [name for name, attack in FURTHER.items() if attack.figure]
    assert list(figures) == [*over_levels, PERSON]
    for name in over_levels:
        panels = [axes for axes in figures[name].axes if axes.get_visible()]
        assert len(panels) == (2 if name == "averaging" else 3)
        for axes in panels:
            assert axes.get_xscale() == "log"
            labels = axes.get_legend_handles_labels()[1]
            assert "chance" in labels
            assert ("raw data" in labels) == (name != "averaging")
        assert {"λ = 0.1", "λ = 0.5", "λ = 0.9"} < set(panels[-1].get_legend_handles_labels()[1])
        assert figures[name].legends
        assert panels[0].get_ylabel()
        assert all(axes.get_xlabel() for axes in panels)
        line = panels[-1].containers[0]
        np.testing.assert_allclose(line.lines[0].get_ydata().astype(float), [0.605, 0.705, 0.805])
    people = figures[PERSON].axes
    assert [axes.get_yscale() for axes in people] == ["linear", "linear", "log"]
    for axes in people:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    chance = next(line for line in people[-1].lines if line.get_label() == "chance")
    assert chance.get_ydata()[0] == pytest.approx(0.001)
    assert "among 1,000" in people[-1].get_title()
    several = further_figures(summarize_further(some_metrics(targets=("sex", "race"))))
    assert [axes.get_title() for axes in several["leaks"].axes][-1] == "tiprdc+, federated: race"


# ---- attackers who know some of the record


def known_metrics(targets=("sex",)) -> pd.DataFrame:
    """Two seeds that differ by .02, and whose best two columns are not the same; a release adds .1 to what is known."""
    rows = []
    points = [("baseline", "gaussian-noise", 1.0), *(("federated", "coded", lam) for lam in (0.1, 0.9))]
    for seed, second in ((0, "age"), (1, "a column with a name that is far too long")):
        for at in points:
            for target in targets:
                rungs = [("everything", (), 0.9), ("nothing", (), 0.5), ("columns", (second,), 0.6)]
                rungs += [("columns", ("job",), 0.65), ("best columns", ("job", second), 0.7)]
                for model, columns, alone in rungs:
                    of = {"level": len(columns), "unit": "columns", "known": "+".join(columns)} if columns else {}
                    value = alone + 0.02 * seed
                    for metric, found in (("alone", value), ("with-release", value + 0.1), ("gain", 0.1)):
                        where = (*at, seed, "known-record", target, model, f"auc-{metric}")
                        rows.append((*where, found, found - 0.01, found + 0.01, of))
    return metrics_of(rows)


def test_the_summary_of_known_records_has_a_row_for_each_thing_known():
    summary = summarize_known(known_metrics())
    row = summary[(summary["knows"] == "best 2 columns") & (summary["seed"] == 1)].iloc[0]
    assert row["columns"].startswith("job+a column")
    assert row["count"] == 2
    numbers = ["alone", "alone_high", "with_release", "with_release_low", "gain"]
    assert row[numbers].tolist() == pytest.approx([0.72, 0.73, 0.82, 0.81, 0.1])
    mean = mean_known(summary)
    mine = mean[(mean["method"] == "coded") & (mean["lam"] == 0.1)]
    assert mine["knows"].tolist() == [
        *("nothing", "job", "a column with a name that is far too long", "age"),
        *("best 2 columns", "everything"),
    ]
    assert mine["alone"].tolist() == pytest.approx([0.51, 0.66, 0.62, 0.6, 0.71, 0.91])
    assert mine[["with_release_low", "with_release_high"]].iloc[-1].tolist() == pytest.approx([0.99, 1.03])
    empty = summarize_known(some_metrics())
    assert empty.empty
    assert list(empty.columns) == list(summary.columns)
    assert mean_known(empty).empty
    assert known_record_figures(empty) == {}


@pytest.mark.parametrize("targets", [("sex",), ("sex", "race")])
def test_the_figure_of_known_records_shows_every_mark(targets):
    figures = known_record_figures(summarize_known(known_metrics(targets)))
    (figure,) = figures.values()
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == 2 * len(targets)
    named = [label.get_text() for label in panels[0].get_yticklabels()]
    assert named == ["nothing", "job", "a column with a name th…", "age", "best 2 columns", "everything"]
    marks = panels[1].containers[0].lines[0]
    np.testing.assert_allclose(marks.get_xdata().astype(float), [0.61, 0.76, 0.72, 0.7, 0.81, 1.01])
    np.testing.assert_allclose(np.round(marks.get_ydata().astype(float)), range(6))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("without the release", "chance", "with the release, dial = 1"),
        *("with the release, λ = 0.1", "with the release, λ = 0.9"),
    ]
    assert all(axes.get_xlabel() for axes in panels)


def test_who_has_the_release_of_raw_records_knows_everything_anyway():
    case = some_case()
    raw = case.release.contributors, case.release.held_out
    case = replace(case, raw=raw, release=replace(case.release, setting="raw"))
    assert FURTHER["known-record"].find(case).empty
