"""What goes wrong with real processes: each fault is tried in a small deployment on this machine, and told in a table.

python simulations/deploy/faults.py --output results/faults.csv

Four clients train, each a node with a folder and a key of its own, all of them on 127.0.0.1 (loopback.py). The run is
done once undisturbed, and once more for each fault, with copies of the same folders. Compared are the SHA-256 of all
parts that are published: the same sums mean the same model, the same releases, and noise that wasn't drawn anew.
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
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from rich.console import Console

from fl_tiprdc.errors import InputError, RunFailedError
from simulations.command_line import Parser, experiment_parser, guard, read_experiment
from simulations.deploy.certificates import LOOPBACK, make_certificates, make_node_key, node_key
from simulations.deploy.processes import CONNECTION, LoopbackDeployment
from simulations.deploy.split import client_folder, coordinator_folder, split
from simulations.flower.commands import flower_environment
from simulations.flower.coordinator import PEOPLE
from simulations.running.results import ROOT, unfinished

CLIENTS, ROWS = 4, 1500
LAST = CLIENTS - 1  # the client to whom it happens
ANSWER = 25  # seconds that the server waits for an exchange
PATIENCE = 300.0  # seconds after which a run hangs
LATE = 10.0  # seconds that a late node comes late
CLOCK = 3600  # seconds that a clock is off
COLUMNS = ("fault", "ended", "same_publication", "last_line", "seconds")
COMPLETED, FAILED, HANGS, NOT_TRIED = "completed", "failed", "hangs", "not tried"
TRAINED, PUBLISHED = "training.safetensors", "release.json"  # files that show how far a run is
SETTINGS = """
baselines = []
lambdas = [0.2, 0.8]
[federation]
rounds = 3
timeout = {timeout}
allowed_failures = {allowed}
updates_per_round = 2
[network]
representation = 8
extractor_hidden = [24]
adversary_hidden = [16]
critic_hidden = [16]
critic_embedding = 8
[method.tiprdc]
channel = true
[method.coded.coding]
codes = 8
coupling_rounds = 4
lloyd_rounds = 1
"""


@dataclass(frozen=True)
class Ending:
    """How a run ended: its status, and the last line that it said."""

    ended: str
    line: str


class Trial:
    """One deployment, in a folder of its own.

    Args:
        deployment: its processes.
        root: clients' folders, keys, settings; the results come here.
        methods: what is trained.
        allowed: share of the clients that may fail.
    """

    def __init__(self, deployment: LoopbackDeployment, root: Path, methods: str = "tiprdc", allowed: float = 0) -> None:
        self.deployment, self.root, self.methods = deployment, root, methods
        self.output, self.config = root / "run", root / "settings.toml"
        self.config.write_text(SETTINGS.format(timeout=ANSWER, allowed=allowed))

    def node(self, client: int, key: Path | None = None, name: str = "") -> subprocess.Popen[bytes]:
        """Start a client's node; with another key than its own, if one is given."""
        folder = client_folder(self.root, client)
        config: dict[str, str | int | float] = {"data": str(folder), "partition-id": client}
        own = node_key(self.deployment.keys, client)
        return self.deployment.start_node(name or f"node-{client}", key or own, config)

    def register(self) -> None:
        """Tell the SuperLink all clients' keys."""
        for client in range(CLIENTS):
            self.deployment.register(node_key(self.deployment.keys, client))

    def submit(self, resume: bool = False) -> subprocess.Popen[bytes]:
        """Start the run, as the coordinator does."""
        flags = [f"--connection={CONNECTION}", f"--coordinator={coordinator_folder(self.root)}"]
        flags += [f"--config={self.config}", f"--output={self.output}", f"--methods={self.methods}"]
        flags += [f"--clients={CLIENTS}", *(["--resume"] if resume else [])]
        with self._said.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "simulations" / "flwr_run.py"), *flags],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=flower_environment(self.deployment.home),
            )

    def end_of(self, run: subprocess.Popen[bytes]) -> Ending:
        """Wait until a run has ended, or hangs."""
        try:
            ended = FAILED if run.wait(PATIENCE) else COMPLETED
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            ended = HANGS
        return Ending(ended, last_line(self._said))

    def until(self, name: str, run: subprocess.Popen[bytes]) -> None:
        """Wait until the run has written a file of this name.

        Raises:
            RunFailedError: it ends before.
        """
        while not any(unfinished(self.output).rglob(name)):
            if run.poll() is not None:
                raise RunFailedError(f"the run ended before there was {name}: {last_line(self._said)}")
            time.sleep(0.02)

    def resumed(self, first: Ending) -> Ending:
        """Go on with a run that has failed; the line is the failure's."""
        if first.ended != FAILED:
            return first
        second = self.end_of(self.submit(resume=True))
        line = first.line if second.ended == COMPLETED else second.line
        return Ending(f"{first.ended}, with --resume {second.ended}", line)

    @property
    def _said(self) -> Path:
        return self.root / "run.log"


Nodes = Sequence[subprocess.Popen[bytes]]
Fault = Callable[[Trial, subprocess.Popen[bytes]], Ending]  # the trial has its SuperLink, no node and no run yet


