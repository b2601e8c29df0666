"""Extractors that are principal components: their parameters, and their fit with all records in one place."""

import math
from collections.abc import Generator

import torch

from fl_tiprdc.data.crowd import X
from fl_tiprdc.hybrid.step import HybridStep, Parameters
from fl_tiprdc.release.components import COMPONENT_STATISTICS, fit_components
from fl_tiprdc.release.statistics import Request, Sums, ask_all


def component_questions(step: HybridStep, seed: int) -> Generator[Request, Sums, Parameters]:
    """Ask for sums over the crowd until the extractor's parameters are found.

    Args:
        step: the method.
        seed: of the experiment.
    """
    assert step.method.coding is not None
    width, rounds = math.prod(step.description.shape), step.method.coding.component_rounds
    axes, center = yield from fit_components(width, step.d, rounds, seed)
    layer = {"weight": torch.from_numpy(axes), "bias": torch.from_numpy(-(axes @ center))}
    return {name: layer[name.rpartition(".")[2]] for name in step.shapes()["extractor"]}


def components_at_one_place(step: HybridStep, x: X, seed: int) -> Parameters:
    """Return the extractor's parameters, from all records x [n, *shape] that may be fitted on."""

    def answer(request: Request) -> Sums:
        return COMPONENT_STATISTICS[request.name](step.inputs(x), request.arrays)

    return ask_all(component_questions(step, seed), answer)
