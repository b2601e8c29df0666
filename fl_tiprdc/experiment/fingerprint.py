"""The fingerprint of what a run was made from beside its settings: the data, to the last value, and the code."""

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import numpy as np

import fl_tiprdc
from fl_tiprdc.data.crowd import Crowd, Population
from fl_tiprdc.data.lazy_images import LazyImages
from fl_tiprdc.errors import InputError
from fl_tiprdc.whole_file import write_whole

FINGERPRINT = "fingerprint.json"  # in a run's folder
SOURCES = ("fl_tiprdc", "strategies")  # packages that decide what a run finds
STUDIES = "fl_tiprdc/studies"  # ask for runs and read them: nothing in them changes what a run finds
LIBRARIES = ("flwr", "torch", "scikit-learn", "numpy", "pandas")
WORDS = {"data": "other data", "code": "another version of the code"}  # what can differ -> how it is said


def fingerprint(people: Population | None) -> dict[str, str]:
    """Return SHA-256 digests of a run's data and code, by name.

    Args:
        people: both sides of the data; None: the run knows nobody's.
    """
    data = hashlib.sha256()
    for crowd in (people.contributors, people.held_out) if people else ():
        _add_crowd(data, crowd)
    return {"data": data.hexdigest(), "code": _code_digest()}


def write_fingerprint(folder: Path, digests: Mapping[str, str]) -> None:
    """Write `fingerprint` into a run's folder."""
    write_whole(folder / FINGERPRINT, json.dumps(digests, indent=1).encode())


def changed_since(folder: Path, digests: Mapping[str, str]) -> str:
    """Return in words what differs from what the run in `folder` was made from; empty: nothing.

    A run without a readable fingerprint was made by another version of the code.
    """
    try:
        before = json.loads((folder / FINGERPRINT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {**digests, "code": ""}
    return " and ".join(words for name, words in WORDS.items() if before.get(name) != digests[name])


def check_unchanged(folder: Path, digests: Mapping[str, str]) -> None:
    """Check that an interrupted run was made from the same data, by the same code.

    Raises:
        InputError: naming what differs.
    """
    if changed := changed_since(folder, digests):
        raise InputError(f"the interrupted run had {changed}, and its parts don't go with these: leave --resume")


def _add_crowd(into: "hashlib._Hash", crowd: Crowd) -> None:
    """Add records, labels, names and classes; of images that are read when needed, their files."""
    into.update(repr(crowd.description).encode("utf-8", "surrogatepass"))
    if isinstance(crowd.x, LazyImages):
        for path in crowd.x.paths:
            into.update(hashlib.sha256(path.read_bytes()).digest())
    arrays = {"private": crowd.private, "participant": crowd.participant}
    if not isinstance(crowd.x, LazyImages):
        arrays["x"] = crowd.x
    tasks = {f"task {name}": labels for name, labels in sorted(crowd.tasks.items())}
    for name, array in (arrays | tasks).items():
        into.update(f"{name} {array.dtype} {array.shape}".encode("utf-8", "surrogatepass"))
        into.update(np.ascontiguousarray(array).tobytes())


def _code_digest() -> str:
    """Return the digest of the sources, and of the versions of what they stand on."""
    versions = {"fl-tiprdc": fl_tiprdc.__version__} | {name: metadata.version(name) for name in LIBRARIES}
    code = hashlib.sha256(json.dumps(versions, sort_keys=True).encode())
    root = Path(fl_tiprdc.__file__).parent.parent
    for package in SOURCES:
        for path in sorted((root / package).rglob("*.py")):
            if path.is_relative_to(root / STUDIES):
                continue
            code.update(f"{path.relative_to(root)}".encode())
            code.update(hashlib.sha256(path.read_bytes()).digest())
    return code.hexdigest()
