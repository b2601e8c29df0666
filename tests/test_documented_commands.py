"""Every command in the README and the docs is one that its program takes; those of a page are run, in order."""

import importlib
import re
import shlex
import sys
import textwrap
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fl_tiprdc.__main__ as program
from fl_tiprdc.command_line.flags import given_experiment
from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.command_line.subcommands import PROGRAM, SUBCOMMANDS
from fl_tiprdc.evaluation.todays_classifiers import PACKAGES
from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "results/reference/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BEGIN = r"(?:fl-tiprdc|python simulations/\S+\.py)"
FLAGS_OF_A_RUN = {"clients", "dataset", "lambdas", "config", "quick"}  # whoever has these has an experiment


def commands_in(text: str, spans: bool = True) -> list[str]:
    """Commands in indented blocks, continued lines joined, and in running text; without comments and "..."."""
    blocks = re.findall(rf"^    ({BEGIN} (?:.*\\\n)*.*)$", text, re.MULTILINE)
    in_text = re.findall(rf"`({BEGIN} [^`]+)`", text) if spans else []
    found = [re.sub(r"[\\\s]+", " ", re.split(r"\s#\s|\s\.\.\.", command)[0]) for command in [*blocks, *in_text]]
    named = {f"{PROGRAM} {name}" for name in SUBCOMMANDS}  # spoken of, not called
    return [
        command.strip()
        for command in found
        if not re.search(r"FLAGS|TOPIC|COMMAND|\[", command) and command not in named
    ]


NODE = "fl-tiprdc deploy node"  # Flower reads its flags, and wants the files: tests/test_processes.py
COMMANDS = sorted(
    command
    for command in {command for page in PAGES for command in commands_in(page.read_text(encoding="utf-8"))}
    if not command.startswith(NODE)
)


class Taken(BaseException):
    """The flags are fine; nothing more is wanted."""


def call(words: list[str]) -> None:
    before = sys.argv
    try:
        if words[0] == "fl-tiprdc":
            program.call(words[1:])  # which says in sys.argv how it was called
        else:
            script = Path(words[1]).with_suffix("")
            importlib.import_module(".".join(script.parts)).main(words[2:])
    finally:
        sys.argv = before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_is_taken(command, monkeypatch, capsys):
    parse = Parser.parse_args

    def parse_and_stop(self, *arguments):
        parsed = parse(self, *arguments)
        if vars(parsed).keys() >= FLAGS_OF_A_RUN:
            parsed.data = None  # people.csv is the reader's
            given_experiment(parsed)
        raise Taken

    monkeypatch.setattr(Parser, "parse_args", parse_and_stop)
    for attacker in PACKAGES:  # the extra may be missing here
        monkeypatch.setitem(PACKAGES, attacker, "numpy")
    try:
        call(shlex.split(command))
    except Taken:
        return
    except SystemExit as ended:  # --help
        if ended.code:
            raise
    assert capsys.readouterr().out  # the catalogue, the completion


def test_there_are_commands_in_the_docs():
    assert len(COMMANDS) > 40
    assert commands_in("    fl-tiprdc run --a b \\\n        --c d # more\n") == ["fl-tiprdc run --a b --c d"]
    assert commands_in("so `fl-tiprdc compare A B ...` does") == ["fl-tiprdc compare A B"]


SMALL = """
[network]
representation = 8
extractor_hidden = [24]
critic_hidden = [16]
[centralized]
steps = 20
[federation]
rounds = 2
"""