def last_line(said: Path) -> str:
    """The last line of a log, without the folders that only this trial had."""
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].replace(str(said.parent), "…") if lines else ""


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it has started, as a power failure does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def all_nodes(trial: Trial) -> Nodes:
    """Start all clients' nodes."""
    return [trial.node(client) for client in range(CLIENTS)]


def undisturbed(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Do nothing."""
    all_nodes(trial)
    return trial.end_of(trial.submit())


def killed_node(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Kill a node in mid-training and start it again at once; the run may need --resume."""
    nodes, run = all_nodes(trial), trial.submit()
    trial.until(TRAINED, run)
    kill(nodes[LAST])
    trial.node(LAST)
    return trial.resumed(trial.end_of(run))


def late_node(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Start a node after the run."""
    for client in range(LAST):
        trial.node(client)
    run = trial.submit()
    time.sleep(LATE)
    trial.node(LAST)
    return trial.end_of(run)


def missing_node(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Never start a node."""
    for client in range(LAST):
        trial.node(client)
    return trial.end_of(trial.submit())


def silent_node(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Stop a node in mid-training: it is there, and never answers."""
    nodes, run = all_nodes(trial), trial.submit()
    trial.until(TRAINED, run)
    os.killpg(nodes[LAST].pid, signal.SIGSTOP)
    try:
        return trial.end_of(run)
    finally:
        kill(nodes[LAST])


def wakes_up(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Stop a node in mid-training until the run has failed; then it goes on, and so does the run."""
    nodes, run = all_nodes(trial), trial.submit()
    trial.until(TRAINED, run)
    os.killpg(nodes[LAST].pid, signal.SIGSTOP)
    try:
        first = trial.end_of(run)
    finally:
        os.killpg(nodes[LAST].pid, signal.SIGCONT)
    return trial.resumed(first)


def killed_server(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Kill the ServerApp when the first of two releases is published and the second in training; then --resume."""
    all_nodes(trial)
    run = trial.submit()
    trial.until(PUBLISHED, run)
    for process in psutil.Process(superlink.pid).children(recursive=True):
        if any("serverapp" in word for word in process.cmdline()):
            process.kill()
    return trial.resumed(trial.end_of(run))


def restarted_superlink(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Kill the SuperLink in mid-training, start it again, register the keys, --resume; nodes are left alone."""
    all_nodes(trial)
    run = trial.submit()
    trial.until(TRAINED, run)
    kill(superlink)
    trial.deployment.start_superlink()
    trial.register()
    return trial.resumed(trial.end_of(run))


def stranger(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Start a node with a key that nobody has registered, who says to be the last client."""
    all_nodes(trial)
    node = trial.node(LAST, make_node_key(trial.deployment.keys, "stranger"), "stranger")
    ending = trial.end_of(trial.submit())
    return Ending(ending.ended, turned_away(trial, node, "stranger"))


def wrong_key(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Start a client's node with a wrong key, then with its own."""
    for client in range(LAST):
        trial.node(client)
    node = trial.node(LAST, make_node_key(trial.deployment.keys, "wrong"), "wrong")
    run = trial.submit()
    line = turned_away(trial, node, "wrong")
    trial.node(LAST)
    return Ending(trial.end_of(run).ended, line)


def turned_away(trial: Trial, node: subprocess.Popen[bytes], name: str) -> str:
    """What a node says that has to end by itself."""
    try:
        node.wait(60)
    except subprocess.TimeoutExpired:
        return "the node isn't turned away"
    return last_line(trial.deployment.log(name))


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


def full_disk(trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Have no room in a client's folder for the extractors that a code fit asks about."""
    with full(client_folder(trial.root, LAST) / "extractors"):
        all_nodes(trial)
        ending = trial.end_of(trial.submit())
    return ending


def wrong_clock(seconds: int, trial: Trial, superlink: subprocess.Popen[bytes]) -> Ending:
    """Start a node whose clock is off; and, if it is turned away, again with the right time."""
    found = os.environ.get("LIBFAKETIME") or next(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), "")
    if not found:
        raise InputError("libfaketime isn't installed")
    for client in range(LAST):
        trial.node(client)
    own = {"LD_PRELOAD": found, "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    os.environ.update(own)
    try:
        node = trial.node(LAST, name="clock")
    finally:
        for name in own:
            del os.environ[name]
    run = trial.submit()
    line = turned_away(trial, node, "clock")
    if node.poll() is None:
        return trial.end_of(run)
    trial.node(LAST)
    return Ending(f"{trial.end_of(run).ended} with the right time", line)


PLAIN, PATIENT, CODED = ("tiprdc", 0.0), ("tiprdc", 0.25), ("coded", 0.0)
FAULTS: dict[str, tuple[Fault, tuple[str, float]]] = {  # by name, with the method and the failures that are allowed
    "a node is killed and comes back": (killed_node, PLAIN),
    "a node comes late": (late_node, PLAIN),
    "a node never comes": (missing_node, PLAIN),
    "a node stops answering": (silent_node, PLAIN),
    "a node stops answering, a quarter may fail": (silent_node, PATIENT),
    "a node stops answering and wakes up": (wakes_up, PLAIN),
    "the server is killed": (killed_server, PLAIN),
    "the SuperLink is killed": (restarted_superlink, PLAIN),
    "a stranger": (stranger, PLAIN),
    "a wrong key": (wrong_key, PLAIN),
    "a client's disk is full": (full_disk, CODED),
    "a clock an hour ahead": (partial(wrong_clock, CLOCK), PLAIN),
    "a clock an hour behind": (partial(wrong_clock, -CLOCK), PLAIN),
}


def published(output: Path) -> dict[str, str]:
    """The SHA-256 of each part of all releases in a folder of results; none if there is no such folder."""
    return {
        f"{manifest.parent.relative_to(output)}/{name}": part["sha256"]
        for manifest in sorted(output.rglob(PUBLISHED))
        for name, part in json.loads(manifest.read_text())["parts"].items()
    }


def row_of(name: str, ending: Ending, parts: Mapping[str, str], wanted: Mapping[str, str], seconds: float) -> list[str]:
    """One line of the table."""
    same = str(parts == wanted).lower() if parts else ""
    return [name, ending.ended, same, ending.line, f"{seconds:.0f}"]


def write_people(path: Path) -> None:
    """Write a table of made-up people."""
    draw = np.random.default_rng(0)
    sex, age = draw.integers(0, 2, ROWS), draw.normal(40, 10, ROWS).round(1)
    rich = (age + 8 * sex + draw.normal(0, 6, ROWS) > 45).astype(int)
    hours = (draw.normal(30, 5, ROWS) + 4 * sex).round(1)
    columns = {"age": age, "hours": hours, "sex": np.array(["f", "m"])[sex], "rich": rich}
    pd.DataFrame(columns).to_csv(path, index=False)


def attempt(fault: Fault, setup: tuple[str, float], folders: Path, root: Path) -> tuple[Ending, dict[str, str], float]:
    """Try one fault: how it ended, what was published, and the seconds from the nodes' start."""
    shutil.copytree(folders, root)
    method, allowed = setup
    with LoopbackDeployment(root / "flower", root / "keys") as deployment:
        trial = Trial(deployment, root, method, allowed)
        superlink = deployment.start_superlink()
        trial.register()
        began = time.monotonic()
        try:
            ending = fault(trial, superlink)
        except InputError as error:
            ending = Ending(NOT_TRIED, str(error))
        except RunFailedError as error:
            ending = Ending(FAILED, str(error))
        seconds = time.monotonic() - began
    return ending, published(trial.output), seconds


def chosen(names: str | None) -> list[str]:
    """The faults whose names have one of these words in them; all without words.

    Raises:
        InputError: a word is in none.
    """
    words = [word.strip() for word in names.split(",")] if names else [""]
    for word in words:
        if not any(word in name for name in FAULTS):
            raise InputError(f"no fault is called '{word}': choose from {', '.join(FAULTS)}")
    return [name for name in FAULTS if any(word in name for word in words)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, try one after the other, write the table after each."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--output", type=Path, default=Path("faults.csv"), help="the table (default: %(default)s)")
    parser.add_argument("--only", help="words in the names of faults to try, with commas (default: all)")
    parser.add_argument("--logs", type=Path, help="folder that keeps the processes' logs (default: none)")
    parsed = parser.parse_args(arguments)
    names = chosen(parsed.only)
    console = Console(width=160)
    rows: list[list[str]] = []
    undisturbed_parts: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
        root = Path(folder)
        folders = root / "folders"
        table, keys = root / "people.csv", folders / "keys"
        write_people(table)
        flags = ["--dataset=table", f"--data={table}", "--private=sex", "--tasks=rich", f"--clients={CLIENTS}"]
        split(read_experiment(experiment_parser("").parse_args(flags)), folders)
        (coordinator_folder(folders) / PEOPLE).unlink()  # without an audit
        make_certificates(keys, LOOPBACK)
        for client in range(CLIENTS):
            make_node_key(keys, client)

        def note(name: str, fault: Fault, setup: tuple[str, float]) -> None:
            place = root / f"trial-{len(rows)}"
            ending, parts, seconds = attempt(fault, setup, folders, place)
            wanted = undisturbed_parts.setdefault(setup[0], parts)
            rows.append(row_of(name, ending, parts, wanted, seconds))
            parsed.output.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(parsed.output, index=False)
            if parsed.logs:
                for log in (*place.glob("*.log"), *place.glob("flower/*.log")):
                    target = parsed.logs / name.replace(" ", "-")
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copy(log, target / log.name)
            console.print(": ".join([name, *rows[-1][1:]]), highlight=False, markup=False)

        for name in names:
            fault, setup = FAULTS[name]
            if setup[0] not in undisturbed_parts:
                note(f"none ({setup[0]})", undisturbed, (setup[0], 0.0))
            note(name, fault, setup)


if __name__ == "__main__":
    guard(main)
