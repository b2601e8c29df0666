"""The main job: train centralised and federated, publish, audit, plot the privacy-utility curves.

python simulations/run.py --clients 100
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from fl_tiprdc.config import Experiment
from fl_tiprdc.evaluation.certified import closing_lines
from fl_tiprdc.evaluation.frontier import compare, over_seeds
from fl_tiprdc.evaluation.privacy_budget import budget_lines
from fl_tiprdc.whole_file import write_whole
from simulations.command_line import experiment_parser, guard, read_experiment
from simulations.running.experiment import run_experiment
from simulations.running.kept import Kept, check_same
from simulations.running.outcome import Outcome
from simulations.running.results import config_text, default_output, finish, prepare, write_results
from simulations.running.stages import Stages
from simulations.tracking.tracker import Place
from simulations.tracking.trackers import Trackers

Work = Callable[[Experiment, Path, Stages, Kept], Outcome]  # from an experiment and its publication's folder


def closing_table(points: pd.DataFrame) -> Table:
    """How federated compares with centralised at each λ, between what raw data gives and what noise gives."""
    table = Table(
        title="A: worst attack AUC (0.5 = chance), of codes the exact one; C: certified, no attacker has more (95 %)\n"
        "R: mean utility retention (raw = 1); cen: centralised; fed: federated; Δ: federated - centralised"
        if "certified" in points
        else "A: worst attack AUC (0.5 = chance); R: mean utility retention (raw = 1)\n"
        "cen: centralised; fed: federated; Δ: federated - centralised",
        title_justify="left",
        box=box.SIMPLE_HEAD,  # ten columns fit into 80 characters without lines between them
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("method", no_wrap=True)
    certified = "certified" in points
    for name in ("λ", "A cen", "A fed", "ΔA", *(("C cen", "C fed") if certified else ()), "R cen", "R fed", "ΔR"):
        table.add_column(name, justify="right")
    mean = over_seeds(points)
    empty = [""] * (2 * certified)
    for row in mean[mean["setting"].isin(["raw", "baseline"])].itertuples():
        dial = "" if row.setting == "raw" else f"σ {row.lam:g}"
        table.add_row(str(row.method), dial, f"{row.attack:.3f}", "", "", *empty, f"{row.retention:.3f}", "", "")
    for row in compare(points).itertuples():
        numbers = [
            f"{getattr(row, f'{value}_{side}'):{sign}.3f}"
            for value in ("attack", *(("certified",) if certified else ()), "retention")
            for side, sign in (("centralized", ""), ("federated", ""), ("difference", "+"))
            if (value, side) != ("certified", "difference")
        ]
        table.add_row(str(row.method), f"{row.lam:g}", *("" if "nan" in number else number for number in numbers))
    return table


def failures_line(outcome: Outcome) -> str:
    """What went wrong with clients in federated training, by kind; empty if nothing did."""
    if not outcome.failures:
        return ""
    asked = int((outcome.rounds["clients"] + outcome.rounds["failures"]).sum())
    failed = int(outcome.rounds["failures"].sum())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.failures.items()))
    return f"failures: {failed} of {asked} requests to clients; {kinds}"


def run(
    experiment: Experiment, output: Path, console: Console, resume: bool = False, carry_out: Work | None = None
) -> pd.DataFrame:
    """Carry out a run and write its folder; the points of the audit.

    A run that ends early leaves its finished parts in a hidden folder beside `output`, if there are any.

    Args:
        experiment: what to do.
        output: the run's folder.
        console: for progress and closing tables.
        resume: go on with what an interrupted run of the same settings left, if it left anything.
        carry_out: does the work; None: `run_experiment`.

    Raises:
        InputError: the interrupted run had other settings; or `output` can't be written.
    """
    partial = prepare(output, resume)
    kept = Kept(partial / "kept")
    if resume and (partial / "config.toml").is_file():
        check_same(experiment, partial / "config.toml")
    trackers = Trackers(experiment.track, lambda text: console.print(text, soft_wrap=True, highlight=False))
    whole = False
    try:
        write_whole(partial / "config.toml", config_text(experiment).encode())
        trackers.started(experiment, Place(output.name, partial, output.parent))
        with Stages(console, trackers) as stages:
            outcome = (carry_out or run_experiment)(experiment, partial / "publication", stages, kept)
            summary, points = write_results(partial, experiment, outcome, stages)
        trackers.points(points)
        trackers.finished(summary)
        whole = True
        kept.clear()
        finish(partial, output)
    finally:
        if not whole:
            trackers.failed()
        if kept.root.exists():
            console.print("unfinished: the same command with --resume goes on from here", highlight=False)
        else:
            shutil.rmtree(partial, ignore_errors=True)
    console.print(stages.table())
    if len(points):
        console.print(closing_table(points))
    for line in closing_lines(outcome.certified):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for line in budget_lines(summary.get("privacy", {})):
        console.print(line, soft_wrap=True, highlight=False)
    if line := failures_line(outcome):
        console.print(line, soft_wrap=True, highlight=False)
    console.print(f"results: {output}", soft_wrap=True, highlight=False)
    return points


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print."""
    parsed = experiment_parser(__doc__ or "").parse_args(arguments)
    experiment = read_experiment(parsed)
    run(experiment, parsed.output or default_output(experiment), Console(), parsed.resume)


if __name__ == "__main__":
    guard(main)
