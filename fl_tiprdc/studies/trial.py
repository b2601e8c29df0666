"""A small deployment on this machine in which something goes wrong, and is made whole again."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fl_tiprdc.deploy.certificates import node_key
from fl_tiprdc.deploy.processes import CONNECTION, LoopbackDeployment
from fl_tiprdc.deploy.split import client_folder, coordinator_folder
from fl_tiprdc.errors import RunFailedError
from fl_tiprdc.experiment.run_folder import unfinished
from fl_tiprdc.flower.commands import flower_environment

CLIENTS = 4
ANSWER = 30  # seconds that the server waits for an exchange
PATIENCE = 300.0  # seconds after which a run hangs
AGAIN = 15  # times that a node is started again: Flower takes it for there up to 60 s after it was killed
COMPLETED, FAILED, HANGS = "completed", "failed", "hangs"
ACTIVE = "SuperNode ID"  # what a node says that was let in
SETTINGS = """
baselines = []
lambdas = [0.2, 0.8]
[federation]
rounds = 1
timeout = {timeout}
allowed_failures = {allowed}
updates_per_round = 1
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
coupling_rounds = 2
lloyd_rounds = 1
"""
Setup = tuple[str, float]  # the method, and the share of the clients that may fail
PLAIN = ("tiprdc", 0.0)


@dataclass(frozen=True)
class Ending:
    """Hold how a run ended: its status, and the line that tells the operator."""

    ended: str
    line: str


class Trial:
    """Keep a deployment that is whole when a fault begins, and make it whole again after it.

    Args:
        deployment: its processes.
        root: clients' folders; the runs' results come here.
    """

    def __init__(self, deployment: LoopbackDeployment, root: Path) -> None:
        self.deployment, self.root = deployment, root
        self.superlink = deployment.start_superlink()
        self.nodes: dict[int, subprocess.Popen[bytes]] = {}
        self._count, self._setup = 0, PLAIN
        self.register()

    def register(self) -> None:
        """Tell the SuperLink all clients' keys."""
        for client in range(CLIENTS):
            self.deployment.register(node_key(self.deployment.keys, client))

    def start(self, client: int, key: Path | None = None, name: str = "") -> subprocess.Popen[bytes]:
        """Start a node for a client's folder; with another key than its own, if one is given."""
        own, folder = node_key(self.deployment.keys, client), client_folder(self.root, client)
        return self.deployment.start_node(client, key or own, folder, name or f"node-{client}")

    def bring(self, client: int) -> str:
        """Start a client's node, again and again as a service manager does; what it said when it was turned away.

        Raises:
            RunFailedError: it never is let in.
        """
        said = ""
        for _ in range(AGAIN):
            node = self.nodes[client] = self.start(client)
            log = self.deployment.log(f"node-{client}")
            while node.poll() is None:
                if ACTIVE in log.read_text(errors="replace"):
                    return said
                time.sleep(0.1)
            said = refusal(log)
        raise RunFailedError(f"node {client} isn't let in again: {said}")

    def whole(self, setup: Setup) -> None:
        """Start the nodes that are missing, and begin a new folder of results."""
        self._count, self._setup = self._count + 1, setup
        for client in range(CLIENTS):
            if client not in self.nodes or self.nodes[client].poll() is not None:
                self.bring(client)
        self._config.write_text(SETTINGS.format(timeout=ANSWER, allowed=setup[1]))

    def submit(self, resume: bool = False) -> subprocess.Popen[bytes]:
        """Start the run, as the coordinator does."""
        flags = [f"--connection={CONNECTION}", f"--coordinator={coordinator_folder(self.root)}"]
        flags += [f"--config={self._config}", f"--output={self.output}", f"--methods={self._setup[0]}"]
        flags += [f"--clients={CLIENTS}", *(["--resume"] if resume else [])]
        with self._said.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "fl_tiprdc", "flwr-run", *flags],
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
        return Ending(ended, "" if ended == COMPLETED else last_line(self._said))

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
        """Go on with a run that has failed; the line is the first failure's, unless there is a second."""
        if first.ended != FAILED:
            return first
        second = self.end_of(self.submit(resume=True))
        return Ending(f"{first.ended}, with --resume {second.ended}", second.line or first.line)

    @property
    def output(self) -> Path:
        """Return the folder of results of the run that is tried now."""
        return self.root / f"run-{self._count}"

    @property
    def _said(self) -> Path:
        return self.root / f"run-{self._count}.log"

    @property
    def _config(self) -> Path:
        return self.root / f"run-{self._count}.toml"


def last_line(said: Path) -> str:
    """Return the last line of a log, without the folder that only this trial had."""
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].replace(str(said.parent), "…") if lines else ""


def refusal(log: Path) -> str:
    """Return what a node says that isn't let in: the line with the reason, or the last one."""
    lines = re.sub(r"\x1b\[\d*m", "", log.read_text(errors="replace")).splitlines()
    reasons = [
        line.strip() for word in ("failed to activate", "failed to", "error") for line in lines if word in line.lower()
    ]
    return reasons[0] if reasons else last_line(log)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it has started, as a power failure does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process kindly: a node that ends so tells the SuperLink."""
    process.terminate()
    process.wait(30)
