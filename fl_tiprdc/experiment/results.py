"""Writes a run's folder: tables, summary, figures, page; whole or not at all."""

import json
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fl_tiprdc import __version__
from fl_tiprdc.config import Experiment, Point
from fl_tiprdc.evaluation.equivalence import equivalence
from fl_tiprdc.evaluation.frontier import compare, frontier_area, retention_of_tasks, summarize_points
from fl_tiprdc.evaluation.further_summary import summarize_further, summarize_known
from fl_tiprdc.evaluation.guarantees import channel_capacity, guarantees, trade_offs
from fl_tiprdc.evaluation.limits import limit_table
from fl_tiprdc.evaluation.measurable import unmeasured
from fl_tiprdc.evaluation.privacy_budget import privacy_budget
from fl_tiprdc.evaluation.subgroups import worst_groups
from fl_tiprdc.experiment.outcome import Outcome, release_folder
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.run_folder import called, git_commit, records_of
from fl_tiprdc.extractor.card import Card, write_extractor
from fl_tiprdc.models.networks import network_for
from fl_tiprdc.release.channel import capacity_bits
from fl_tiprdc.report.bounds_figure import bounds_figure
from fl_tiprdc.report.exact_figure import exact_figures
from fl_tiprdc.report.figures import draw_all
from fl_tiprdc.report.further_figures import further_figures
from fl_tiprdc.report.known_record_figure import known_record_figures
from fl_tiprdc.report.page import write_page
from fl_tiprdc.report.reconstruction_figure import reconstruction_figure
from fl_tiprdc.report.run_tables import CODE_MAP, read_run
from fl_tiprdc.report.style import draw_each, try_to_draw
from fl_tiprdc.whole_file import write_table, write_whole

PACKAGES = ("flwr", "flwr-datasets", "ray", "torch", "scikit-learn", "numpy", "pandas")


def _capacity(width: int, sigma: float) -> float | None:
    """Return how many bits a representation can hold; None: without noise there is no limit."""
    return round(capacity_bits(width, sigma), 2) if sigma else None


def extractor_card(experiment: Experiment, outcome: Outcome, setting: str, point: Point) -> Card:
    """Return what is needed to use one of the run's extractors."""
    assert outcome.description is not None
    method = experiment.method_config(point.method)
    return Card(
        dataset=experiment.dataset,
        setting=setting,
        method=point.method,
        lam=point.lam,
        seed=point.seed,
        sigma=method.sigma(point.lam),
        method_config=method,
        network=network_for(outcome.description, experiment.network, method),
        description=outcome.description,
    )


def write_results(
    folder: Path, experiment: Experiment, outcome: Outcome, stages: Stages
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Write everything but config.toml and the publication, which are there already.

    Returns:
        The summary, and the points.
    """
    write_table(folder / "metrics.csv", outcome.metrics, 6)
    outcome.rounds.to_csv(folder / "rounds.csv", index=False)
    for (setting, point), extractor in outcome.extractors.items():
        card = extractor_card(experiment, outcome, setting, point)
        write_extractor(release_folder(folder / "extractors", setting, point), card, extractor)
    points, tasks = summarize_points(outcome.metrics), retention_of_tasks(outcome.metrics)
    trades = trade_offs(outcome.metrics)
    further, known = summarize_further(outcome.metrics), summarize_known(outcome.metrics)
    limits = limit_table(outcome.metrics)
    if len(outcome.risk):
        write_table(folder / "risk.csv", outcome.risk, 6)
    if outcome.code_maps:
        write_whole(folder / CODE_MAP, json.dumps(list(outcome.code_maps.values()), ensure_ascii=False).encode())
    areas = [
        {"setting": setting, "method": method, "area": round(frontier_area(group), 4)}
        for (setting, method), group in points.groupby(["setting", "method"], sort=False)
    ]
    capacities = [
        {"method": method, "lam": lam, "bits": _capacity(outcome.representation, config_.sigma(lam))}
        for method in experiment.methods
        if (config_ := experiment.method_config(method)).channel and config_.coding is None
        for lam in experiment.lambdas
    ]
    bounds = guarantees(outcome.metrics, channel_capacity(capacities))
    same = equivalence(points) if len(experiment.seeds) > 1 else pd.DataFrame()
    worst = worst_groups(outcome.metrics)
    summary = {
        "command": called(),
        "commit": git_commit(),
        "versions": {"python": platform.python_version(), "fl-tiprdc": __version__}
        | {name: metadata.version(name) for name in PACKAGES},
        "seconds": _seconds(stages),
        "bytes": outcome.traffic,
        "failures": dict(sorted(outcome.failures.items())),
        **({"privacy": budget} if (budget := privacy_budget(experiment.protection, outcome.rounds)) else {}),
        "frontier_areas": areas,
        "capacities": capacities,
        "comparison": records_of(compare(points)),
        **({"equivalence": records_of(same)} if len(same) else {}),
        "guarantees": records_of(bounds),
        **({"certificates": [one.as_record() for one in outcome.certified]} if outcome.certified else {}),
        "worst_groups": records_of(worst),
        "further_attacks": records_of(further),
        **({"limits": records_of(limits)} if len(limits) else {}),
        **({"known_record": records_of(known)} if len(known) else {}),
        **({"unmeasured": records_of(missing)} if len(missing := unmeasured(outcome.metrics)) else {}),
        "points": records_of(points),
        "tasks": records_of(tasks),
    }
    _write_summary(folder, summary)  # what was found is whole before anything is drawn
    with stages.stage("figures and report", 1):
        _draw(folder / "figures", points, tasks, trades, limits, further, known, outcome)
    summary["seconds"] = _seconds(stages)
    _write_summary(folder, summary)
    if len(points):  # else nothing was audited, and there is nothing to explore
        name = folder.name.removeprefix(".").removesuffix(".partial")
        try_to_draw("report.html", lambda: write_page(folder / "report.html", [read_run(folder, name)]))
    return summary, points


def _seconds(stages: Stages) -> dict[str, float]:
    return {name: round(value, 2) for name, value in stages.seconds.items()}


def _write_summary(folder: Path, summary: dict[str, Any]) -> None:
    write_whole(folder / "summary.json", json.dumps(summary, indent=1).encode())


def _draw(
    folder: Path,
    points: pd.DataFrame,
    tasks: pd.DataFrame,
    trades: pd.DataFrame,
    limits: pd.DataFrame,
    further: pd.DataFrame,
    known: pd.DataFrame,
    outcome: Outcome,
) -> None:
    """Write the figures of everything that there is."""
    draw_all(folder, points, tasks, outcome.rounds, limits)
    single: dict[str, Callable[[], Figure]] = {}
    if len(trades):
        single["bounds"] = lambda: bounds_figure(trades)
    if outcome.examples:
        single["reconstruction"] = lambda: reconstruction_figure(outcome.examples)
    draw_each(folder, single)
    try_to_draw("figures of further attacks", lambda: draw_each(folder, further_figures(further)))
    try_to_draw("figure of known records", lambda: draw_each(folder, known_record_figures(known)))
    try_to_draw("figures of codes", lambda: draw_each(folder, exact_figures(outcome.risk)))
