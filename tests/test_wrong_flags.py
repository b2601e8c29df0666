"""Every flag of every entry point, and every data set, with wrong values: status 2, one line, nothing written."""

import argparse
import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.command_line.parser import Parser, ShowHelp
from fl_tiprdc.commands import audit, run
from fl_tiprdc.data.datasets import DATASETS
from simulations import benchmark, crowd_sizes, gpu, long_run, partitions, poisoning, sharpness, updates
from tests.conftest import ROOT
from tests.entry_points import caller
from tests.test_command_line import BAD_FLAGS
from tests.test_official_data import WRITERS, change, remove, shorten
from tests.test_published import WRONG

N = 40  # records of the tables below
TABLE = ["--dataset", "table", "--data", "people.csv", "--private", "sex", "--tasks", "paid", "--clients", "3"]
MORE = [
    # flags of run.py, the wrong value, what is allowed; beside those of test_command_line
    (["--tasks", "shoe-size"], "'shoe-size'", "choose one of income, married"),
    (["--private", "education", "--tasks", "college"], "'college'", "name another"),
    (["--data-root", "nowhere", "--dataset", "lfw"], "'nowhere'", "is no folder"),
    (["--data-root", "people.csv", "--dataset", "celeba"], "'people.csv'", "is no folder"),
    (["--participant", "name", *TABLE], "unknown participant column 'name'", "choose from sex, paid, age, one"),
    (["--participant", "sex", *TABLE], "'sex' is named twice", "or none"),
    (["--participant", "one", *TABLE], "fewer than two people", "nobody could be held out"),
    (["--missing", ""], "--missing ''", "at least one"),
    (["--missing", ","], "--missing ','", "at least one"),
    (["--missing", " , "], "--missing ' , '", "at least one"),
    (["--records", "2.5"], "data.records is '2.5'", "a whole number"),
    (["--settings", "cloud"], "settings has 'cloud'", "'baseline', 'centralized' or 'federated'"),
    (["--settings", "centralised"], "settings has 'centralised'", "'baseline', 'centralized' or 'federated'"),
    (["--settings", "federated,federated"], "federated, federated", "settings has a value twice"),
    (["--baselines", "magic"], "unknown baseline 'magic'", "gaussian-noise"),
    (["--baselines", "Gaussian-noise"], "unknown baseline 'Gaussian-noise'", "gaussian-noise"),
    (["--baselines", "leace,leace"], "leace, leace", "baselines has a value twice"),
    (["--actors", "1.5"], "actors is '1.5'", "a whole number"),
    (["--ray-address", "cloud"], "ray_address is 'cloud'", "auto, HOST:PORT or ray://HOST:PORT"),
    (["--ray-address", "host"], "ray_address is 'host'", "auto, HOST:PORT or ray://HOST:PORT"),
    (["--ray-address", "http://host:1"], "ray_address is 'http://host:1'", "auto, HOST:PORT or ray://HOST:PORT"),
    (["--aggregation", "sum"], "federation.aggregation is 'sum'", "'mean', 'trimmed-mean', 'median', 'multi-krum'"),
    (["--aggregation", "Median"], "federation.aggregation is 'Median'", "'median'"),
    (["--aggregation", ""], "federation.aggregation is ''", "'median'"),
    (["--config", "missing.toml"], "cannot read config 'missing.toml'", "No such file"),
    (["--config", "."], "cannot read config '.'", "Is a directory"),
    (["--config", "people.csv"], "config 'people.csv'", "no valid TOML"),
    (["--output", "people.csv"], "exists and is no earlier run", "name another folder"),
    (["--output", "people.csv/below"], "cannot write to output", "Not a directory"),
    (["--output", "folder"], "exists and is no earlier run", "name another folder"),
    (["--data", "\udcff.csv", "--dataset", "table"], r"--data '\udcff.csv'", "UTF-8"),
    (["--data", "a\x1b[2J\n.csv", *TABLE[:2], *TABLE[4:]], r"'a\x1b[2J .csv'", "No such file"),  # no escape codes
]
# what the other entry points do with their own flags
PARTITIONS = [
    (["--partitions", "random"], "'random'", "iid, dirichlet:ALPHA"),
    (["--partitions", ""], "--partitions ''", "at least one"),
    (["--partitions", "iid,iid"], "iid, iid", "a partition twice"),
    (["--partitions", "iid,dirichlet:0"], "'dirichlet:0'", "a number above 0"),
    (["--partition", "iid"], "--partition 'iid'", "--partitions"),
    (["--output", "people.csv"], "cannot write to output", "File exists"),
]
UPDATES = [
    (["--method", "magic"], "unknown method 'magic'", "tiprdc+"),
    (["--method", "tiprdc,tiprdc+"], "--method 'tiprdc,tiprdc+'", "one value"),
    (["--method", ""], "methods is ()", "at least 1 value"),
    (["--lam", "2"], "2.0", "at most 1"),
    (["--lam", "half"], "'half'", "numbers"),
    (["--lam", "0.1,0.2"], "--lam '0.1,0.2'", "one value"),
    (["--seed", "-1"], "-1", "at least 0"),
    (["--seed", "x"], "'x'", "whole numbers"),
    (["--seed", "1,2"], "--seed '1,2'", "one value"),
    (["--partitions", "random"], "'random'", "iid, dirichlet:ALPHA"),
    (["--partitions", ","], "--partitions ','", "at least one"),
    (["--partitions", "iid,iid"], "--partitions 'iid,iid'", "each once"),
    (["--exchanges", "letters"], "unknown exchange 'letters'", "gradients, weights"),
    (["--exchanges", ""], "unknown exchange ''", "gradients, weights"),
    (["--exchanges", "weights,weights"], "weights, weights", "exchange twice"),
    (["--moments", "noon"], "unknown moment 'noon'", "start, middle, end"),
    (["--moments", ","], "unknown moment ','", "start, middle, end"),
    (["--moments", "end,end"], "end, end", "moment twice"),
    (["--value", "child"], "unknown value of sex 'child'", "Female, Male"),
    (["--value", ""], "unknown value of sex ''", "Female, Male"),
    (["--value", "female"], "unknown value of sex 'female'", "Female, Male"),
    (["--shadows", "0"], "--shadows", "at least 1"),
    (["--shadows", "-2"], "--shadows", "at least 1"),
    (["--shadows", "few"], "'few'", "int"),
    (["--noise", "-1"], "--noise '-1'", "at least 0"),
    (["--noise", "loud"], "--noise 'loud'", "numbers"),
    (["--noise", "1,1.0"], "--noise '1,1.0'", "twice"),
    (["--members", "1"], "--members '1'", "at least 2"),
    (["--members", "2.5"], "--members '2.5'", "whole numbers up to 100"),
    (["--members", "101"], "--members '101'", "whole numbers up to 100"),
    (["--bootstrap", "0"], "--bootstrap", "at least 1"),
    (["--bootstrap", "-1"], "--bootstrap", "at least 1"),
    (["--bootstrap", "x"], "'x'", "int"),
    (["--output", "people.csv"], "cannot write to output", "File exists"),
    (["--output", "people.csv/below"], "cannot write to output", "Not a directory"),
    (["--output", "x" * 300], "cannot write to output", "File name too long"),
]
POISONING = [
    (["--kinds", "rude"], "'rude'", "none, sign-flip"),
    (["--kinds", ""], "--kinds ''", "at least one"),
    (["--kinds", "leak,leak"], "leak, leak", "kind twice"),
    (["--rules", "sum"], "'sum'", "mean, trimmed-mean"),
    (["--rules", ","], "--rules ','", "at least one"),
    (["--rules", "mean,mean"], "mean, mean", "rule twice"),
    (["--share", "0.5"], "--share '0.5'", "below 0.5"),
    (["--share", "-0.1"], "--share '-0.1'", "at least 0"),
    (["--share", "some"], "--share 'some'", "below 0.5"),
    (["--share", "0.45"], "multi-krum needs more than 2 f + 2", "ask more clients"),
    (["--method", "magic"], "unknown method 'magic'", "tiprdc+"),
    (["--method", "tiprdc,tiprdc+"], "--method 'tiprdc,tiprdc+'", "one value"),
    (["--method", ""], "methods is ()", "at least 1 value"),
    (["--lam", "2"], "2.0", "at most 1"),
    (["--lam", "half"], "'half'", "numbers"),
    (["--lam", "0.1,0.2"], "--lam '0.1,0.2'", "one value"),
    (["--seeds", "-1"], "-1", "at least 0"),
    (["--seeds", "x"], "'x'", "whole numbers"),
    (["--seeds", "1,1"], "1, 1", "twice"),
    (["--output", "people.csv"], "cannot write to output", "File exists"),
    (["--output", "people.csv/below"], "cannot write to output", "Not a directory"),
    (["--output", "x" * 300], "cannot write to output", "File name too long"),
]
LONG_RUN = [
    *[([f"--{name}", value], value, "at least" if value[-1].isdigit() else "int")
      for name in ("rounds", "clients", "every", "actors") for value in ("-1", "-20", "few")],
    (["--every", "200"], "--every 200", "a quarter of the rounds"),
    (["--method", "letters"], "unknown method 'letters'", "tiprdc, tiprdc+"),
    (["--method", ""], "unknown method ''", "tiprdc, tiprdc+"),
    (["--method", "Coded"], "unknown method 'Coded'", "tiprdc, tiprdc+"),
    (["--runtime", "cloud"], "unknown runtime 'cloud'", "ray-cohort, flower, inline"),
    (["--runtime", ""], "unknown runtime ''", "ray-cohort, flower, inline"),
    (["--runtime", "ray"], "unknown runtime 'ray'", "ray-cohort, flower, inline"),
    (["--output", "people.csv"], "cannot write to output", "File exists"),
    (["--output", "people.csv/below"], "cannot write to output", "Not a directory"),
    (["--output", "x" * 300], "cannot write to output", "File name too long"),
]  # fmt: skip
BENCHMARK = [
    (["--parts", "speed"], "unknown part 'speed'", "runtimes, scale"),
    (["--parts", ""], "unknown part ''", "runtimes, scale"),
    (["--parts", "scale,scale"], "scale, scale", "part twice"),
    (["--runtimes", "cloud"], "unknown runtime 'cloud'", "ray-cohort, flower, inline"),
    (["--runtimes", ""], "unknown runtime ''", "ray-cohort, flower, inline"),
    (["--runtimes", "inline,inline"], "inline, inline", "runtime twice"),
    (["--counts", "0"], "--counts '0'", "whole numbers from 1"),
    (["--counts", "1.5"], "--counts '1.5'", "whole numbers from 1"),
    (["--counts", "many"], "--counts 'many'", "whole numbers from 1"),
    (["--rounds", "0"], "--rounds 0", "at least 1"),
    (["--rounds", "-3"], "--rounds -3", "at least 1"),
    (["--rounds", "few"], "'few'", "int"),
    (["--output", "people.csv"], "cannot write to output", "File exists"),
    (["--output", "people.csv/below"], "cannot write to output", "Not a directory"),
    (["--output", "x" * 300], "cannot write to output", "File name too long"),
]
CROWD_SIZES = [
    (["--sizes", "0"], "--sizes '0'", "whole numbers from 1"),
    (["--sizes", "1e6"], "--sizes '1e6'", "whole numbers from 1"),
    (["--sizes", ""], "--sizes ''", "at least one"),
    (["--output", "people.csv"], "cannot write to output", "File exists"),
    (["--output", "people.csv/below"], "cannot write to output", "Not a directory"),
    (["--output", "x" * 300], "cannot write to output", "File name too long"),
]
GPU = [
    (["--parts", "speed"], "unknown part 'speed'", "update, round, codes"),
    (["--parts", ""], "unknown part ''", "update, round, codes"),
    (["--parts", "codes,codes"], "codes, codes", "part twice"),
    (["--parts", "update"], "torch sees no GPU", "only --parts codes"),
    (["--output", "people.csv", "--parts", "codes"], "cannot write to output", "File exists"),
    (["--output", "people.csv/below", "--parts", "codes"], "cannot write to output", "Not a directory"),
    (["--output", "x" * 300, "--parts", "codes"], "cannot write to output", "File name too long"),
]
SHARPNESS = [
    (["--draws", "0"], "--draws 0", "at least 1"),
    (["--draws", "-1"], "--draws -1", "at least 1"),
    (["--draws", "few"], "'few'", "int"),
    (["--output", "people.csv"], "cannot write to output", "File exists"),
    (["--output", "people.csv/below"], "cannot write to output", "Not a directory"),
    (["--output", "x" * 300], "cannot write to output", "File name too long"),
]
TABLES = {
    run: MORE,
    partitions: PARTITIONS,
    updates: UPDATES,
    benchmark: BENCHMARK,
    crowd_sizes: CROWD_SIZES,
    gpu: GPU,
    long_run: LONG_RUN,
    poisoning: POISONING,
    sharpness: SHARPNESS,
}
# those whose wrong values have tests elsewhere: the entry point, its flags in each of them
ELSEWHERE = [(run, row[0]) for row in BAD_FLAGS] + [(audit, flags) for flags, _ in WRONG]


