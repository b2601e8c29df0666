"""Calls entry points as a person would, up to where work would begin: what they say to wrong input."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import pytest

import fl_tiprdc.experiment.publication_audit as publication_audit
import fl_tiprdc.experiment.run as run_module
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.datasets import DATASETS
from fl_tiprdc.studies import benchmark, cells, long_run, poisoning, updates

Call = Callable[..., tuple[int | str | None, list[str]]]

# module that does an entry point's work -> the names with which it begins
WORK: dict[ModuleType, tuple[str, ...]] = {
    run_module: ("carry_out",),
    cells: ("run_experiment",),
    updates: ("attack_partition",),
    benchmark: ("compare_runtimes", "compare_scale"),
    publication_audit: ("audit_published",),
    long_run: ("run_long",),
    poisoning: ("audit_raw",),
}


PACKAGED = {name: DATASETS[name] for name in ("adult", "digits", "names")}


@cache  # once for all tests; a population is immutable
def _load(dataset, config, private, held_out):
    return PACKAGED[dataset].load(DataConfig.model_validate_json(config), private, held_out)


def read_once(monkeypatch) -> None:
    """Let data sets that come with the package be read once for all tests."""

    def load(dataset, config, private, held_out):
        return _load(dataset, config.model_dump_json(), tuple(private), held_out)

    for name, source in PACKAGED.items():
        monkeypatch.setitem(DATASETS, name, replace(source, load=partial(load, name)))


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: path -> content."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def caller(monkeypatch, capsys, folder: Path) -> Call:
    """A function that calls an entry point with flags, in `folder`: (status, stderr lines).

    It fails if work begins, if anything is printed on stdout, or if anything in `folder` changes.
    """

    def nothing_begins(*_, **__):
        raise AssertionError("wrong input was accepted")

    for module, names in WORK.items():
        for name in names:
            monkeypatch.setattr(module, name, nothing_begins)
    read_once(monkeypatch)
    monkeypatch.chdir(folder)

    def call(module: ModuleType, *flags: object) -> tuple[int | str | None, list[str]]:
        before = tree(folder)
        with pytest.raises(SystemExit) as exit_:
            guard(lambda _: module.main([*map(str, flags)]))
        said = capsys.readouterr()
        assert said.out == ""
        assert tree(folder) == before, "something was written"
        return exit_.value.code, said.err.splitlines()

    return call
