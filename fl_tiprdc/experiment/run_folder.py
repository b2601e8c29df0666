"""The folder of a run's results: made beside its place, put there when it is whole."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tomli_w

from fl_tiprdc.config import Experiment
from fl_tiprdc.errors import InputError

ROOT = Path(__file__).resolve().parent.parent.parent  # from which the library is imported
CHECKOUT = ROOT if (ROOT / "pyproject.toml").is_file() else None  # None: it is installed
MARKS = ("config.toml", "metrics.csv", "summary.json")  # a folder that has these is an earlier run's


def default_output(experiment: Experiment) -> Path:
    """Return results/DATASET-PRIVATE-PARTITION-CLIENTS in the current folder."""
    name = f"{experiment.dataset}-{'+'.join(experiment.private)}-{experiment.partition}-{experiment.clients}"
    return Path.cwd() / "results" / re.sub(r"[^\w.+-]+", "-", name)


def config_text(experiment: Experiment) -> str:
    """Every setting, as config.toml holds it."""
    return tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True))


def unfinished(output: Path) -> Path:
    """The folder in which a run is put together, beside `output`."""
    output = output.resolve()  # a link to a folder of results stays
    return output.with_name(f".{output.name}.partial")


def prepare(output: Path, resume: bool = False) -> Path:
    """A folder beside `output`, which takes that name when it is whole.

    Args:
        output: of the run.
        resume: leave in it what an interrupted run put there.

    Raises:
        InputError: `output` is something else than an earlier run, or can't be made.
    """
    try:
        earlier = all((output / name).is_file() for name in MARKS)
        if output.exists() and not earlier and (not output.is_dir() or any(output.iterdir())):
            raise InputError(f"output '{output}' exists and is no earlier run: name another folder")
        partial = unfinished(output)
        if partial.exists() and not resume:
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to output '{output}': {error.strerror}") from None
    return partial


def finish(partial: Path, output: Path) -> None:
    """Put the whole run in its place, and an earlier one away."""
    output = output.resolve()
    earlier = output.with_name(f".{output.name}.earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    if output.exists():
        output.rename(earlier)
    partial.rename(output)
    shutil.rmtree(earlier, ignore_errors=True)


def open_folder(output: Path) -> None:
    """Make a folder to which files are added, and see whether it takes any.

    Raises:
        InputError: it can't be made, or can't be written to.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise InputError(f"cannot write to output '{output}': {error.strerror}") from None


def called() -> str:
    """Return the command line with which this process was called."""
    return " ".join([*(["python"] if sys.argv[0].endswith(".py") else []), *sys.argv])


def git_commit() -> str:
    """The commit of this checkout, with "+" for uncommitted changes; "unknown" outside of one."""
    if CHECKOUT is None:  # what git says there is of somebody else's
        return "unknown"
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--match="],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
