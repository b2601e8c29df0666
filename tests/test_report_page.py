"""report.html as text: whole, escaped, made anew from a run's files, without an address."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from fl_tiprdc.commands.compare import main, read_runs
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.frontier import best_models, retention_of_tasks, summarize_points
from fl_tiprdc.report.page import render_page, write_page
from fl_tiprdc.report.page_codes import certificate_rows, code_rows, gauges
from fl_tiprdc.report.page_tables import attacker_rows, page_tables, task_rows, together
from fl_tiprdc.report.run_tables import CODE_MAP, read_run
from fl_tiprdc.report.training_curves import MOST_POINTS, training_curves
from tests.report_folder import HOSTILE, TASKS, draw_pictures, make_coded_run, make_run, some_metrics
from tests.test_report import some_rounds

REFERENCE = Path(__file__).parent.parent / "results" / "reference"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("page") / "run")
    draw_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return render_page([read_run(folder)])


def data_of(page: str):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


def test_the_page_stands_alone(page):
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    text = re.sub(r"sha256-[A-Za-z0-9+/=]+", "", text)
    assert "//" not in text  # no address of any kind
    assert re.findall(r"<(?:iframe|object|embed|base|form)\b|@import|url\(|\beval\(|innerHTML", text) == []
    assert re.findall(r"<link [^>]*>", text) == ['<link rel="icon" href="data:,">']
    assert "default-src &#39;none&#39;" in text
    sources = re.findall(r"""\ssrc=['"]([^'"]{0,30})""", text)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'\ssrc="([^"]{0,30})', page))


def test_the_page_escapes_what_it_is_given(page):
    assert "<title>Federated TIPRDC: &lt;img src=x&gt;, hiding sex, 100 clients</title>" in page
    for forbidden in ("<img src=x>", "<here>", HOSTILE, "</script><script>document"):
        assert forbidden not in page
    assert page.count("<script") == page.count("</script>") == 2  # data and code
    data = data_of(page)
    assert HOSTILE in data["runs"][0]["points"][0]["tasks"]
    assert data["runs"][0]["config"]["data.tasks"] == ", ".join(TASKS)


def test_the_page_has_tables_facts_pictures_and_configuration(page):
    for wanted in ("Points", "Attackers", "Unknown tasks", "What clients published", "Where the time went"):
        assert f">{wanted}</h3>" in page
    assert "AUC of the best attacker by number of labeled records that leaked" in page
    assert '<td data-value="781">781</td>' in page  # records published
    assert '<td data-value="10000">10,000</td>' in page  # their bytes
    assert '<td data-value="47.02">47.020</td>' in page  # bits
    assert "<dd>36.0 MB</dd>" in page
    assert "numpy 2.0" in page
    assert "dataset = &#34;&lt;img src=x&gt;&#34;" in page
    images = re.findall(r'<img alt="([^"]*)"', page)
    assert images
    assert all(len(text) > 20 for text in images)  # text alternatives


def test_the_same_files_give_the_same_page(folder, page, tmp_path):
    write_page(tmp_path / "page.html", [read_run(folder)])
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page


def test_data_are_the_tables(page):
    (run,) = data_of(page)["runs"]
    points = summarize_points(some_metrics())
    assert len(run["points"]) == len(points) / 2  # two seeds
    (point,) = [p for p in run["points"] if (p["setting"], p["method"], p["lam"]) == ("federated", "tiprdc+", 0.5)]
    mine = points[(points["setting"] == "federated") & (points["method"] == "tiprdc+") & (points["lam"] == 0.5)]
    tasks = retention_of_tasks(some_metrics())
    tasks = tasks[(tasks[["setting", "method", "lam", "task"]] == ["federated", "tiprdc+", 0.5, "income"]).all(axis=1)]
    assert point["attack"] == pytest.approx(mine["attack"].mean(), abs=1e-5)
    assert point["attack_low"] == pytest.approx(mine["attack_low"].min(), abs=1e-5)
    assert point["tasks"]["income"] == pytest.approx(tasks["retention"].mean(), abs=1e-5)
    assert point["attacker"] == "mlp"
    assert point["capacity"] == 47.02
    assert {row["setting"] for row in run["curves"]} == {"federated", "centralized"}


