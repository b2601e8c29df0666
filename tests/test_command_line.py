"""The command line: one clear line for wrong input, and nothing written."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from fl_tiprdc.command_line.flags import FLAGS, experiment_parser, read_experiment
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.command_line.presets import PRESETS
from fl_tiprdc.commands import run
from fl_tiprdc.config import DataConfig, Experiment, FederationConfig, build_experiment
from fl_tiprdc.errors import InputError, TooManyFailuresError
from fl_tiprdc.evaluation.attacks.registry import FURTHER
from fl_tiprdc.evaluation.todays_classifiers import PACKAGES
from fl_tiprdc.experiment import results, run_folder
from fl_tiprdc.experiment.outcome import Outcome
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run import record_run
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.notices import DataNotice
from fl_tiprdc.report.run_tables import read_run
from tests.conftest import ROOT
from tests.entry_points import caller, read_once, tree
from tests.invented_metrics import metrics_of


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    read_once(monkeypatch)


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Runs the main job with the given flags up to where training would start: (status, stderr lines)."""
    entry = caller(monkeypatch, capsys, tmp_path)

    def call(*flags, output=None):
        return entry(run, "--output", output or tmp_path / "out" / "here", *flags)

    return call


BAD_FLAGS = [
    # flags, the wrong value, what is allowed
    (["--dataset", "census"], "'census'", "choose one of adult"),
    (["--dataset", "Adult"], "'Adult'", "choose one of adult"),
    (["--dataset", ""], "''", "choose one of adult"),
    (["--private", "shoe-size"], "'shoe-size'", "choose from age, workclass,"),
    (["--private", "sex,Race"], "'Race'", "choose from age, workclass,"),
    (["--private", "fnlwgt"], "'fnlwgt'", "choose from age, workclass,"),
    (["--private", "sex,sex"], "sex, sex", "private has a value twice"),
    (["--private", ""], "--private ''", "at least one"),
    (["--tasks", ","], "--tasks ','", "at least one"),
    (["--data", ""], "--data ''", "a path"),
    (["--data-root", " "], "--data-root ' '", "a path"),
    (["--records", "-1"], "data.records is '-1'", "at least 0"),
    (["--records", "few"], "'few'", "a whole number"),
    (["--size", "big"], "'big'", "like 32x32"),
    (["--size", "32x32x3"], "'32x32x3'", "like 32x32"),
    (["--size", "0x32"], "data.size has 0", "at least 1"),
    (["--track", "excel"], "unknown tracker 'excel'", "choose one of tensorboard, mlflow, wandb, none"),
    (["--track", "none,wandb"], "'none'", "stands alone"),
    (["--track", "wandb,wandb"], "wandb, wandb", "a value twice"),
    (["--track", ""], "--track ''", "at least one"),
    (["--dataset", "table"], "name what to hide", "--private COLUMN"),
    (["--dataset", "table", "--private", "sex"], "name a table", "--data FILE"),
    (["--dataset", "table", "--private", "sex", "--data", "none.csv"], "'none.csv'", "No such file"),
    (["--dataset", "table", "--private", "sex", "--data", "none.xls"], "'none.xls'", ".csv or .parquet"),
    (["--dataset", "avatars", "--private", "nose"], "'nose'", "choose one of shape, hat"),
    (["--dataset", "avatars", "--tasks", "shape"], "'shape'", "choose from hat, color"),
    (["--dataset", "avatars", "--size", "8"], "8x8", "at least 16x16"),
    (["--dataset", "avatars", "--records", "90000000"], "90000000 avatars", "at most 4 GiB"),
    (["--partition", "random"], "'random'", "iid, dirichlet:ALPHA (ALPHA > 0), by-private"),
    (["--partition", "dirichlet"], "'dirichlet'", "iid, dirichlet:ALPHA (ALPHA > 0), by-private"),
    (["--partition", "dirichlet:-1"], "'dirichlet:-1'", "a number above 0"),
    (["--partition", "dirichlet:some"], "'dirichlet:some'", "a number above 0"),
    (["--partition", "a\nb"], "'a b'", "iid, dirichlet:ALPHA"),
    (["--clients", "-3"], "'-3'", "at least 1"),
    (["--clients", "0"], "'0'", "at least 1"),
    (["--clients", "abc"], "'abc'", "a whole number"),
    (["--clients", "2.5"], "'2.5'", "a whole number"),
    (["--clients", "1000000"], "1000000 clients", "only 39074 records"),
    (["--clients", "1", "--partition", "by-private"], "1 clients", "by-private needs 2 to"),
    (["--clients", "30000", "--partition", "by-private"], "30000 clients", "by-private needs 2 to"),
    (["--lambdas", "1.5"], "1.5", "at most 1"),
    (["--lambdas", "-0.5,0.5"], "-0.5", "at least 0"),
    (["--lambdas", "0.1,nan"], "nan", "a finite number"),
    (["--lambdas", "half"], "'half'", "numbers with commas"),
    (["--lambdas", "0.5 0.6"], "'0.5 0.6'", "numbers with commas"),
    (["--lambdas", ""], "lambdas is ()", "at least 1 value"),
    (["--lambdas", "0.5,0.1,.50"], "0.5, 0.1, 0.5", "lambdas has a value twice"),
    (["--seeds", "-1"], "-1", "at least 0"),
    (["--seeds", "1.5"], "'1.5'", "whole numbers with commas"),
    (["--seeds", "one"], "'one'", "whole numbers with commas"),
    (["--seeds", "2,2"], "2, 2", "seeds has a value twice"),
    (["--methods", "magic"], "'magic'", "maxmi, pat, tappfl, tiprdc, tiprdc+"),
    (["--methods", "tiprdc,TIPRDC"], "'TIPRDC'", "maxmi, pat, tappfl, tiprdc, tiprdc+"),
    (["--methods", ","], "methods is ()", "at least 1 value"),
    (
        ["--attacks", "magic"],
        "unknown attack 'magic'",
        "membership, reidentification, averaging, leaks, linkage, known-record, all, none",
    ),
    (["--attacks", ""], "--attacks ''", "at least one"),
    (["--attacks", "leaks,leaks"], "leaks, leaks", "attacks have a value twice"),
    (["--attacks", "leaks,all"], "attack 'all' stands alone", "not among leaks, all"),
    (["--known", "age"], "attackers know (age)", "isn't asked for: name it in --attacks"),
    (["--attacks", "known-record", "--known", ","], "--known ','", "at least one"),
    (["--attacks", "known-record", "--known", "age,shoe"], "unknown column 'shoe'", "choose one of age, workclass, "),
    (["--attacks", "known-record", "--known", "age,age"], "age, age", "has a column twice"),
    (["--attacks", "all", "--dataset", "digits", "--known", "age"], "no table", "everything of them, and no column"),
    (["--runtime", "cloud"], "'cloud'", "choose one of ray-cohort, flower, inline"),
    (["--runtime", "ray"], "'ray'", "choose one of ray-cohort, flower, inline"),
    (["--runtime", ""], "''", "choose one of ray-cohort, flower, inline"),
    (["--rounds", "0"], "'0'", "at least 1"),
    (["--rounds", "-4"], "'-4'", "at least 1"),
    (["--rounds", "few"], "'few'", "a whole number"),
    (["--actors", "-1"], "'-1'", "at least 0"),
    (["--actors", "all"], "'all'", "a whole number"),
    (["--cleints", "3"], "--cleints", "--clients"),
    (["--lamdba=3"], "--lamdba=3", "--lambdas"),
    (["race"], "race", "--help"),
    (["--clients"], "--clients", "expected one argument"),
    (["--quick=maybe"], "maybe", "--quick"),
    (["--dp-noise", "-1"], "protection.noise is '-1'", "at least 0"),
    (["--dp-noise", "some"], "protection.noise is 'some'", "a number"),
    (["--dp-noise", "nan"], "protection.noise is 'nan'", "a finite number"),
    (["--dp-noise", "1", "--aggregation", "median"], "aggregation median", "choose mean"),
    (["--secagg=yes"], "'yes'", "--secagg"),
    (["--secagg", "--aggregation", "multi-krum"], "aggregation multi-krum", "choose mean"),
    (["--secagg", "--aggregation", "median"], "single clients' updates", "choose mean"),
    (["--secagg", "--clients", "2"], "secagg", "at least 3 clients"),
]


