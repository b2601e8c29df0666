"""What somebody new meets: the catalogue, help that fits a screen, a word on a mistyped flag, completion by TAB."""

import importlib
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from fl_tiprdc.__main__ import subcommand_of
from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.catalogue import catalogue
from fl_tiprdc.command_line.help_topics import ALL, MAIN, TOPICS, has_topics, topics_of
from fl_tiprdc.command_line.presets import PRESETS
from fl_tiprdc.command_line.subcommands import SUBCOMMANDS
from fl_tiprdc.commands.catalogue import main as list_contents
from fl_tiprdc.commands.completion import FILES, KINDS, OTHERS, PARSERS, script
from fl_tiprdc.config import AuditConfig, Experiment, NetworkConfig
from fl_tiprdc.data.datasets import DATASETS
from fl_tiprdc.data.partition import PARTITIONERS
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.registry import FURTHER, FurtherAttack
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS
from fl_tiprdc.experiment.tracking.trackers import TRACKERS
from fl_tiprdc.federated.launch import RUNTIMES
from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.hybrid.privacy import PRIVACY
from fl_tiprdc.methods import METHODS, Method, MethodConfig
from fl_tiprdc.models.networks import ARCHITECTURES
from simulations.benchmark import benchmark_parser
from simulations.partitions import partitions_parser
from simulations.updates import updates_parser
from strategies.exchange_plan import EXCHANGES
from strategies.robust import AGGREGATIONS

# with those of studies
ALL_PARSERS = {**PARSERS, "partitions": partitions_parser, "updates": updates_parser, "benchmark": benchmark_parser}


def test_what_is_registered_from_outside_is_listed_with_its_own_line(monkeypatch):
    def own(*_):
        """Do it in another way.

        And more.
        """

    build = replace(ARCHITECTURES["linear"], build=own)
    for registry, thing in (
        (METHODS, Method(MethodConfig(), "Do it in another way")),
        (PARTITIONERS, own),
        (ARCHITECTURES, build),
        (FURTHER, FurtherAttack(own)),
        (RUNTIMES, own),
        (EXCHANGES, own),
        (AGGREGATIONS, lambda hostile: own),
        (CLASSIFIERS, own),
    ):
        monkeypatch.setitem(registry, "mine", thing)
    listed = {kind for kind, section in catalogue().items() if section.lines.get("mine") == "Do it in another way"}
    assert listed == {
        *("methods", "partitions", "architectures", "further-attacks", "runtimes", "exchanges", "aggregations"),
        *("attackers", "probes"),
    }


@pytest.mark.parametrize(
    ("setting", "registry"),
    [
        (Experiment.model_fields["runtime"], RUNTIMES),
        (Experiment.model_fields["partition"], PARTITIONERS),
        (Experiment.model_fields["track"], TRACKERS),
        (AuditConfig.model_fields["further"], FURTHER),
        (NetworkConfig.model_fields["architecture"], ARCHITECTURES),
        (MethodConfig.model_fields["privacy"], PRIVACY),
        (MethodConfig.model_fields["information"], INFORMATION),
        (MethodConfig.model_fields["exchange"], EXCHANGES),
    ],
    ids=["runtime", "partition", "track", "further", "architecture", "privacy", "information", "exchange"],
)
def test_the_description_of_a_setting_names_all_that_is_registered_for_it(setting, registry):
    named = set(re.findall(r"[\w-]+", setting.description))
    assert named >= set(registry)


def test_everything_that_is_registered_is_listed_with_a_line(capsys):
    sections = catalogue()
    for heading, registry in {
        "commands": SUBCOMMANDS,
        "data-sets": DATASETS,
        "methods": METHODS,
        "baselines": BASELINES,
        "further-attacks": FURTHER,
        "runtimes": RUNTIMES,
        "aggregations": AGGREGATIONS,
        "presets": PRESETS,
    }.items():
        assert list(sections[heading].lines) == list(registry)
    for heading, section in sections.items():
        assert section.lines, heading
        for name, text in section.lines.items():
            assert len(text) > 5, f"{heading}: {name} has no description"
            assert "\n" not in text
    assert "simulations/partitions.py" in sections["studies"].lines
    list_contents([])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for heading, section in sections.items():
        assert f"\n{heading} (" in shown
        for name in section.lines:
            assert re.search(rf"^  {re.escape(name)} +\S", shown, re.MULTILINE), name


def test_one_kind_can_be_listed_alone(capsys):
    list_contents(["data-sets"])
    shown = capsys.readouterr().out
    assert "adult" in shown
    assert "multi-krum" not in shown
    with pytest.raises(InputError, match="unknown kind 'colors'"):
        list_contents(["colors"])


