"""Nodes whose client process stays, and how far a run with them is. With Flower's own processes: test_processes.py."""

import io
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import flwr
import numpy as np
import psutil
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.run import RunNotRunningException
from flwr.supernode import start_client_internal
from rich.console import Console

from fl_tiprdc.command_line.flags import experiment_parser
from fl_tiprdc.deploy import patched_supernode
from fl_tiprdc.deploy.loopback import methods_of
from fl_tiprdc.deploy.node import run_node
from fl_tiprdc.deploy.processes import LoopbackDeployment
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.local_messages import identify, stamp
from fl_tiprdc.flower.packed import PackingGrid, pack, unpack, unpacking
from fl_tiprdc.flower.progress import Shown, Teller, in_words
from fl_tiprdc.wire.messages import pack_arrays, unpack_arrays

pytestmark = pytest.mark.alone  # it measures time


def test_the_patched_module_waits_where_the_patch_expects_it():
    source = Path(start_client_internal.__file__).read_text()
    assert re.findall(r"\btime\.(\w.*)\n", source) == ["sleep(3)", "sleep(0.5)", "sleep(0.5)"]


def test_an_idle_node_waits_longer_and_longer_and_a_message_begins_anew():
    told: list[None] = []
    slept: list[float] = []  # seconds
    waits = patched_supernode.ShorterWaits(lambda: told.append(None), slept.append)
    for _ in range(40):
        waits.sleep(3)
    assert slept[0] == patched_supernode.FIRST
    assert slept == sorted(slept)
    assert slept[-1] == 3
    assert not told
    waits.sleep(0.5)
    assert len(told) == 1
    waits.sleep(3)
    assert slept[-2:] == [patched_supernode.LOOK, patched_supernode.FIRST]


def test_another_version_of_flower_is_not_patched(monkeypatch):
    before = start_client_internal.time
    monkeypatch.setattr(flwr, "__version__", "1.43.0")
    with pytest.raises(InputError, match=r"flwr 1\.43\.0: .* start flower-supernode"):
        patched_supernode.patch_supernode(lambda: None)
    assert start_client_internal.time is before


@pytest.mark.parametrize("ended", ["pull_object", "confirm_message_received"])
def test_a_message_whose_run_ends_while_it_is_pulled_fails_as_others_do(ended):
    """Flower's own function tidies up after an Exception; the one for ended runs is none, and goes past that."""
    assert not issubclass(RunNotRunningException, Exception)

    def refuse(*words):
        raise RunNotRunningException

    def pull(*, pull_object, confirm_message_received, state):
        try:
            pull_object(1, "object")
            confirm_message_received(1, "message")
        except Exception as error:
            return f"{state}: {error}"

    asked = {"pull_object": len, "confirm_message_received": len} | {ended: refuse}
    asked = {name: ask if ask is refuse else lambda *words: b"" for name, ask in asked.items()}
    assert patched_supernode.tidied(pull)(**asked, state="tidied") == "tidied: its run has ended"


@pytest.mark.parametrize("flag", ["--isolation", "--isolation=subprocess", "--superexec-auth-secret-file=x"])
def test_flags_that_a_staying_node_decides_are_refused(flag):
    with pytest.raises(InputError, match="starts its client process itself"):
        run_node(["--insecure", flag])


FORKED = """
import os
from fl_tiprdc.deploy.node import in_a_fork

def work(end):
    if end is not None:
        raise end

for end in (None, SystemExit(3), SystemExit("no"), ValueError()):
    print(os.waitstatus_to_exitcode(os.waitpid(in_a_fork(lambda: work(end)), 0)[1]))
"""


def test_a_forked_process_ends_with_its_work():
    # in a process of its own: this one may have Ray's threads, which a fork leaves locked
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.split() == ["0", "3", "1", "1"]
    assert "ValueError" in done.stderr


STARTS_ANOTHER = """
import signal, subprocess, sys
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=True) as started:
    print(started.stdout.readline(), started.pid, flush=True)
    signal.pause()
"""


