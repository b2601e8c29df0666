"""The catalogue: data sets, methods, attackers and all else that is registered, a line each."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.command_line.presets import PRESETS
from fl_tiprdc.command_line.subcommands import PROGRAM, SUBCOMMANDS
from fl_tiprdc.data.datasets import DATASETS
from fl_tiprdc.data.partition import NATURAL, PARTITIONERS, natural
from fl_tiprdc.evaluation.attacks.registry import FURTHER
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS
from fl_tiprdc.evaluation.shaped_classifiers import SHAPED
from fl_tiprdc.evaluation.white_box import WHITE_BOX
from fl_tiprdc.experiment.run_folder import CHECKOUT
from fl_tiprdc.federated.launch import RUNTIMES
from fl_tiprdc.methods import METHODS
from fl_tiprdc.models.networks import ARCHITECTURES
from strategies.exchange_plan import EXCHANGES
from strategies.robust import AGGREGATIONS


@dataclass(frozen=True)
class Section:
    """Hold one kind of registered things.

    Attributes:
        chosen_by: the flag or setting that takes the names.
        lines: name -> description.
    """

    chosen_by: str
    lines: Mapping[str, str]


def _first_line(thing: object) -> str:
    return (getattr(thing, "__doc__", None) or "").strip().partition("\n")[0].rstrip(".")


def _described(registry: Mapping[str, object]) -> dict[str, str]:
    return {name: _first_line(thing) for name, thing in registry.items()}


def _of_module(function: Callable[..., object]) -> str:
    return _first_line(sys.modules[function.__module__])


def _rule(build: Callable[[float], Callable[..., object]]) -> str:
    """Return the first line of an aggregation rule's docstring; a rule that assumes hostile clients is partial."""
    rule = build(0.2)
    return _first_line(getattr(rule, "func", rule))


def _preset(path: Path) -> str:
    """Return the first line of a TOML file, which says what it is for."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def _studies() -> dict[str, str]:
    """Return the files of a checkout's simulations/ that are run and are no commands: its studies."""
    studies: dict[str, str] = {}
    for path in sorted((CHECKOUT / "simulations").glob("*.py")) if CHECKOUT else ():
        text = path.read_text(encoding="utf-8")
        if '__name__ == "__main__"' in text and path.stem.replace("_", "-") not in SUBCOMMANDS:
            studies[f"simulations/{path.name}"] = text.removeprefix('"""').partition("\n")[0].rstrip('".')
    return studies


def catalogue() -> dict[str, Section]:
    """Return all that can be chosen, by its kind."""
    seeing = {**CLASSIFIERS, **{name: build for name, (_, build) in SHAPED.items()}}
    attackers = _described({**seeing, **WHITE_BOX})
    commands = {name: subcommand.summary for name, subcommand in SUBCOMMANDS.items()}
    studies = _studies()
    return {
        "commands": Section(f"{PROGRAM} COMMAND --help", commands),
        **({"studies": Section("python STUDY --help", studies)} if studies else {}),
        "data-sets": Section("--dataset", {name: _of_module(source.load) for name, source in DATASETS.items()}),
        "partitions": Section("--partition", _described({**PARTITIONERS, NATURAL: natural})),
        "methods": Section("--methods", {name: method.description for name, method in METHODS.items()}),
        "exchanges": Section("[method.NAME] exchange", _described(EXCHANGES)),
        "aggregations": Section("--aggregation", {name: _rule(build) for name, build in AGGREGATIONS.items()}),
        "architectures": Section(
            "[network] architecture", _described({name: family.build for name, family in ARCHITECTURES.items()})
        ),
        "baselines": Section("--baselines", {name: _of_module(one.fit) for name, one in BASELINES.items()}),
        "attackers": Section("[audit] attackers", attackers),
        "probes": Section("[audit] probes", {name: attackers[name] for name in seeing}),
        "further-attacks": Section("--attacks", _described({name: attack.find for name, attack in FURTHER.items()})),
        "runtimes": Section("--runtime", _described(RUNTIMES)),
        "presets": Section("--config", {name: _preset(path) for name, path in PRESETS.items()}),
    }
