"""The main job: train centralized and federated, publish, audit, plot curves.

fl-tiprdc run --clients 100
"""

from collections.abc import Sequence

from fl_tiprdc.command_line.flags import experiment_parser, read_run
from fl_tiprdc.command_line.parser import Parser


def run_parser() -> Parser:
    """Return the parser of the flags."""
    return experiment_parser(__doc__ or "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and run."""
    parsed = run_parser().parse_args(arguments)
    experiment, population = read_run(parsed)
    from fl_tiprdc.experiment.run import run_experiment  # takes seconds, which help and wrong values needn't

    run_experiment(experiment, population, parsed.output, resume=parsed.resume)
