"""The folder of a run's results: made beside its place, put there when it is whole."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w
from filelock import FileLock, Timeout

from fl_tiprdc.config import Experiment
from fl_tiprdc.errors import InputError, RunFailedError
from fl_tiprdc.report.file_names import LONGEST, digest

ROOT = Path(__file__).resolve().parent.parent.parent  # from which the library is imported
CHECKOUT = ROOT if (ROOT / "pyproject.toml").is_file() else None  # None: it is installed
MARKS = ("config.toml", "metrics.csv", "summary.json")  # a folder that has these is an earlier run's


WHERE = ("runtime", "actors", "ray_address", "track")  # settings that decide where a run takes place, not what it finds
NAMED = ("dataset", "private", "partition", "clients")  # settings that a run's usual folder is named by


def default_output(experiment: Experiment) -> Path:
    """Return results/DATASET-PRIVATE-PARTITION-CLIENTS in the current folder.

    What tells apart runs that differ in other settings follows, if any has another value than it usually has: another
    table, other seeds, methods or rounds. Settings that only say where a run takes place don't count.
    """
    name = f"{experiment.dataset}-{'+'.join(experiment.private)}-{experiment.partition}-{experiment.clients}"
    plain = re.sub(r"[^\w.+-]+", "-", name)[:LONGEST]
    others = experiment.model_dump(mode="json", exclude={*NAMED, *WHERE})
    columns = "+".join(re.sub(r"[^\w.+-]+", "-", column) for column in experiment.private)
    told = columns == "+".join(experiment.private) and len(name) <= LONGEST
    if not told or others != Experiment().model_dump(mode="json", exclude={*NAMED, *WHERE}):
        plain += f"-{digest(json.dumps([name, experiment.private, others], sort_keys=True))}"
    return Path.cwd() / "results" / plain


def config_text(experiment: Experiment) -> str:
    """Return every setting, as config.toml holds it."""
    return tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True))


def unfinished(output: Path) -> Path:
    """Return the folder in which a run is put together, beside `output`."""
    output = output.resolve()  # a link to a folder of results stays
    return output.with_name(f".{output.name}.partial")


@contextmanager
def held(output: Path) -> Iterator[None]:
    """Keep other processes from writing to `output` for as long as this lasts; the system ends it with the process.

    Raises:
        InputError: another process writes there, which is named; or the folder's place can't be written to.
    """
    place = output.resolve()
    if not place.name:
        raise InputError(f"output '{output}' has no name: name a folder")
    path = place.with_name(f".{place.name}.lock")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()  # makes the folder that it is in, too
    except Timeout:
        if not path.exists():  # where no file can be made, the lock is waited for, too
            raise InputError(f"cannot write to output '{output}': no file can be made there") from None
        holder = next(iter(_words(path)), "unknown")
        raise InputError(
            f"output '{output}' is being written by another run, process {holder}: wait for it, or name another folder"
        ) from None
    except OSError as error:
        why = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
        raise InputError(f"cannot write to output '{output}': {why}") from None
    try:
        if str(os.getpid()) not in _words(path):  # a lock for systems without flock has it already
            with suppress(OSError):  # a full disk: nobody will know the number
                path.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return []


def prepare(output: Path, resume: bool = False) -> Path:
    """Make a folder beside `output`, which takes that name when it is whole.

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
        if output.is_mount():
            raise InputError(f"output '{output}' is a mount point, which can't be replaced: name a folder in it")
        partial = unfinished(output)
        if partial.exists() and not resume:
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to output '{output}': {error.strerror}") from None
    return partial


def finish(partial: Path, output: Path) -> None:
    """Put the whole run in its place, and an earlier one away.

    Raises:
        RunFailedError: it can't be moved; it names where everything is.
    """
    output = output.resolve()
    earlier = output.with_name(f".{output.name}.earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    try:
        if output.exists():
            output.rename(earlier)
        partial.rename(output)
    except OSError as error:
        why = f"cannot put the results at '{output}': {error.strerror}; they are in '{partial}'"
        raise RunFailedError(why) from None
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


def records_of(table: pd.DataFrame) -> Any:
    """Return a table as summary.json holds it: a list of rows, numbers with six decimals."""
    return json.loads(table.to_json(orient="records", double_precision=6))


def git_commit() -> str:
    """Return the commit of this checkout, with "+" for uncommitted changes; "unknown" outside of one."""
    if CHECKOUT is None:  # what git says there is of somebody else's
        return "unknown"
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--match="],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
