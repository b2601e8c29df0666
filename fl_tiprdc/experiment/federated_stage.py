"""The stage of a run in which the crowd trains, and publishes."""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from flwr.serverapp import Grid

from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.data.crowd import Description, Ints, Population
from fl_tiprdc.data.publication_store import read_published_codes, read_store
from fl_tiprdc.evaluation.certificate import codes_for
from fl_tiprdc.evaluation.certificate_file import write_certificate
from fl_tiprdc.evaluation.certified import sentence
from fl_tiprdc.experiment.further_attacks import Job, kept_groups
from fl_tiprdc.experiment.outcome import (
    Outcome,
    audited_release,
    certified,
    error_probability,
    note_codes,
    release_folder,
)
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.resume import Kept
from fl_tiprdc.federated.client_store import certifying_people, persons_of, write_client_store
from fl_tiprdc.federated.launch import launch_all
from fl_tiprdc.federated.publication_card import PublicationFacts, write_card
from fl_tiprdc.federated.server_app import Trained, exchanges_in, serve_coded, serve_point
from fl_tiprdc.federated.serving import Tell, one_after_the_other
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.release.arrays import released_groups
from fl_tiprdc.release.codes import Codes
from fl_tiprdc.release.release import Released
from fl_tiprdc.seeding import derive


def servers_for(
    experiment: Experiment, description: Description, points: Sequence[Point], publication: Path, kept: Kept
) -> list[Callable[[Grid, Tell], list[Trained]]]:
    """Return what a ServerApp does for each point: train with a checkpoint in `kept`, then collect the publication.

    All values of λ of a method with codes share one extractor and are served together.
    """
    servers: list[Callable[[Grid, Tell], list[Trained]]] = []
    for _, group in itertools.groupby(points, key=lambda point: (point.method, point.seed)):
        own = list(group)
        if coding := experiment.method_config(own[0].method).coding:
            servers.append(
                partial(
                    serve_coded,
                    experiment=experiment,
                    description=description,
                    points=own,
                    publications=[release_folder(publication, "federated", point) for point in own],
                    bears=partial(codes_for, target=coding.target),
                    checkpoint=kept.root / "federated" / own[0].method / f"seed-{own[0].seed}" / "training.safetensors",
                )
            )
            continue
        for point in own:
            servers.append(
                partial(
                    _serve_one,
                    experiment=experiment,
                    description=description,
                    point=point,
                    publication=release_folder(publication, "federated", point),
                    checkpoint=release_folder(kept.root, "federated", point) / "training.safetensors",
                )
            )
    return servers


def _serve_one(grid: Grid, tell: Tell, **settings: Any) -> list[Trained]:
    return [serve_point(grid, tell, **settings)]


def planned_exchanges(experiment: Experiment) -> int:
    """Return about how many exchanges the points of one seed have."""
    return sum(
        exchanges_in(experiment, method) * (1 if experiment.method_config(method).coding else len(experiment.lambdas))
        for method in experiment.methods
    )


def train_federated(
    experiment: Experiment,
    population: Population,
    parts: dict[int, list[Ints]],
    publication: Path,
    stages: Stages,
    outcome: Outcome,
    rounds: list[dict[str, object]],
    kept: Kept,
    grid: Grid | None = None,
) -> list[Job]:
    """Train and publish every point, over clients of the experiment's runtime or of `grid`; what is to be audited."""
    jobs: list[Job] = []
    description = population.contributors.description
    of_one_seed = planned_exchanges(experiment)
    total = len(experiment.seeds) * of_one_seed
    with stages.stage("train federated", total) as ticker:
        for number, seed in enumerate(experiment.seeds):
            points = [Point(method, lam, seed) for method in experiment.methods for lam in experiment.lambdas]
            # the longest first: begun last they would leave the other cores idle
            begun = sorted(points, key=lambda point: -exchanges_in(experiment, point.method))
            servers = servers_for(experiment, description, begun, publication, kept)
            before = number * of_one_seed

            def tell(done: int, before: int = before) -> None:
                ticker.of(before + done, total)

            if grid is not None:
                trained = one_after_the_other(grid, servers, tell)
            else:
                with tempfile.TemporaryDirectory(prefix="fl-tiprdc-") as clients:
                    store = Path(clients) / "clients"
                    crowd = population.contributors
                    write_client_store(store, crowd.records(), parts[seed], description, seed, crowd.participant)
                    trained = launch_all(
                        experiment.runtime, servers, store, experiment.actors, experiment.ray_address, tell
                    )
            for one in sorted(itertools.chain.from_iterable(trained), key=lambda one: points.index(one.point)):
                jobs.append(_job(experiment, population, parts[seed], publication, one))
                note_training(experiment, description, one, outcome, rounds)
                people = len(np.unique(population.contributors.participant[jobs[-1].rows]))
                describe(
                    experiment, description, one, outcome, release_folder(publication, "federated", one.point), people
                )
    return jobs


