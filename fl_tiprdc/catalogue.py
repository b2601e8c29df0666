"""What there is to choose from: data sets, methods, attackers and so on, a line each, from the registries."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fl_tiprdc.baselines import BASELINES
from fl_tiprdc.command_line.presets import PRESETS
from fl_tiprdc.command_line.subcommands import PROGRAM, SUBCOMMANDS
from fl_tiprdc.config import METHODS
from fl_tiprdc.data import DATASETS
from fl_tiprdc.data.partition import NATURAL, PARTITIONERS
from fl_tiprdc.evaluation.attacks.registry import FURTHER
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS
from fl_tiprdc.evaluation.shaped_classifiers import SHAPED
from fl_tiprdc.evaluation.white_box import WHITE_BOX
from fl_tiprdc.experiment.run_folder import CHECKOUT
from fl_tiprdc.federated.launch import RUNTIMES
from fl_tiprdc.models.networks import ARCHITECTURES
from strategies.exchange_plan import EXCHANGES
from strategies.robust import AGGREGATIONS

# of what is registered without a docstring of its own
SAID: Mapping[str, Mapping[str, str]] = {
    "methods": {
        "tiprdc": "the paper's: negated cross-entropy and a Jensen-Shannon bound, weights exchanged, no noise",
        "tiprdc+": "the default: a noisy, power-constrained release channel, gradients exchanged",
        "pat": "tiprdc+ with its privacy term alone",
        "coded": "one of K codes a record, coupled so that all private classes use them alike; certified",
        "coded-x": "coded without looking at the private value: codes of x alone",
        "maxmi": "tiprdc+ with its information term alone",
        "tappfl": "TAPPFL (AAAI 2024): tiprdc with an adversary that learns from a batch of its own first",
    },
    "partitions": {
        "iid": "records dealt at random, as many to each client",
        "dirichlet": "dirichlet:ALPHA: skewed shares of the private values, unequal sizes; the smaller ALPHA, the more",
        "by-private": "each client holds one private value",
        NATURAL: "all records of a person with one client",
    },
    "architectures": {
        "perceptron": "fully connected layers; for tables",
        "convolutional": "a small convolutional trunk; for images and texts",
    },
    "further-attacks": {
        "membership": "was a person among those who trained the extractor?",
        "reidentification": "which of a thousand people's raw records does a representation belong to?",
        "averaging": "what several releases of one record tell together",
        "leaks": "how much an attacker gets out of few labelled records",
        "linkage": "what several records of one person tell together",
        "known-record": "what the release adds for one who knows some of a record, or all of it",
    },
    "runtimes": {
        "ray-cohort": "Ray actors that train whole cohorts of clients as one tensor program; the default",
        "flower": "Flower's own simulation engine on Ray; the same model, slower",
        "inline": "one client after the other in this process, for tests and breakpoints",
    },
}


@dataclass(frozen=True)
class Section:
    """One kind of thing.

    Attributes:
        chosen_by: the flag or setting that takes the names.
        lines: name -> description.
    """

    chosen_by: str
    lines: Mapping[str, str]


def _first_line(thing: object) -> str:
    return (getattr(thing, "__doc__", None) or "").strip().partition("\n")[0].rstrip(".")


def _of_module(function: Callable[..., object]) -> str:
    return _first_line(sys.modules[function.__module__])


def _said(kind: str, names: Iterable[str], otherwise: Callable[[str], str] = lambda name: "") -> dict[str, str]:
    return {name: SAID[kind].get(name) or otherwise(name) for name in names}


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


def contents() -> dict[str, Section]:
    """Return what there is, by its kind."""
    seeing = {**CLASSIFIERS, **{name: build for name, (_, build) in SHAPED.items()}}
    attackers = {name: _first_line(one) for name, one in {**seeing, **WHITE_BOX}.items()}
    commands = {name: subcommand.summary for name, subcommand in SUBCOMMANDS.items()}
    studies = _studies()
    return {
        "commands": Section(f"{PROGRAM} COMMAND --help", commands),
        **({"studies": Section("python STUDY --help", studies)} if studies else {}),
        "data-sets": Section("--dataset", {name: _of_module(source.load) for name, source in DATASETS.items()}),
        "partitions": Section("--partition", _said("partitions", [*PARTITIONERS, NATURAL])),
        "methods": Section("--methods", _said("methods", METHODS)),
        "exchanges": Section("[method.NAME] exchange", {name: _first_line(one) for name, one in EXCHANGES.items()}),
        "aggregations": Section("--aggregation", {name: _rule(build) for name, build in AGGREGATIONS.items()}),
        "architectures": Section(
            "[network] architecture",
            _said("architectures", ARCHITECTURES, lambda name: _first_line(ARCHITECTURES[name].build)),
        ),
        "baselines": Section("--baselines", {name: _of_module(one.fit) for name, one in BASELINES.items()}),
        "attackers": Section("[audit] attackers", attackers),
        "probes": Section("[audit] probes", {name: attackers[name] for name in seeing}),
        "further-attacks": Section("--attacks", _said("further-attacks", FURTHER)),
        "runtimes": Section("--runtime", _said("runtimes", RUNTIMES)),
        "presets": Section("--config", {name: _preset(path) for name, path in PRESETS.items()}),
    }
