"""Flower's processes on this machine: one SuperLink, one SuperNode for each client; started, watched, ended."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import psutil
import tomli_w

from fl_tiprdc.deploy.certificates import CA, SERVER, SERVER_KEY
from fl_tiprdc.deploy.emulated_hosts import EmulatedHosts
from fl_tiprdc.errors import RunFailedError
from fl_tiprdc.flower.commands import ask_flower, flower_environment

HOST = "127.0.0.1"
CONNECTION = "loopback"
PATIENCE = 90.0  # seconds until the SuperLink answers
GRACE = 10.0  # seconds that a process has to end by itself


def free_port() -> int:
    """Return a port on the loopback interface that nobody listens on now."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


class LoopbackDeployment:
    """Run a SuperLink with TLS and node authentication, and its SuperNodes, as processes of this one.

    All listen on 127.0.0.1 only, or on an address that only `hosts` reach. Leaving the context ends them, by their
    process ids.

    Args:
        home: Flower's folder, with its configuration and the processes' logs.
        keys: folder of certificates and keys.
        hosts: clients' hosts, on which nodes run; None: they run beside the server.
    """

    def __init__(self, home: Path, keys: Path, hosts: EmulatedHosts | None = None) -> None:
        self.home, self.keys, self.port = home, keys, free_port()
        self._hosts, self._host = hosts, hosts.server if hosts else HOST
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "LoopbackDeployment":
        self.home.mkdir(parents=True, exist_ok=True)
        connection = {"address": f"{self._host}:{self.port}", "root-certificates": str(self.keys / CA)}
        text = tomli_w.dumps({"superlink": {"default": CONNECTION, CONNECTION: connection}})
        (self.home / "config.toml").write_text(text)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=flower_environment(self.home),
                cwd=self.home,
                start_new_session=True,  # Ctrl-C is ours: nodes end before their server
            )
        self._processes.append(process)
        return process

    def log(self, name: str) -> Path:
        """Return the file with what a process has said."""
        return self.home / f"{name}.log"

    def start_superlink(self) -> subprocess.Popen[bytes]:
        """Start the SuperLink and wait until it answers, over TLS.

        Raises:
            RunFailedError: it ends, or says nothing.
        """
        certificate = {"certfile": SERVER, "keyfile": SERVER_KEY, "ca-certfile": CA}
        tls = [word for name, file in certificate.items() for word in (f"--ssl-{name}", str(self.keys / file))]
        command = ["flower-superlink", *tls, "--enable-supernode-auth", "--host", self._host, "--port", str(self.port)]
        process = self._start("superlink", [*command, "--disable-runtime-dependency-installation"])
        trust = ssl.create_default_context(cafile=str(self.keys / CA))
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"https://{self._host}:{self.port}/health", timeout=5, context=trust):
                    return process
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RunFailedError(f"the SuperLink doesn't answer: {self._last_words('superlink')}")

    def register(self, key: Path) -> None:
        """Tell the SuperLink a node's public key."""
        public = key.with_suffix(".pub")
        ask_flower("supernode", "register", str(public), CONNECTION, "--name", key.name, home=self.home)

    def start_node(self, client: int, key: Path, folder: Path, name: str = "") -> subprocess.Popen[bytes]:
        """Start a SuperNode whose client process stays.

        Args:
            client: number of the client.
            key: its private key.
            folder: its records.
            name: of its log; empty: the key's.
        """
        node_config: dict[str, str | int] = {"data": str(folder), "partition-id": client}
        pairs = (f'{k}="{v}"' if isinstance(v, str) else f"{k}={v}" for k, v in node_config.items())
        link = ["--superlink", f"{self._host}:{self.port}", "--root-certificates", str(self.keys / CA)]
        own = ["--host", HOST, "--port", str(free_port()), "--auth-supernode-private-key", str(key)]
        inside = self._hosts.inside(client) if self._hosts else []
        node = [*inside, sys.executable, "-m", "fl_tiprdc.deploy.node"]
        return self._start(name or key.name, [*node, *link, *own, "--node-config", " ".join(pairs)])

    def _last_words(self, name: str) -> str:
        return " ".join(self.log(name).read_text(errors="replace").split())[-300:]

    def stop(self) -> None:
        """End the processes, the last first; what doesn't end in time is killed, and what they have started, too."""
        alive = [process for process in self._processes if process.poll() is None]
        started = [child for process in alive for child in _started_by(process.pid)]
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + GRACE
        for process in reversed(self._processes):
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _end_group(process.pid)
        for child in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(started, GRACE)
        self._processes = []


def _started_by(process: int) -> list[psutil.Process]:
    """Return what a process has started, and that in turn: Flower's SuperLink puts its own into another session."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end_group(group: int) -> None:
    """Kill what a process of ours has started and left behind, and see it gone; its group is its own session's."""
    end = time.monotonic() + GRACE
    try:
        while time.monotonic() < end:
            os.killpg(group, signal.SIGKILL)
            time.sleep(0.05)
    except ProcessLookupError:
        return