@pytest.mark.parametrize(("flags", "wrong", "allowed"), BAD_FLAGS)
def test_a_wrong_flag(flags, wrong, allowed, call):
    status, lines = call(*flags)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert wrong in lines[0]
    assert allowed in lines[0]


BAD_CONFIGS = [
    ("clients = 'many'", "'many'", "a whole number"),
    ("clients = 0", "clients is 0", "at least 1"),
    ("clients = -1", "clients is -1", "at least 1"),
    ("client = 3", "'client'", "clients, partition"),
    ("[federation]\nround = 3", "'federation.round'", "rounds, updates_per_round"),
    ('[method."tiprdc+"]\nsigma = 1', "'method.tiprdc+.sigma'", "sigma_low, sigma_high"),
    ("lambdas = [0.5, 2]", "2", "at most 1"),
    ("lambdas = 0.5", "lambdas is 0.5", "a list"),
    ("lambdas = ['a']", "'a'", "a number"),
    ("private = 'sex'", "private is 'sex'", "a list"),
    ("methods = ['magic']", "'magic'", "maxmi, pat, tappfl, tiprdc, tiprdc+"),
    ("runtime = 'cloud'", "'cloud'", "choose one of ray-cohort, flower, inline"),
    ("dataset = 'census'", "'census'", "choose one of adult"),
    ("partition = 'random'", "'random'", "iid, dirichlet:ALPHA"),
    ("held_out = 1.0", "held_out is 1.0", "below 1"),
    ("[federation]\nrounds = 0", "federation.rounds is 0", "at least 1"),
    ("[federation]\nclients_per_round = 200", "clients_per_round is 200", "100 clients"),
    ("[audit]\nattackers = ['mlp', 'oracle']", "'oracle'", "choose one of logistic, boosting, forest, mlp"),
    ("[audit]\nattackers = ['MLP']", "'MLP'", "choose one of logistic, boosting, forest, mlp"),
    ("[audit]\nattackers = ['majority']", "'majority'", "choose one of logistic, boosting, forest, mlp"),
    ("[audit]\nprobes = ['oracle']", "'oracle'", "choose one of logistic, boosting, forest, mlp"),
    ("[audit]\nprobes = []", "audit.probes is []", "at least 1 value"),
    ("[protection]\nsecagg = true\n[federation]\nquorum = 0.5", "secagg needs 67%", "a quorum of 0.5"),
    ("[protection]\nclip = 0", "protection.clip is 0", "above 0"),
    ("[protection]\ndelta = 1", "protection.delta is 1", "below 1"),
    ("[protection]\nthreshold = 0.5", "protection.threshold is 0.5", "above 0.5"),
    ("[protection]\nthreshold = 1.5", "protection.threshold is 1.5", "at most 1"),
    ("[protection]\nsecagg = 'perhaps'", "protection.secagg is 'perhaps'", "true or false"),
    ("[protection]\nsigma = 1", "'protection.sigma'", "noise, clip"),
    ("[protection]\nsecagg = true\n[federation]\ngradient_clients = 2", "secagg", "at least 3 clients"),
    ("clients = = 3", "config.toml", "TOML"),
    ("clients", "config.toml", "TOML"),
    ("[federation\nrounds = 3", "config.toml", "TOML"),
    (b"\xff\xfe", "config.toml", "TOML"),
]