def flags_of(module, monkeypatch) -> tuple[list[str], list[str]]:
    """Flags (and arguments) of an entry point: those that take a value, and those that take none."""
    parsers: list[Parser] = []

    def stop(self, *_):
        parsers.append(self)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(SystemExit):
            module.main([])
    valued, none = [], []
    for action in parsers[0].actions:
        if not isinstance(action, ShowHelp):
            (none if action.nargs == 0 else valued).append((action.option_strings or [action.dest])[0])
    return valued, none


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    people = pd.DataFrame(
        {"sex": ["m", "f"] * (N // 2), "paid": np.arange(N) % 3, "age": np.arange(N) % 7, "one": "same"}
    )
    people.to_csv(tmp_path / "people.csv", index=False)
    people[:-1].to_csv(tmp_path / "short.csv", index=False)
    np.savez(tmp_path / "z.npz", z=np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("keep me")
    return caller(monkeypatch, capsys, tmp_path)


def refused(answer, wrong: str, allowed: str) -> None:
    status, lines = answer
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith("error: ")
    assert wrong in lines[0]
    assert allowed in lines[0]


@pytest.mark.parametrize(
    ("module", "flags", "wrong", "allowed"), [(module, *row) for module, rows in TABLES.items() for row in rows]
)
def test_a_wrong_value_of_any_entry_point(module, flags, wrong, allowed, call):
    refused(call(module, *flags), wrong, allowed)


@pytest.mark.parametrize(
    "module",
    [run, partitions, updates, benchmark, crowd_sizes, gpu, audit, long_run, poisoning, sharpness],
    ids=lambda m: m.__name__,
)
def test_every_flag_is_tried_with_three_wrong_values(module, monkeypatch, call):
    valued, none = flags_of(module, monkeypatch)
    taken = set(flags_of(run, monkeypatch)[0]) & set(valued) if module in (partitions, poisoning, updates) else set()
    tried = [row[0][0].partition("=")[0] for row in TABLES.get(module, ())]
    tried += [word for owner, flags in ELSEWHERE if owner is module for word in flags]
    thin = {flag: tried.count(flag) for flag in set(valued) - taken if flag[0] == "-" and tried.count(flag) < 3}
    assert not thin, f"give these flags of {module.__name__} three wrong values each in this file's tables"
    given = ["z.npz", "--labels", "people.csv"] if module is audit else []
    for flag, value in itertools.product(none, ("maybe", "1", "")):
        refused(call(module, *given, f"{flag}={value}"), flag, "argument")
    for flag in taken - {
        "--output",
        "--partition",
    }:  # read by the same code as run.py's: one wrong value shows that it is used
        flags, wrong, allowed = next(row for row in [*BAD_FLAGS, *MORE] if row[0][0] == flag)
        if set(flags_of(module, monkeypatch)[0]) >= {word for word in flags if word.startswith("--")}:
            refused(call(module, *flags), wrong, allowed)


DAMAGE = {
    "celeba": [
        (remove("list_attr_celeba.txt"), "is missing"),
        (change("list_attr_celeba.txt", 1, "12", "13"), "says 13 images"),
        (change("identity_CelebA.txt", 2, "2880", "nobody"), "expected an image and a number"),
    ],
    "lfw": [
        (shorten("lfw_attributes.txt", 1), "line 2"),
        (change("lfw_attributes.txt", 4, "1.568346", "high"), "expected a number"),
        (lambda root: (root / "lfw").rename(root / "faces"), "is missing"),
    ],
    "utkface": [
        (lambda root: [path.unlink() for path in (root / "UTKFace").iterdir()], "no file named AGE_GENDER_RACE_DATE"),
        (lambda root: [path.rename(f"{path}.gif") for path in (root / "UTKFace").iterdir()], "but '116_1_2_"),
        (lambda root: [path.write_bytes(b"GIF") for path in (root / "UTKFace").iterdir()], "cannot decode image"),
    ],
    "dial": [
        (remove("vocab"), "is missing"),
        (change("pos_neg", 2, "4", "5"), "word 5 is not in"),
        (shorten("neg_neg", 2), "equally many"),
    ],
}
PRIVATE = {"celeba": "Male", "lfw": "Male", "utkface": "gender", "dial": "race"}


@pytest.mark.parametrize(("dataset", "damage", "why"), [(name, *row) for name, rows in DAMAGE.items() for row in rows])
def test_damaged_official_files(dataset, damage, why, call, tmp_path):
    root = tmp_path / "official"
    root.mkdir()
    WRITERS[dataset](root)
    tasks = {"celeba": "Young", "lfw": "Youth"}.get(dataset, "age" if dataset == "utkface" else "mention")
    flags = ("--dataset", dataset, "--data-root", "official", "--private", PRIVATE[dataset], "--tasks", tasks)
    refused(call(run, *flags, "--clients", 99), "99 clients", "only")  # the damage is all that is wrong below
    damage(root)
    refused(call(run, *flags), dataset if "decode" not in why else "official", why)


@pytest.mark.parametrize(
    ("flags", "wrong", "allowed"),
    [
        (["--dataset", "digits", "--private", "writer"], "'writer'", "choose one of slant, digit"),
        (["--dataset", "digits", "--tasks", "slant"], "'slant' is tied", "choose from digit"),
        (["--dataset", "digits", "--records", "1"], "fewer than two people", "held out"),
        (["--dataset", "names", "--private", "age"], "'age'", "choose one of gender, region"),
        (["--dataset", "names", "--tasks", "gender"], "'gender' is tied", "choose from region"),
        (["--dataset", "names", "--private", "gender,region,frequency"], "leaves no task", "audit"),
        (["--dataset", "avatars", "--size", "4x90"], "4x90", "at least 16x16"),
        (["--dataset", "avatars", "--private", "color,background,position"], "leaves no task", "audit"),
        (["--dataset", "avatars", "--records", "1"], "fewer than two people", "held out"),
        (["--dataset", "adult", "--private", "income,marital-status,education,occupation"], "leaves no task", "audit"),
        (["--dataset", "german-credit", "--private", "race"], "'race'", "choose from checking-account"),
        (["--dataset", "bank-marketing", "--tasks", "income"], "'income'", "choose one of deposit"),
        (["--dataset", "oulad", "--private", "final_result", "--tasks", "pass"], "'pass'", "name another"),
        ([*TABLE, "--private", "one"], "'one' has a single value", "nothing to learn"),
        ([*TABLE, "--tasks", "sex"], "'sex' is named twice", "or none"),
        ([*TABLE, "--clients", "41"], "41 clients", "only 32 records"),
    ],
)
def test_data_sets_that_come_along_and_a_table(flags, wrong, allowed, call):
    if flags[1] == "names":
        pytest.importorskip("gender_guesser")
    refused(call(run, *flags), wrong, allowed)


def test_every_data_set_is_tried():
    mentioned = {word for rows in (*TABLES.values(), BAD_FLAGS) for flags, *_ in rows for word in flags}
    assert set(DATASETS) <= mentioned | set(DAMAGE) | {
        "digits",
        "names",
        "adult",
        "german-credit",
        "bank-marketing",
        "oulad",
    }


def test_a_path_that_is_no_text_or_too_long_gets_one_line(call):
    refused(
        call(run, "--dataset", "table", "--data", "p\udcffple.csv"), "--data 'p\\udcffple.csv'", "give text in UTF-8"
    )
    long = "x" * 5000 + ".csv"
    answer = call(run, "--dataset", "table", "--data", long, "--private", "sex", "--tasks", "paid")
    refused(answer, "cannot read table", "File name too long")


@pytest.mark.parametrize("name", ["audit", "benchmark", "partitions", "updates"])
def test_a_real_process_ends_with_status_2(name, tmp_path):
    flags = {"audit": ["none", "--labels", "none.csv"], "benchmark": ["--rounds", "0"]}.get(name, ["--clients", "-3"])
    done = subprocess.run(
        [sys.executable, str(ROOT / "simulations" / f"{name}.py"), *flags, "--output", "out"],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
