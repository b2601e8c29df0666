"""Principal components as extractor: its parameters, and its fit with all records in one place."""

import math
from collections.abc import Generator

import torch

from fl_tiprdc.data.crowd import X
from fl_tiprdc.hybrid.step import HybridStep, Parameters
from fl_tiprdc.release.components import COMPONENT_STATISTICS, fit_components
from fl_tiprdc.release.statistics import Request, Sums, ask_all


def component_questions(step: HybridStep, seed: int) -> Generator[Request, Sums, Parameters]:
    """Ask for sums over the crowd until the crowd's principal components are known, and return them as an extractor.

    Args:
        step: the method's networks.
        seed: the experiment's seed.
    """
    assert step.method.coding is not None
    width, rounds = math.prod(step.description.shape), step.method.coding.component_rounds
    axes, center = yield from fit_components(width, step.d, rounds, seed)
    layer = {"weight": torch.from_numpy(axes), "bias": torch.from_numpy(-(axes @ center))}
    return {name: layer[name.rpartition(".")[2]] for name in step.shapes()["extractor"]}


def components_at_one_place(step: HybridStep, x: X, seed: int) -> Parameters:
    """Return the principal components of records x [n, *shape] as parameters of the extractor."""

    def answer(request: Request) -> Sums:
        return COMPONENT_STATISTICS[request.name](step.inputs(x), request.arrays)

    return ask_all(component_questions(step, seed), answer)
