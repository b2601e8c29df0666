"""A whole run: check, do the work, write the folder, say what came out."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.crowd import Population
from fl_tiprdc.evaluation.certified import closing_lines
from fl_tiprdc.evaluation.frontier import retention_of_tasks
from fl_tiprdc.evaluation.measurable import unmeasured, unmeasured_lines
from fl_tiprdc.evaluation.privacy_budget import budget_lines
from fl_tiprdc.experiment.carry_out import carry_out
from fl_tiprdc.experiment.checking import check_experiment
from fl_tiprdc.experiment.closing_table import closing_table
from fl_tiprdc.experiment.closing_words import closing_words, next_steps
from fl_tiprdc.experiment.fingerprint import check_unchanged, fingerprint, write_fingerprint
from fl_tiprdc.experiment.outcome import Outcome
from fl_tiprdc.experiment.progress import Stages
from fl_tiprdc.experiment.results import write_results
from fl_tiprdc.experiment.resume import Kept, check_same
from fl_tiprdc.experiment.run_folder import config_text, default_output, finish, held, prepare
from fl_tiprdc.experiment.screen import Screen, say, show_table
from fl_tiprdc.experiment.tracking.tracker import Place
from fl_tiprdc.experiment.tracking.trackers import Trackers
from fl_tiprdc.whole_file import write_whole

Work = Callable[[Experiment, Path, Stages, Kept], Outcome]  # from an experiment and its publication's folder


def failures_line(outcome: Outcome) -> str:
    """Return what went wrong with clients in federated training, by kind; empty if nothing did."""
    if not outcome.failures:
        return ""
    asked = int((outcome.rounds["clients"] + outcome.rounds["failures"]).sum())
    failed = int(outcome.rounds["failures"].sum())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.failures.items()))
    return f"failures: {failed} of {asked} requests to clients; {kinds}"


def run_experiment(
    experiment: Experiment,
    population: Population | None = None,
    output: Path | None = None,
    console: Console | None = None,
    resume: bool = False,
) -> pd.DataFrame:
    """Check an experiment, carry it out and write the folder of its results.

    Args:
        experiment: what to do.
        population: the people; None: those that the experiment's data settings name.
        output: the folder; None: results/ and a name that tells the run, in the current folder.
        console: for progress and closing tables; None: the terminal.
        resume: go on with what an interrupted run of the same settings, data and code left, if it left anything.

    Returns:
        The points of the audit: attack, retention, and the certified bound of codes, by setting, method, λ and seed.

    Raises:
        InputError: a wrong setting; settings that don't fit the people; a folder that can't be written.
        TooManyFailuresError: more clients failed than allowed.
    """
    experiment, population = check_experiment(experiment, population)
    folder = output or default_output(experiment)
    work = partial(carry_out, population=population)
    return record_run(experiment, folder, console or Screen(), work, resume, population)


def record_run(
    experiment: Experiment,
    output: Path,
    console: Console,
    work: Work,
    resume: bool = False,
    people: Population | None = None,
) -> pd.DataFrame:
    """Do a checked experiment's work and write the folder of its results; return the points of the audit.

    A run that ends early leaves its finished parts in a hidden folder beside `output`, if there are any.

    Args:
        experiment: what to do.
        output: the run's folder.
        console: for progress and closing tables.
        work: trains, publishes and audits.
        resume: go on with what an interrupted run of the same settings, data and code left, if it left anything.
        people: whom the work is about, to tell their data from others; None: the run knows nobody's records.

    Raises:
        InputError: the interrupted run had other settings, data or code; another run writes to `output`; or it can't
            be written.
    """
    with held(output):
        outcome, summary, points, stages = _record(experiment, output, console, work, resume, people)
    show_table(console, stages.table())
    if len(points):
        show_table(console, closing_table(points))
    lines = [
        *closing_words(points, experiment.private),
        *unmeasured_lines(unmeasured(outcome.metrics)),
        *closing_lines(outcome.certified),
        *budget_lines(summary.get("privacy", {})),
        failures_line(outcome),
    ]
    for line in filter(None, lines):
        say(console, line)
    say(console, f"results: {output}")
    for line in next_steps(output, points):
        say(console, line)
    return points


def _record(
    experiment: Experiment, output: Path, console: Console, work: Work, resume: bool, people: Population | None
) -> tuple[Outcome, dict[str, Any], pd.DataFrame, Stages]:
    """Do the work and put the whole folder in its place; `output` is held."""
    partial = prepare(output, resume)
    kept = Kept(partial / "kept")
    made_from = fingerprint(people)
    if resume and (partial / "config.toml").is_file():
        check_same(experiment, partial / "config.toml")
        check_unchanged(partial, made_from)
    trackers = Trackers(experiment.track, lambda text: say(console, text))
    whole = False
    try:
        write_fingerprint(partial, made_from)
        write_whole(partial / "config.toml", config_text(experiment).encode())
        trackers.started(experiment, Place(output.name, partial, output.parent))
        with Stages(console, trackers) as stages:
            outcome = work(experiment, partial / "publication", stages, kept)
            summary, points = write_results(partial, experiment, outcome, stages)
        trackers.points(points, retention_of_tasks(outcome.metrics))
        trackers.finished(summary)
        whole = True
        kept.clear()
        finish(partial, output)
    finally:
        if not whole:
            trackers.failed()
        if kept.root.exists():
            say(console, "unfinished: the same command with --resume goes on from here")
        elif not whole:
            shutil.rmtree(partial, ignore_errors=True)
    return outcome, summary, points, stages