def test_attacker_and_task_rows_are_means_over_seeds():
    metrics = some_metrics()
    attackers = attacker_rows(metrics)
    assert len(attackers) == 15 * 3
    assert attackers.groupby(["setting", "method", "lam"])["chosen"].sum().eq(2).all()
    row = attackers[(attackers["setting"] == "federated") & (attackers["method"] == "tiprdc+")].iloc[3]
    assert row["auc"] == pytest.approx(0.94 - 0.15 - 0.005)
    assert row["low"] == pytest.approx(0.94 - 0.15 - 0.01 - 0.02)
    assert row["accuracy"] == pytest.approx(row["auc"] - 0.1)
    tasks = task_rows(metrics)
    assert len(tasks) == 15 * 3
    assert set(tasks["probe"]) == {"boosting"}
    assert tasks.loc[tasks["setting"] == "raw", "retention"].eq(1).all()
    best = best_models(metrics)
    assert len(tasks) * 2 == (best["kind"] == "task").sum()


def test_certificates_are_a_table_with_their_words():
    sex = {"certified": 0.57, "bound": "sharp", "delta": 0.05, "people": {"Female": 30, "Male": 70}, "says": "sex: so"}
    race = sex | {"certified": None, "bound": "none", "people": {"a": 3, "b": 4}, "says": "race: not certifiable"}
    release = {"setting": "federated", "method": "coded", "lam": 1.0, "seed": 0, "codes": 8}
    table = certificate_rows({"certificates": [release | {"attributes": {"sex": sex, "race": race}}]})
    assert table["certified"].tolist()[0] == 0.57
    assert table["certified"].isna().tolist() == [False, True]
    assert table["people"].tolist() == [100, 7]
    assert table["says"].tolist() == ["sex: so", "race: not certifiable"]
    assert table["confidence"].tolist() == [0.95, 0.95]
    assert certificate_rows({}).empty


def test_a_coded_runs_page_begins_with_its_certificate_as_a_gauge(tmp_path):
    run = read_run(make_coded_run(tmp_path / "run"))
    (gauge,) = gauges(run)
    assert gauge.heading == "tiprdc+, federated, λ = 0.9, hiding sex"
    assert gauge.certified == 0.625  # the weaker of two seeds
    assert gauge.exact == pytest.approx(0.94 - 0.27 - 0.01)
    assert gauge.says == "nobody tells more than 0.625."
    page = render_page([run])
    assert page.index('id="certificate"') < page.index('id="frontier"')
    assert 'aria-label="Gauge from chance, 0.5, to certainty, 1: the exact attack 0.660, certified 0.625"' in page
    assert '<rect class="bar" x="0" y="6" width="25.0%"' in page
    assert 'href="#What-is-certified-of-codes"' in page
    assert 'id="What-is-certified-of-codes"' in page


def test_a_coded_runs_page_has_its_limits_and_its_codes_at_each_lambda(tmp_path):
    run = read_run(make_coded_run(tmp_path / "run"))
    page = render_page([run])
    assert HOSTILE not in page
    (data,) = data_of(page)["runs"]
    assert data["limits"] == pytest.approx({**dict.fromkeys(TASKS, 0.9), "": 0.9})
    (table,) = data["codes"]
    assert (table["class"], table["prior"], len(table["places"])) == ("Female", 0.5, 4)
    before, after = table["lambdas"]
    assert [code["posterior"] for code in before["codes"]] == [0.9, 0.7, 0.3, 0.1]
    assert [code["posterior"] for code in after["codes"]] == [0.5] * 4
    rows = code_rows(run)
    assert rows["stands for"].tolist() == [f"age {20 + i}; {HOSTILE}" for i in range(4)]
    assert rows["at λ = 0.1"].tolist() == [0.9, 0.7, 0.3, 0.1]
    point = next(p for p in data["points"] if (p["setting"], p["method"], p["lam"]) == ("federated", "tiprdc+", 0.5))
    assert point["certified"] == pytest.approx(point["exact"] + 0.05)


def test_what_is_no_map_of_codes_is_refused(tmp_path):
    run = make_coded_run(tmp_path / "run")
    for text, message in (("{}", "no map of codes"), ("{", "cannot read")):
        (run / CODE_MAP).write_text(text)
        with pytest.raises(InputError, match=message):
            read_run(run)


def test_an_audits_table_of_codes_which_names_no_points_is_left_out(tmp_path):
    folder = make_coded_run(tmp_path / "run")
    risk = pd.read_csv(folder / "risk.csv")
    risk.drop(columns=["setting", "method", "lam", "seed"]).to_csv(folder / "risk.csv", index=False)
    page = render_page([read_run(folder)])
    assert 'id="codes"' not in page
    assert 'id="certificate"' in page


