"""The study of faults: what goes wrong with real processes, each in a small deployment on this machine.

Four clients train, each a node with a folder and a key of its own, all of them on 127.0.0.1 (as loopback.py's). The run
is done once undisturbed, and once more for each fault, with the same folders. Compared are the SHA-256 of all parts
that are published: the same sums mean the same model, the same releases, and noise that wasn't drawn anew.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from fl_tiprdc.command_line.flags import experiment_parser, read_run
from fl_tiprdc.deploy.certificates import LOOPBACK, make_certificates, make_node_key
from fl_tiprdc.deploy.loopback import interrupt
from fl_tiprdc.deploy.processes import LoopbackDeployment
from fl_tiprdc.deploy.split import client_folder, coordinator_folder, split
from fl_tiprdc.errors import InputError, RunFailedError
from fl_tiprdc.flower.coordinator import PEOPLE
from fl_tiprdc.studies.trial import CLIENTS, FAILED, PLAIN, Ending, Setup, Trial, end, kill, last_line, refusal

ROWS = 1500
LAST = CLIENTS - 1  # the client to whom it happens
LATE = 10.0  # seconds that a late node comes late
CLOCK = 3600  # seconds that a clock is off
COLUMNS = ("fault", "ended", "same_publication", "last_line", "seconds")
NOT_TRIED = "not tried"
TRAINED, PUBLISHED = "training.safetensors", "release.json"  # files that show how far a run is
PATIENT, CODED = ("tiprdc", 0.25), ("coded", 0.0)
Fault = Callable[[Trial], Ending]


def undisturbed(trial: Trial) -> Ending:
    """Do nothing."""
    return trial.end_of(trial.submit())


def killed_node(trial: Trial) -> Ending:
    """Kill a node in mid-training and start it again at once; the run may need --resume."""
    run = trial.submit()
    trial.until(TRAINED, run)
    kill(trial.nodes[LAST])
    said = trial.bring(LAST)
    first = trial.end_of(run)
    ending = trial.resumed(first)
    return Ending(ending.ended, " | ".join(filter(None, [said and f"node: {said}", ending.line])))


def late_node(trial: Trial) -> Ending:
    """Start a node after the run."""
    end(trial.nodes[LAST])
    run = trial.submit()
    time.sleep(LATE)
    trial.bring(LAST)
    return trial.end_of(run)


def silent_node(trial: Trial) -> Ending:
    """Stop a node in mid-training: it is there, and doesn't answer. When the run has ended it wakes up."""
    run = trial.submit()
    trial.until(TRAINED, run)
    os.killpg(trial.nodes[LAST].pid, signal.SIGSTOP)
    try:
        first = trial.end_of(run)
    finally:
        os.killpg(trial.nodes[LAST].pid, signal.SIGCONT)
    return trial.resumed(first)


def killed_server(trial: Trial) -> Ending:
    """Kill the ServerApp when the first of two releases is published; then --resume."""
    run = trial.submit()
    trial.until(PUBLISHED, run)
    for process in psutil.Process(trial.superlink.pid).children(recursive=True):
        if any("serverapp" in word for word in process.cmdline()):
            process.kill()
    return trial.resumed(trial.end_of(run))


def restarted_superlink(trial: Trial) -> Ending:
    """Kill the SuperLink in mid-training, start it again, register the keys, --resume; nodes that end are restarted."""
    run = trial.submit()
    trial.until(TRAINED, run)
    kill(trial.superlink)
    trial.superlink = trial.deployment.start_superlink()
    trial.register()
    first = trial.end_of(run)
    for client in range(CLIENTS):
        if trial.nodes[client].poll() is not None:
            trial.bring(client)
    return trial.resumed(first)


def stranger(trial: Trial) -> Ending:
    """Start a node with a key that nobody has registered, which says to be the last client."""
    run = trial.submit()
    node = trial.start(LAST, make_node_key(trial.deployment.keys, "stranger"), "stranger")
    return turned_away(trial, node, "stranger", run)