@pytest.mark.parametrize(
    ("words", "name", "own"),
    [
        (["run", "--clients", "3"], "run", ["--clients", "3"]),
        (["deploy", "own-table", "people.csv"], "deploy own-table", ["people.csv"]),
        (["methods"], "catalogue", ["methods"]),  # as python -m fl_tiprdc once took it
    ],
)
def test_the_command_finds_its_subcommand(words, name, own):
    assert subcommand_of(words) == (name, own)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["rum"], "unknown command 'rum': did you mean run?"),
        (["deploy", "slpit", "-x"], "unknown command 'deploy slpit': did you mean deploy split?"),
        (
            ["colors"],
            "unknown command 'colors': choose one of run, audit, compare, catalogue, flwr-run, completion, deploy",
        ),
    ],
)
def test_an_unknown_command_is_told_what_there_is(words, meant):
    with pytest.raises(InputError) as error:
        subcommand_of(words)
    assert str(error.value).startswith(meant)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_can_be_called(name):
    assert callable(importlib.import_module(SUBCOMMANDS[name].module).main)


@pytest.mark.parametrize("name", ALL_PARSERS)
def test_help_fits_a_screen_and_topics_have_every_flag(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    build = ALL_PARSERS[name]

    def lines(*words: str) -> list[str]:
        with pytest.raises(SystemExit) as stop:
            build().parse_args(["--help", *words])
        assert stop.value.code == 0
        return capsys.readouterr().out.splitlines()

    first = lines()
    assert len(first) <= {"run": 24, "updates": 46, "audit": 42}.get(name, 40)  # those have a dozen flags of their own
    assert max(map(len, first)) <= 80 or name != "run"
    parser = build()
    assert has_topics(parser.actions) == any("--help TOPIC has more" in line for line in first)
    if not has_topics(parser.actions):
        return
    shown = "\n".join(first)
    topics = shown.partition("Topics are")[2].replace(".", "").replace(",", "").split()
    assert topics == [*topics_of(parser.actions), ALL]
    for topic in topics_of(parser.actions):
        of_topic = lines(topic)
        assert len(of_topic) <= 24
        shown += "\n".join(of_topic)
    everything = "\n".join(lines(ALL))
    for action in parser.actions:
        for option in action.option_strings:
            assert option in everything, option
            assert option in shown or action.dest == "help", option


def test_topics_name_flags_that_there_are():
    flags = {action.dest for action in PARSERS["run"]().actions}
    for name, topic in TOPICS.items():
        assert set(topic.flags) <= flags, name
    assert set(MAIN) <= flags


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rouns", "3"], "unrecognized arguments: --rouns 3; did you mean --rounds? (--help lists the flags)"),
        (["--help", "colors"], "no help on 'colors': choose from data, methods, federation"),
        (["--clients"], "argument --clients: expected one argument (--help lists the flags)"),
    ],
)
def test_a_wrong_flag_gets_one_line_and_status_2(flags, message, capsys):
    with pytest.raises(SystemExit) as stop:
        PARSERS["run"]().parse_args(flags)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


# ---- completion


def test_completed_flags_exist():
    flags = {action.dest for build in PARSERS.values() for action in build().actions}
    assert {*KINDS, *FILES, *OTHERS} <= flags
    assert set(KINDS.values()) <= set(catalogue())
    assert set(PARSERS) <= set(SUBCOMMANDS)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """What TAB gives at the end of a command."""
    pytest.importorskip("shtab")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    path = tmp_path_factory.mktemp("completion") / "completion.bash"
    path.write_text(script())

    def run(*command: str) -> list[str]:
        text = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=(); _shtab_fl_tiprdc "$1"'
        text += '; printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(
            [bash, "-c", text, str(path), *command], capture_output=True, text=True, check=True, cwd=path.parent
        )
        assert done.stderr == ""
        return done.stdout.split()

    return run


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (("fl-tiprdc", "comp"), ["compare", "completion"]),
        (("fl-tiprdc", "deploy", "own"), ["own-table"]),
        (("fl-tiprdc", "run", "--data"), ["--dataset", "--data", "--data-root"]),
        (("fl-tiprdc", "run", "--dataset", "ad"), ["adult"]),
        (("fl-tiprdc", "run", "--methods", "tiprdc,pa"), ["tiprdc,pat"]),
        (("fl-tiprdc", "run", "--clients", "3", "--help", "fed"), ["federation"]),
        (("fl-tiprdc", "run", "--config", "base"), ["baselines"]),
        (("fl-tiprdc", "run", "--config", "compl"), ["completion.bash"]),  # a file
        (("fl-tiprdc", "audit", "--attacks", "le"), ["leaks"]),
        (("fl-tiprdc", "catalogue", "run"), ["runtimes"]),
    ],
)
def test_tab_completes(complete, command, wanted):
    assert complete(*command) == wanted