@pytest.mark.parametrize(("text", "wrong", "allowed"), BAD_CONFIGS)
def test_a_wrong_config(text, wrong, allowed, call, tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    status, lines = call("--config", path)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert wrong in lines[0]
    assert allowed in lines[0]


def test_a_config_that_cannot_be_read(call, tmp_path):
    for path, why in (
        (tmp_path / "missing.toml", f"No such file or directory; the presets are {', '.join(PRESETS)}"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        assert call("--config", path) == (2, [f"error: cannot read config '{path}': {why}"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_config_without_permission(call, tmp_path):
    path = tmp_path / "secret.toml"
    path.touch(mode=0)
    assert call("--config", path) == (2, [f"error: cannot read config '{path}': Permission denied"])


# ---- output


@pytest.mark.parametrize("content", ["notes.txt", "summary.json", ".hidden"])
def test_an_output_that_is_a_foreign_folder(content, call, tmp_path):
    output = tmp_path / "mine"
    output.mkdir()
    (output / content).write_text("keep me")
    assert call(output=output) == (2, [f"error: output '{output}' exists and is no earlier run: name another folder"])


def test_an_output_that_is_a_file(call, tmp_path):
    output = tmp_path / "mine"
    output.write_text("keep me")
    assert call(output=output) == (2, [f"error: output '{output}' exists and is no earlier run: name another folder"])


def test_an_output_that_cannot_be_made(call, tmp_path):
    (tmp_path / "file").write_text("keep me")
    for output, why in (
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        assert call(output=output) == (2, [f"error: cannot write to output '{output}': {why}"])
    status, lines = call(output=".")  # the working directory
    assert (status, len(lines)) == (2, 1)
    assert "exists and is no earlier run" in lines[0]


def earlier_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in run_folder.MARKS:
        (folder / name).write_text("old")
    return folder


def test_a_run_takes_its_place_when_it_is_whole(tmp_path):
    output = earlier_run(tmp_path / "results" / "run")
    partial = run_folder.prepare(output)
    (partial / "new").touch()
    assert (output / "summary.json").read_text() == "old"
    run_folder.finish(partial, output)
    assert list(tree(tmp_path / "results")) == ["run", "run/new"]


def test_an_empty_folder_and_a_link_to_an_earlier_run_are_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(earlier_run(tmp_path / "disk" / "run"))
    for output in (tmp_path / "empty", tmp_path / "link"):
        partial = run_folder.prepare(output)
        (partial / "new").touch()
        run_folder.finish(partial, output)
        assert [path.name for path in output.iterdir()] == ["new"]
    assert (tmp_path / "link").is_symlink()


def test_what_a_broken_run_leaves_is_cleared(tmp_path):
    partial = run_folder.prepare(tmp_path / "run")
    (partial / "half").touch()
    assert list(run_folder.prepare(tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (TooManyFailuresError("3 of 5 clients failed"), 1, "failed: 3 of 5 clients failed"),
        (TimeoutError("no reply\nin 5 s"), 1, "failed: no reply in 5 s"),
        (InputError("clients is\n'a'"), 2, "error: clients is 'a'"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_run_that_breaks_off_ends_with_one_line(error, status, line, small, capsys, tmp_path):
    def breaks(experiment, publication, *_):
        publication.mkdir()
        (publication / "part").touch()
        raise error

    with pytest.raises(SystemExit) as exit_:
        guard(lambda _: record_run(small(), tmp_path / "out", Screen(), breaks))
    assert exit_.value.code == status
    assert capsys.readouterr().err.splitlines() == [line]
    assert tree(tmp_path) == {}


def process(*flags: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The main job in a process of its own."""
    words = [sys.executable, str(ROOT / "simulations" / "run.py"), *flags]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


def test_a_real_process_ends_with_status_2(tmp_path):
    done = process("--clients", "-3", "--output", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: clients is '-3': must be at least 1\n"
    assert done.stdout == ""
    assert tree(tmp_path) == {}


# ---- what flags mean


def parsed(*flags) -> Experiment:
    return read_experiment(experiment_parser("").parse_args([*map(str, flags)]))


def test_help_lists_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as exit_:
        run.main(["--help", "all"])
    assert exit_.value.code == 0
    _, options = capsys.readouterr().out.split("flags:")
    entries = [" ".join(entry.split()) for entry in re.split(r"\n  (?=-)", options)]
    defaults = {
        "clients": "100",
        "dataset": "adult",
        "private": "the data set's own",
        "tasks": "the data set's own",
        "data": "none",
        "data-root": "none",
        "participant": "none",
        "records": "0",
        "size": "the data set's own",
        "missing": "none",
        "unite-spellings": "off",
        "baselines": "gaussian-noise",
        "attacks": "membership,reidentification,linkage",
        "known": "none",
        "partition": "iid",
        "settings": "baseline,centralized,federated",
        "methods": "tiprdc,tiprdc+,coded",
        "lambdas": "0.1,0.5,0.9,0.98",
        "seeds": "0",
        "runtime": "ray-cohort",
        "actors": "0",
        "ray-address": "none",
        "track": "tensorboard",
        "rounds": str(FederationConfig().rounds),
        "aggregation": "mean",
        "dp-noise": "0.0",
        "secagg": "off",
        "output": "results/ and a name",
        "quick": "off",
        "config": "none",
    }
    assert {flag.replace("_", "-") for flag in FLAGS} < set(defaults)
    for flag, default in defaults.items():
        (entry,) = (entry for entry in entries if entry.startswith(f"--{flag} "))
        assert entry.endswith(f"(default: {default})")


def test_without_flags_the_defaults_hold():
    assert parsed() == build_experiment({"private": ["sex"]})  # what the data set hides


def test_flags_of_the_data_reach_the_experiment(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(
        "who,sex,paid,age,size\n" + "".join(f"{i // 2},{'mf'[i % 2]},{i % 3},{i},{i % 9}\n" for i in range(40))
    )
    flags = ("--dataset", "table", "--data", path, "--private", "sex", "--tasks", "paid, age", "--participant", "who")
    flags += ("--methods", "tiprdc+")  # codes need more people
    (tmp_path / "config.toml").write_text('[data.columns]\nage = "number"\n')
    with pytest.warns(DataNotice, match="split at the median"):
        experiment = parsed(*flags, "--records", 30, "--clients", 3, "--config", tmp_path / "config.toml")
    assert experiment.dataset == "table"
    assert experiment.data == DataConfig(
        file=path, tasks=("paid", "age"), participant="who", records=30, columns={"age": "number"}
    )
    few = ("--dataset", "avatars", "--records", 150, "--methods", "tiprdc+")
    data = parsed(*few, "--size", "16X24", "--data-root", tmp_path).data
    assert data == DataConfig(size=(16, 24), records=150, root=tmp_path)
    assert parsed(*few, "--size", "20").data.size == (20, 20)


def test_a_note_about_the_data_is_one_line(tmp_path):
    rows = "".join(f"{'mf'[i % 2]},{i % 3},{i % 7},text {i}\n" for i in range(40))
    (tmp_path / "people.csv").write_text("sex,paid,age,remark\n" + rows)
    flags = ("--dataset", "table", "--data", "people.csv", "--private", "sex", "--tasks", "paid", "--clients", "50")
    done = process(*flags, cwd=tmp_path)
    note, error = done.stderr.splitlines()
    assert done.returncode == 2
    assert note.startswith("note: left out, as identifiers or free text: 'remark' (32 values); to keep one")
    assert error == "error: 50 clients but only 32 records: ask for at most that many clients"


def test_every_flag_reaches_the_experiment():
    experiment = parsed(
        *("--clients", 7, "--private", "race, sex", "--partition", "dirichlet:0.3", "--methods", "tiprdc+"),
        *("--settings", "federated"),
        *("--lambdas", "0,1", "--seeds", "4,5", "--runtime", "inline", "--actors", 1, "--rounds", 3),
    )
    assert (experiment.clients, experiment.private, experiment.partition) == (7, ("race", "sex"), "dirichlet:0.3")
    assert experiment.settings == ("federated",)
    assert (experiment.methods, experiment.lambdas, experiment.seeds) == (("tiprdc+",), (0.0, 1.0), (4, 5))
    assert (experiment.runtime, experiment.actors, experiment.federation.rounds) == ("inline", 1, 3)


def test_flags_win_over_config_over_quick(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("lambdas = [0.25]\nseeds = [3]\n[federation]\nrounds = 9\nbatch_size = 8\n")
    quick = parsed("--quick")
    assert (quick.federation.rounds, quick.lambdas, quick.centralized.steps) == (4, (0.1, 0.5, 0.9), 100)
    config = parsed("--quick", "--config", path)
    assert (config.federation.rounds, config.lambdas, config.seeds) == (9, (0.25,), (3,))
    assert config.centralized.steps == 100  # quick's, as the file says nothing of it
    flags = parsed("--quick", "--config", path, "--rounds", 2, "--seeds", "6")
    assert (flags.federation.rounds, flags.seeds) == (2, (6,))
    assert (flags.federation.batch_size, flags.lambdas) == (8, (0.25,))  # the file's, untouched by the flag beside it


def test_further_attacks_are_named_or_all_or_none(tmp_path):
    assert parsed("--attacks", "leaks,linkage").audit.further == ("leaks", "linkage")
    assert parsed("--attacks", "all").audit.further == tuple(FURTHER)
    assert parsed("--attacks", "none").audit.further == ()
    (tmp_path / "config.toml").write_text('[audit]\nfurther = ["all"]\n')
    assert parsed("--config", tmp_path / "config.toml").audit.further == tuple(FURTHER)
    assert set(parsed().audit.further) < set(FURTHER)  # those that cost little


def test_columns_that_attackers_know_are_named():
    audit = parsed("--attacks", "known-record", "--known", "age, education").audit
    assert (audit.further, audit.known) == (("known-record",), ("age", "education"))
    assert parsed("--attacks", "all", "--known", "age").audit.known == ("age",)


def test_the_default_output_names_the_run():
    experiment = build_experiment({"private": ["race", "sex"], "partition": "dirichlet:0.3", "clients": 7})
    assert run_folder.default_output(experiment) == Path.cwd() / "results" / "adult-race+sex-dirichlet-0.3-7"


# ---- results


def test_results_are_whole_and_read_back(tmp_path):
    rows, rounds = [], []
    points = [("raw", "raw", 0.0)]
    points += [(s, m, lam) for s in ("centralized", "federated") for m in ("tiprdc", "tiprdc+") for lam in (0.0, 1.0)]
    for setting, method, lam in points:
        where = (setting, method, lam, 0)
        rows.append((*where, "attack", "sex", "mlp", "auc", 0.9 - 0.2 * lam, 0.6, 0.95))
        rows.append((*where, "task", "income", "mlp", "auc", 0.9 - 0.1 * lam, 0.7, 0.92))
        losses = {"privacy": 0.1, "information": 0.5, "adversary": 0.7}
        phase = {"round": 1, "phase": "local-training" if method == "tiprdc" else "hybrid-gradient"}
        rounds.append({"setting": setting, "method": method, "lam": lam, "seed": 0, **phase, **losses})
    outcome = Outcome(metrics_of(rows), pd.DataFrame(rounds), representation=32)
    experiment = build_experiment(
        {"private": ["sex"], "lambdas": [0, 1], "method": {"tiprdc+": {"sigma_low": 0, "sigma_high": 0.5}}}
    )
    (tmp_path / "config.toml").write_text(run_folder.config_text(experiment))  # `run` does, before the work
    with open(os.devnull, "w") as nowhere, Stages(Console(file=nowhere)) as stages:  # noqa: PTH123
        summary, _ = results.write_results(tmp_path, experiment, outcome, stages)

    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"config.toml", "metrics.csv", "rounds.csv", "summary.json", "figures", "report.html"}
    assert set(run_folder.MARKS) < written

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    read = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert read == summary
    # no noise: no bound; σ = ½ on 32 numbers: 16 log2(5) bits
    assert read["capacities"] == [
        {"method": "tiprdc+", "lam": 0, "bits": None},
        {"method": "tiprdc+", "lam": 1, "bits": round(16 * math.log2(5), 2)},
    ]
    # retention 1 at attack .9, and (.8 - ½) / .4 = ¾ from .7 on: (¾ · .2 + 1 · .1) / ½
    areas = {(row["setting"], row["method"]): row["area"] for row in read["frontier_areas"]}
    assert areas["federated", "tiprdc+"] == pytest.approx(0.5, abs=0.01)
    assert [row["attack_difference"] for row in read["comparison"]] == [0, 0, 0, 0]
    pd.testing.assert_frame_equal(read_run(tmp_path).metrics, outcome.metrics, check_dtype=False)
    assert read_experiment(experiment_parser("").parse_args(["--config", str(tmp_path / "config.toml")])) == experiment


@pytest.mark.parametrize("name", [name for name in PRESETS if not name.startswith("paper-")])
def test_configurations_that_come_along_are_right(name, monkeypatch):
    for attacker in PACKAGES:  # right on machines without the extra too: its attackers need what is always there
        monkeypatch.setitem(PACKAGES, attacker, "numpy")
    experiment = parsed("--config", name)
    assert {"tiprdc+", "coded"} & set(experiment.methods)
    if name in ("partitions", "ablation"):  # where clients hold a single private value
        assert experiment.federation.gradient_clients == 40