def test_what_a_process_has_started_in_another_session_ends_with_the_deployment(tmp_path):
    with LoopbackDeployment(tmp_path / "flower", tmp_path / "keys") as deployment:  # a SuperLink's SuperExec is such
        deployment._start("superlink", [sys.executable, "-c", STARTS_ANOTHER])
        said, log, end = "", deployment.log("superlink"), time.monotonic() + 30
        while "here" not in said and time.monotonic() < end:
            time.sleep(0.05)
            said = log.read_text()
    number = int(said.split()[-1])
    assert not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE  # for init to reap


def test_a_run_says_how_far_it_is():
    said: list[str] = []
    now = [0.0]
    teller = Teller(said.append, lambda: now[0])
    for done in range(1, 51):
        now[0] += 2.0
        teller.of(done, 50)
    assert said[0] == "exchange 1 of about 50, 0:02 spent, about 1:38 left"
    assert said[-1] == "exchange 50 of about 50, 1:40 spent, about 0:00 left"
    assert 15 < len(said) < 20  # one in three
    assert in_words(70, 50, 10).endswith("about 0:00 left")  # there may be more than planned


@pytest.mark.parametrize("terminal", [True, False])
def test_the_terminal_where_it_was_started_shows_it(terminal):
    file = io.StringIO()
    with Shown(Console(file=file, force_terminal=terminal, width=100)) as shown:
        shown.line("[92mINFO [0m: begins [bold]")
        shown.line("exchange 20 of about 50, 0:40 spent, about 1:00 left")
    text = file.getvalue()
    assert "begins [bold]" in text
    assert "about 1:00 left" in text
    assert ("━" in text) == terminal


def test_a_deployment_here_trains_codes_unless_others_are_named(tmp_path):
    def methods(*flags):
        return methods_of(experiment_parser("").parse_args(list(flags)))

    (tmp_path / "a.toml").write_text('methods = ["tiprdc"]\n')
    (tmp_path / "b.toml").write_text("baselines = []\n")
    assert methods() == "coded"
    assert methods(f"--config={tmp_path / 'b.toml'}") == "coded"
    assert methods(f"--config={tmp_path / 'a.toml'}") is None
    assert methods("--methods=tiprdc,tiprdc+") == "tiprdc,tiprdc+"


def test_a_packed_message_is_answered_as_any_other():
    identify()
    content = RecordDict({"group": pack_arrays({"a": np.eye(3, dtype=np.float32)}), "config": ConfigRecord({"b": 1})})

    def double(message, context):
        group = {name: 2 * array for name, array in unpack_arrays(message.content["group"]).items()}
        return Message(RecordDict({"group": pack_arrays(group)}), reply_to=message)

    def asked(content):
        message = stamp(Message(content, dst_node_id=3, message_type="train"))
        return unpacking(message, Context(1, 3, {}, RecordDict(), {}), double).content

    assert len(get_all_nested_objects(pack(content))) == 2  # of Flower's; each is sent by itself
    assert unpack(pack(content)) == content
    np.testing.assert_array_equal(unpack_arrays(unpack(asked(pack(content)))["group"])["a"], 2 * np.eye(3))
    np.testing.assert_array_equal(unpack_arrays(asked(content)["group"])["a"], 2 * np.eye(3))  # of another server


@pytest.mark.parametrize("sent", [b"\xff\xff", "text", None])
def test_what_a_client_has_packed_otherwise_stays_for_the_servers_check(sent):
    identify()
    content = RecordDict({"packed": ConfigRecord({"other": 1} if sent is None else {"bytes": sent})})
    asked = stamp(Message(RecordDict({}), dst_node_id=3, message_type="train"))
    reply = Message(content, reply_to=asked)
    grid = PackingGrid(SimpleNamespace(pull_messages=lambda numbers: [reply]), 1.0)
    assert next(iter(grid.pull_messages(["a"]))).content == content
    with pytest.raises(ValueError, match="isn't a packed content"):
        unpack(content)