def test_the_readmes_three_lines_are_a_run(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^In Python:\n\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    lean = {"attackers": ["logistic"], "probes": ["logistic"], "bootstrap": 20, "further": [], "reconstruct": "never"}
    small = {**tomllib.loads(SMALL), "runtime": "inline", "baselines": [], "lambdas": [1.0], "audit": lean}
    short = block.replace('"clients": 20', f'"clients": 20, **{small}')
    assert short != block
    names: dict[str, Any] = {}
    exec(textwrap.dedent(short), names)
    assert {"centralized", "federated"} <= set(names["points"]["setting"])
    assert (tmp_path / "results").is_dir()


@pytest.mark.timeout(600)
def test_the_tutorial_runs_in_order(tmp_path, monkeypatch, capsys):
    """What the page says, line by line, with a small training."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    steps = re.findall(r"^```python\n((?:.*\n)*?)```|^    (fl-tiprdc (?:.*\\\n)*.*)$", text, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    names: dict[str, object] = {}
    for code, command in steps:
        if code:
            exec(code, names)
        else:
            words = shlex.split(command.replace("\\\n", " "))
            small = ["--config", "small.toml", "--runtime", "inline", "--baselines", ",", "--attacks", "none"]
            call([*words, *(small if words[1] == "run" else ())])
    assert len(steps) == 4
    assert len(names["codes"]) == 3000
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("certifying people, no attacker") + said.count("Not certifiable with") == 3
    assert "Extractor(coded, λ=1, hides sex: 7 -> 8 numbers" in said
    assert (tmp_path / "results" / "people" / "report.html").is_file()


FEW = f"""
runtime = "inline"
track = []
settings = ["federated"]
baselines = []
lambdas = [1.0]
methods = ["coded"]
[dials]
gaussian-noise = [1.0]
[data]
records = 2500
[method.coded.coding]
codes = 8
coupling_rounds = 2
lloyd_rounds = 1
[audit]
attackers = ["logistic"]
probes = ["logistic"]
bootstrap = 20
further = []
reconstruct = "never"
{SMALL}
"""
# words of commands that are run by other tests, or need what isn't here
RUN_ELSEWHERE = ("deploy", "flwr-run", "--ray-address", "--track", "--config", "simulations/", "compare", "RUN")
HERE = {"PUBLICATION": "codes.npz", "LABELS.csv": "people.csv", "FEATURES.csv": "people.csv"}
OWN = "mine/publication/federated/coded/lam-1/seed-0"  # a publication with a certificate of its own


def to_run(page: Path) -> list[str]:
    """Commands of a page's blocks that are run here, in order."""
    commands = commands_in(page.read_text(encoding="utf-8"), spans=False)
    return [command for command in commands if not any(word in command for word in RUN_ELSEWHERE)]


def walks() -> dict[str, list[str]]:
    """Page -> its commands that no page before it has."""
    of: dict[str, list[str]] = {}
    for page in PAGES:
        before = {command for commands in of.values() for command in commands}
        of[str(page.relative_to(ROOT))] = [command for command in to_run(page) if command not in before]
    return {page: commands for page, commands in of.items() if commands and not page.endswith("tutorial.md")}


WALKS = walks()


@pytest.fixture(scope="module")
def a_reader(tmp_path_factory) -> Path:
    """A folder with a table, codes that somebody published, and a run."""
    folder = tmp_path_factory.mktemp("reader")
    (made, *_) = re.findall(r"```python\n((?:.*\n)*?)```", (ROOT / "docs" / "tutorial.md").read_text("utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(made, {})
        (folder / "few.toml").write_text(FEW)
        people = pd.read_csv("people.csv")
        np.savez("codes.npz", z=(people["age"] // 10).to_numpy(np.float32)[:, None])
        table = ["--dataset", "table", "--data", "people.csv", "--private", "sex", "--tasks", "income"]
        call(["fl-tiprdc", "run", *table, "--clients", "20", "--config", "few.toml", "--output", "mine"])
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", WALKS)
def test_the_commands_of_a_page_run_in_order(page, a_reader, monkeypatch, capsys):
    """As they stand, with a small training, in the folder of somebody who has a table, a publication and a run."""
    monkeypatch.chdir(a_reader)
    for command in WALKS[page]:
        begun = time.time()
        words = [HERE.get(word, word) for word in shlex.split(command)]
        if words[1] == "audit" and "--labels" not in words:
            words[2] = OWN
        small = {"run": ["--config", "few.toml"], "audit": ["--config", "few.toml"] if "--labels" in words else []}
        call([*words, *small.get(words[1], [])])
        assert capsys.readouterr().out, command
        if words[1] == "run":
            assert max(path.stat().st_mtime for path in Path("results").glob("*/report.html")) >= begun, command


def test_the_help_of_a_node_is_shown_and_no_node_started(capsys):
    with pytest.raises(SystemExit) as end:
        call(["fl-tiprdc", "deploy", "node", "--help"])
    assert not end.value.code
    assert "--superlink" in capsys.readouterr().out