def wrong_key(trial: Trial) -> Ending:
    """Start a client's node with a key that isn't its own, then with its own."""
    end(trial.nodes[LAST])
    node = trial.start(LAST, make_node_key(trial.deployment.keys, "wrong"), "wrong")
    return turned_away(trial, node, "wrong", trial.submit())


def wrong_clock(seconds: int, trial: Trial) -> Ending:
    """Start a node whose clock is off; if it is turned away, again with the right time.

    Raises:
        InputError: there is nothing to make a clock wrong with.
    """
    library, compiler = trial.root / "wrong_clock.so", shutil.which("cc")
    source = Path(__file__).with_name("wrong_clock.c")
    command = [compiler or "", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    if sys.platform != "linux" or compiler is None or subprocess.run(command, check=False).returncode:
        raise InputError("a wrong clock takes Linux and a C compiler")
    end(trial.nodes[LAST])
    own = {"LD_PRELOAD": str(library), "CLOCK_OFF": str(seconds)}
    os.environ.update(own)
    try:
        node = trial.nodes[LAST] = trial.start(LAST, name="clock")
    finally:
        for name in own:
            del os.environ[name]
    try:
        return turned_away(trial, node, "clock", trial.submit())
    finally:
        if node.poll() is None:  # the next trial's clocks are right
            kill(node)


def turned_away(trial: Trial, node: subprocess.Popen[bytes], name: str, run: subprocess.Popen[bytes]) -> Ending:
    """Return how a run ends beside a node that should end by itself, with its line; its client's own comes then."""
    try:
        node.wait(60)
        said = refusal(trial.deployment.log(name))
    except subprocess.TimeoutExpired:
        said = f"the node isn't turned away: {last_line(trial.deployment.log(name))}"
        if trial.nodes[LAST] is not node:
            kill(node)
    if trial.nodes[LAST].poll() is not None:
        trial.bring(LAST)
    ending = trial.end_of(run)
    return Ending(ending.ended, " | ".join(filter(None, [f"node: {said}", ending.line])))


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Put a disk that has no room there; needs root.

    Raises:
        InputError: it can't be put there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise InputError("a small disk can't be mounted: it needs root")
    try:
        (folder / "full").write_bytes(bytes(4096))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full_disk(trial: Trial) -> Ending:
    """Fill the disk on which a client keeps the extractor and the codes that a fit asks about."""
    with full(client_folder(trial.root, LAST) / "kept"):
        return undisturbed(trial)


FAULTS: dict[str, tuple[Fault, Setup]] = {
    "a node is killed and comes back": (killed_node, PLAIN),
    "a node comes late": (late_node, PLAIN),
    "the server is killed": (killed_server, PLAIN),
    "a stranger": (stranger, PLAIN),
    "a wrong key": (wrong_key, PLAIN),
    "a clock is an hour ahead": (partial(wrong_clock, CLOCK), PLAIN),
    "a clock is an hour behind": (partial(wrong_clock, -CLOCK), PLAIN),
    "a node stops answering": (silent_node, PLAIN),
    "the SuperLink is killed": (restarted_superlink, PLAIN),
    "a client's disk is full": (full_disk, CODED),
    "a node stops answering and a quarter may fail": (silent_node, PATIENT),
}


def published(output: Path) -> dict[str, str]:
    """Return the SHA-256 of each part of all releases in a folder of results; none if there is no such folder."""
    return {
        f"{manifest.parent.relative_to(output)}/{name}": part["sha256"]
        for manifest in sorted(output.rglob(PUBLISHED))
        for name, part in json.loads(manifest.read_text())["parts"].items()
    }


def row_of(name: str, ending: Ending, parts: Mapping[str, str], wanted: Mapping[str, str], seconds: float) -> list[str]:
    """Return one line of the table."""
    same = str(parts == wanted).lower() if parts else ""
    return [name, ending.ended, same, ending.line, f"{seconds:.0f}"]


def chosen(words: str | None) -> list[str]:
    """Return the faults whose names have one of these words in them; all without words.

    Raises:
        InputError: a word is in none.
    """
    wanted = [word.strip() for word in words.split(",")] if words else [""]
    for word in wanted:
        if not any(word in name for name in FAULTS):
            raise InputError(f"no fault is called '{word}': choose from {', '.join(FAULTS)}")
    return [name for name in FAULTS if any(word in name for word in wanted)]


def write_people(path: Path) -> None:
    """Write a table of made-up people."""
    draw = np.random.default_rng(0)
    sex, age = draw.integers(0, 2, ROWS), draw.normal(40, 10, ROWS).round(1)
    rich = (age + 8 * sex + draw.normal(0, 6, ROWS) > 45).astype(int)
    hours = (draw.normal(30, 5, ROWS) + 4 * sex).round(1)
    columns = {"age": age, "hours": hours, "sex": np.array(["f", "m"])[sex], "rich": rich}
    pd.DataFrame(columns).to_csv(path, index=False)


def write_folders(root: Path) -> None:
    """Write the folders and keys of a small deployment, without people whom the server could audit."""
    write_people(root / "people.csv")
    flags = ["--dataset=table", f"--data={root / 'people.csv'}", "--private=sex", "--tasks=rich"]
    split(*read_run(experiment_parser("").parse_args([*flags, f"--clients={CLIENTS}"])), root)
    (coordinator_folder(root) / PEOPLE).unlink()
    make_certificates(root / "keys", LOOPBACK)
    for client in range(CLIENTS):
        make_node_key(root / "keys", client)


def attempt(trial: Trial, fault: Fault, setup: Setup) -> tuple[Ending, dict[str, str], float]:
    """Try one fault: how it ended, what was published, and how many seconds it took."""
    began = time.monotonic()
    try:
        trial.whole(setup)
        began = time.monotonic()
        ending = fault(trial)
    except InputError as error:
        ending = Ending(NOT_TRIED, str(error))
    except RunFailedError as error:
        ending = Ending(FAILED, str(error))
    return ending, published(trial.output), time.monotonic() - began


def try_all(trial: Trial, names: Sequence[str], say: Callable[[list[str]], None]) -> None:
    """Try faults, each method undisturbed first, and tell each one's line."""
    wanted: dict[str, dict[str, str]] = {}
    for name in names:
        fault, setup = FAULTS[name]
        if setup[0] not in wanted:
            ending, wanted[setup[0]], seconds = attempt(trial, undisturbed, (setup[0], 0.0))
            say(row_of(f"none ({setup[0]})", ending, wanted[setup[0]], wanted[setup[0]], seconds))
        ending, parts, seconds = attempt(trial, fault, setup)
        say(row_of(name, ending, parts, wanted[setup[0]], seconds))


def study_faults(names: Sequence[str], output: Path, logs: Path | None, say: Callable[[list[str]], None]) -> None:
    """Try faults one after the other, and write the table after each.

    Args:
        names: in `FAULTS`.
        output: the table.
        logs: folder that keeps the processes' logs; None: they are lost.
        say: told each row.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    rows: list[list[str]] = []

    def keep(row: list[str]) -> None:
        rows.append(row)
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(output, index=False)
        say(row)

    signal.signal(signal.SIGTERM, interrupt)  # a kind kill, too, ends the processes
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
        root = Path(folder)
        write_folders(root)
        with LoopbackDeployment(root / "flower", root / "keys") as deployment:
            try:
                try_all(Trial(deployment, root), names, keep)
            finally:
                if logs:
                    logs.mkdir(parents=True, exist_ok=True)
                    for log in (*root.glob("*.log"), *root.glob("flower/*.log")):
                        shutil.copy(log, logs / log.name)
