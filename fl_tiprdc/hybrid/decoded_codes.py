"""The meaning of codes: the record that the training's decoder makes of each codeword."""

import itertools

import numpy as np
import torch
from torch.func import functional_call

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.hybrid.bounds import critic_and_bound
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.models.networks import build_networks
from fl_tiprdc.release.arrays import GroupArrays


def decode_codewords(step: HybridStep, groups: GroupArrays) -> Floats | None:
    """Return what the decoder says of each codeword, whichever private class a record has.

    It is the mean over all private classes, each weighted alike, so that it tells of none. Principal components are
    multiplied out; as a code knows no contrast, their pictures share one that uses the whole range.

    Args:
        step: the method's networks.
        groups: arrays of "codes", "extractor" and, where a decoder was trained, "critic".

    Returns:
        [K, ...] parameters of a record, see `hybrid.bounds.reconstruction`; None: the method has no decoder.
    """
    codewords = groups["codes"]["codewords"]
    if step.components:
        axes, bias = (next(v for k, v in groups["extractor"].items() if k.endswith(end)) for end in ("weight", "bias"))
        moves = codewords @ axes
        scale = 2 / max(float(np.ptp(moves)), 1e-9)
        pixels = (scale * moves - bias @ axes + 1) / 2
        return pixels.reshape(len(codewords), *step.description.shape).astype(np.float32)
    critic, _ = critic_and_bound(step.method.information)
    if critic != "decoder" or "critic" not in groups:
        return None
    decoder = build_networks(step.description, step.network, critic, 0)["critic"].eval()
    parameters = {name: torch.tensor(array) for name, array in groups["critic"].items()}
    z, nothing = torch.tensor(codewords), torch.zeros(0)
    classes = list(itertools.product(*(torch.eye(count) for count in step.description.classes)))
    with torch.no_grad():
        decoded = [
            functional_call(decoder, parameters, (nothing, z, torch.cat(own).expand(len(z), -1))) for own in classes
        ]
    mean: Floats = torch.stack(decoded).mean(0).numpy()
    return mean
