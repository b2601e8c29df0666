"""Flower's own commands, called as a person would; and a run's true end, which `flwr run` doesn't tell."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import tomli_w

from fl_tiprdc.errors import RunFailedError
from fl_tiprdc.experiment.run_folder import ROOT
from fl_tiprdc.experiment.screen import Screen
from fl_tiprdc.federated.launch import has_room_for_sockets
from fl_tiprdc.flower.app_folder import write_app
from fl_tiprdc.flower.progress import Shown
from fl_tiprdc.flower.run_config import Value

COMPLETED = "finished:completed"


def flower_environment(home: Path | None = None) -> dict[str, str]:
    """Return the environment of Flower's processes: this interpreter's commands and packages, nothing sent to anybody.

    Args:
        home: Flower's own folder; None: the user's.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(paths),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",  # packages are what is installed here
        "RAY_ADDRESS": "local",  # no cluster but the run's own
        **({} if has_room_for_sockets() else {"RAY_TMPDIR": "/tmp"}),
        "PYTHONIOENCODING": "utf-8",
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    return {**os.environ, **own, **({"FLWR_HOME": str(home)} if home else {})}


def ask_flower(*arguments: str, home: Path | None = None, timeout: float = 60.0) -> str:
    """Run one `flwr` command, and return what it says.

    Raises:
        RunFailedError: it ends with another status than 0.
    """
    done = subprocess.run(
        ["flwr", *arguments],
        env=flower_environment(home),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RunFailedError(f"flwr {arguments[0]}: {' '.join((done.stderr or done.stdout).split())[-500:]}")
    return done.stdout


def shown(lines: Iterable[str]) -> Iterator[str]:
    """Show a run's log on the screen, line by line, and pass it on."""
    with Shown(Screen()) as screen:
        for line in lines:
            screen.line(line.rstrip("\n"))
            yield line


def submit(
    run_config: Mapping[str, Value], connection: str = "", simulated: int = 0, cores: int = 0, home: Path | None = None
) -> None:
    """Call `flwr run` with its log on the screen, until the run has ended.

    Args:
        run_config: what differs from [tool.flwr.app.config].
        connection: a SuperLink in Flower's configuration; empty: its default.
        simulated: number of simulated nodes; 0: the SuperLink has real ones.
        cores: Ray actors of a simulation; 0: one for each core.
        home: Flower's own folder; None: the user's.

    Raises:
        RunFailedError: the run didn't start, or failed; with the server's last word.
    """
    with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as folder:
        app, settings = Path(folder) / "app", Path(folder) / "run-config.toml"
        app.mkdir()
        write_app(app)
        settings.write_text(tomli_w.dumps(dict(run_config)))
        command = ["flwr", "run", str(app), *([connection] if connection else []), "--stream"]
        if run_config:
            command += ["--run-config", str(settings)]
        if simulated:
            nodes = f"num-supernodes={simulated} client-resources-num-cpus=1"
            command += ["--federation-config", f"{nodes} init-args-num-cpus={cores or os.cpu_count() or 1}"]
        environment = flower_environment(home)
        with subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as p:
            number, last = "", ""
            try:
                for line in shown(p.stdout or ()):
                    number = number or "".join(re.findall(r"Successfully started run (\d+)", line))
                    last = line.strip() or last
            except BaseException:
                p.terminate()  # it watches only; the run is stopped below
                if number:
                    ask_flower("stop", number, *([connection] if connection else []), home=home)
                raise
    if not number:
        raise RunFailedError(f"flwr run started nothing: {last}")
    status, details = run_status(number, connection, home)
    if status != COMPLETED:
        raise RunFailedError(f"run {number} is {status}: {details}")


def run_status(number: str, connection: str = "", home: Path | None = None) -> tuple[str, str]:
    """Return a run's status, and what Flower says to it.

    Raises:
        RunFailedError: the SuperLink doesn't know the run.
    """
    answer = ask_flower("ls", *([connection] if connection else []), "--run-id", number, "--format", "json", home=home)
    runs = json.loads(answer[answer.index("{") :]).get("runs")
    if not runs:
        raise RunFailedError(f"the SuperLink doesn't know run {number}: it was started anew; go on with --resume")
    run = runs[0]
    return str(run["status"]), str(run["status-details"])
