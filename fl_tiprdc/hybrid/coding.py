"""A fit of codes with all records in one place, which answers the questions of `release.codebook` itself."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fl_tiprdc.data.crowd import Floats, Ints, Records
from fl_tiprdc.data.lazy_images import LazyImages
from fl_tiprdc.hybrid.step import HybridStep, Parameters
from fl_tiprdc.methods import MethodConfig
from fl_tiprdc.release.codebook import Bears, CodeFit, fit_codes
from fl_tiprdc.release.codes import Codes, joint_classes
from fl_tiprdc.release.draws import Draws
from fl_tiprdc.release.known_levels import with_level
from fl_tiprdc.release.release import one_draw_each
from fl_tiprdc.release.statistics import Coded, answer, ask_all
from fl_tiprdc.seeding import numpy_generator


def set_aside(participant: Ints, method: MethodConfig, seed: int) -> npt.NDArray[np.bool_]:
    """Choose the people who certify, at random, and mark their records [n]; none for methods without codes."""
    people = np.unique(participant)
    count = round(method.coding.certifying * len(people)) if method.coding else 0
    return np.isin(participant, numpy_generator(seed, "certifying").permutation(people)[:count])


def fitting(records: Records, certifying: npt.NDArray[np.bool_]) -> Records:
    """Return the records that don't certify: training may see them."""
    if not certifying.any():
        return records
    kept = np.flatnonzero(~certifying)
    x = records.x.subset(kept) if isinstance(records.x, LazyImages) else records.x[kept]
    return Records(x, records.private[kept])


def coded(
    z: Floats,
    classes: tuple[int, ...],
    records: Records,
    certifying: npt.NDArray[np.bool_],
    draws: Callable[[Codes], Draws],
) -> Coded:
    """Return the records in the form in which the questions of a code fit are answered.

    Args:
        z: [n, d] the points at which they are coded.
        classes: number of classes of each private attribute.
        records: those of one client, or of all.
        certifying: [n] bool, True for records that have no part in the fit.
        draws: from codes to the draws with which these records are published.
    """
    joint = joint_classes(records.private, classes)

    def draw(codes: Codes) -> Ints:
        place = with_level(joint, codes.known, records.x)
        return codes.draw(z, place, one_draw_each(records.x, draws(codes)))

    return Coded(z, joint, certifying, draw, records.x)


def fit_at_one_place(
    step: HybridStep,
    extractor: Parameters,
    records: Records,
    certifying: npt.NDArray[np.bool_],
    lambdas: Sequence[float],
    seed: int,
    bears: Bears,
    draws: Callable[[Codes], Draws],
) -> CodeFit:
    """Fit codes for every λ, and count the codes of the certifying people.

    Args:
        step: the method's networks.
        extractor: trained parameters.
        records: those of all contributors.
        certifying: [n] bool, True for records that have no part in the fit.
        lambdas: values of λ.
        seed: the experiment's seed.
        bears: returns how many codes a number of people can certify.
        draws: from codes to the draws with which the records are published.

    Raises:
        InputError: there are too few people.
    """
    assert step.method.coding is not None
    coded_records = coded(step.code_space(extractor, records.x), step.description.classes, records, certifying, draws)
    questions = fit_codes(step.method.coding, step.description, step.d, lambdas, seed, bears)
    return ask_all(questions, lambda request: answer(request.name, coded_records, request.arrays))