def _job(experiment: Experiment, population: Population, parts: list[Ints], publication: Path, one: Trained) -> Job:
    """Return the job that audits what was published: the store joined with the truth by client and record."""
    point, crowd = one.point, population.contributors
    folder = release_folder(publication, "federated", point)
    client, record, z = read_store(folder)
    starts = np.cumsum([0, *map(len, parts)])
    rows = np.concatenate(parts)[starts[client] + record]
    step = HybridStep(crowd.description, experiment.network, experiment.method_config(point.method))
    codes, unfitted = None, None
    if step.method.coding:
        codes, share = read_published_codes(folder), step.method.coding.certifying
        secrets = derive(point.seed, "client-secrets")
        aside = [
            part[certifying_people(persons, derive(secrets, "client", i), share)]
            for i, (part, persons) in enumerate(zip(parts, persons_of(crowd.participant, parts), strict=True))
        ]
        unfitted = np.concatenate(aside)
    published = rows, Released(z, codes)
    made = released_groups(one.groups)
    release = audited_release(experiment, "federated", point, made, crowd, population.held_out, published, unfitted)
    return Job(release, rows, kept_groups(experiment, step, one.groups))


def note_training(
    experiment: Experiment, description: Description, one: Trained, outcome: Outcome, rounds: list[dict[str, object]]
) -> None:
    """Note what a training ended with: its extractor, its certificate, its exchanges."""
    outcome.extractors["federated", one.point] = released_groups(one.groups)
    note_codes(outcome, experiment, description, "federated", one.point, one.groups)
    if one.counts is not None:
        outcome.certified.append(certified(experiment, "federated", one.point, one.counts, description, one.note))
    note_exchanges(one, outcome, rounds)


def describe(
    experiment: Experiment, description: Description, one: Trained, outcome: Outcome, folder: Path, people: int | None
) -> None:
    """Write a publication's README.md, and its codebook and certificate where it has them.

    Args:
        experiment: settings.
        description: meaning of x and of the private labels.
        one: what was trained.
        outcome: has its certificate, the last so far.
        folder: of the publication.
        people: whose records were published; None: nobody knows.
    """
    own = outcome.certified[-1] if one.counts is not None else None
    certificates = own.certificates if own else {}
    facts = PublicationFacts(
        dataset=experiment.dataset,
        method=one.point.method,
        attributes=description.attributes,
        codes=Codes.of_arrays(one.groups["codes"]) if "codes" in one.groups else None,
        people=people,
        certificate=[sentence(name, each) for name, each in certificates.items()],
        conditions=next(iter(certificates.values())).note if certificates else "",
        note=own.note if own else "",
        license=experiment.license,
        known=coding.known if (coding := experiment.method_config(one.point.method).coding) else (),
    )
    write_card(folder, facts)
    if own is not None and one.counts is not None:
        write_certificate(folder, own, one.counts, description.attributes, error_probability(experiment))


def note_exchanges(one: Trained, outcome: Outcome, rounds: list[dict[str, object]]) -> None:
    """Note what happened in a federated training: rows of rounds.csv, failures, traffic."""
    for exchange in one.exchanges:
        rounds.append(
            {
                "setting": "federated",
                "method": one.point.method,
                "lam": one.point.lam,
                "seed": one.point.seed,
                "round": exchange.round,
                "phase": exchange.phase,
                **exchange.losses,
                "exchange": exchange.exchange,
                "clients": exchange.clients,
                "failures": exchange.failures,
                **{f"failures_{kind}": count for kind, count in exchange.failure_kinds.items()},
                "seconds": round(exchange.seconds, 4),
                "bytes_down": exchange.bytes_down,
                "bytes_up": exchange.bytes_up,
                **({"sampling": exchange.sampling} if exchange.sampling else {}),
            }
        )
        for kind, times in exchange.failure_kinds.items():
            outcome.failures[kind] = outcome.failures.get(kind, 0) + times
    for name, count in {
        "training_down": sum(e.bytes_down for e in one.exchanges),
        "training_up": sum(e.bytes_up for e in one.exchanges),
        "publication_down": one.release_bytes,
        "publication": one.published_bytes,
    }.items():
        outcome.traffic[name] = outcome.traffic.get(name, 0) + count