def test_a_run_without_codes_has_no_part_for_them(page):
    assert 'id="certificate"' not in page
    assert 'id="codes"' not in page
    assert data_of(page)["runs"][0]["codes"] == []


def test_a_long_training_is_drawn_with_few_points():
    long = some_rounds(methods=("tiprdc",), lambdas=(0.5,), seeds=(0,)).iloc[:1]
    long = pd.concat([long.assign(round=i, privacy=float(i)) for i in range(1, 1001)])
    curve = training_curves(long)
    curve = curve[curve["loss"] == "privacy"]
    assert 30 < len(curve) <= MOST_POINTS
    assert curve["round"].max() == 1000
    assert curve["value"].mean() == pytest.approx(500.5, abs=5)
    assert training_curves(long.iloc[:0]).empty


def test_several_runs_share_a_page(folder, tmp_path):
    other = make_run(tmp_path / "other", shift=0.05, clients=10)
    runs = [read_run(folder), read_run(other)]
    page = render_page(runs)
    assert "2 runs beside each other" in page
    assert [run["name"] for run in data_of(page)["runs"]] == ["run", "other"]
    assert page.count(">Points</h3>") == 1
    one, both = page_tables(runs[0])[0].frame, together(runs)[0].frame
    assert len(both) == 2 * len(one)
    assert set(both["run"]) == {"run", "other"}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in REFERENCE.glob("*/metrics.csv")))
def test_older_runs_have_pages(name, tmp_path):
    main([str(REFERENCE / name), "--output", str(tmp_path / "page.html")])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(page) < 3e6
    assert ">Attackers</h3>" in page


def test_a_runs_own_page_is_made_anew_in_its_folder(folder, page, tmp_path, capsys):
    mine = shutil.copytree(folder, tmp_path / "run")
    main([str(mine)])
    assert (mine / "report.html").read_text(encoding="utf-8") == page
    assert str(mine / "report.html") in capsys.readouterr().out


def test_runs_are_named_by_what_tells_them_apart(tmp_path):
    one, other = make_run(tmp_path / "a" / "run"), make_run(tmp_path / "b" / "run")
    assert [run.name for run in read_runs([one, other])] == ["a/run", "b/run"]
    assert [run.name for run in read_runs([one])] == ["run"]
    with pytest.raises(InputError, match="is named twice"):
        read_runs([one, tmp_path / "b" / ".." / "a" / "run"])


def test_a_run_of_an_earlier_version_is_refused_in_words(tmp_path):
    run = make_run(tmp_path / "run")
    columns = ["level", "unit", "known", "attribute", "group", "against"]
    pd.read_csv(run / "metrics.csv").drop(columns=columns).to_csv(run / "metrics.csv", index=False)
    with pytest.raises(InputError, match=r"is of an earlier version .*: it has no column level; run it again"):
        main([str(run)])


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no metrics\.csv"):
        main([str(tmp_path)])
    run = make_run(tmp_path / "run")
    metrics = (run / "metrics.csv").read_text()
    for text, message in (
        ("a,b\n1,2\n", "has no column setting"),
        ("", "cannot read"),
        ("\n".join(line for line in metrics.splitlines() if not line.startswith("raw")), "no audit of raw data"),
    ):
        (run / "metrics.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            main([str(run)])
    (run / "metrics.csv").write_text(metrics)
    for name, text, message in (
        ("summary.json", "{", "cannot read"),
        ("summary.json", "[]", "no summary of a run"),
        ("config.toml", "=", "cannot read"),
        ("rounds.csv", "a,b\n1,2\n", "has no column setting"),
    ):
        before = (run / name).read_text()
        (run / name).write_text(text)
        with pytest.raises(InputError, match=message):
            main([str(run)])
        (run / name).write_text(before)
    (run / "publication" / "federated" / "tiprdc+" / "lam-0.5" / "seed-0" / "part-000000.parquet").unlink()
    with pytest.raises(InputError, match="parts of it are missing"):
        main([str(run)])
    assert not (run / "report.html").exists()
    with pytest.raises(InputError, match="cannot write"):
        main([str(REFERENCE / "names"), "--output", str(tmp_path / "nowhere" / "page.html")])
