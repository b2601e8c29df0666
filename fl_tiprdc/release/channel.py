"""The release channel: what turns an extractor's output into a representation that may leave the device."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Noise = torch.Generator | Callable[[tuple[int, ...]], Tensor]  # where draws come from


def release(features: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Power-constrained Gaussian channel, z̃ = √d · e/‖e‖ + σ ε.

    Args:
        features: [..., d] extractor outputs e.
        noise: [..., d] draws ε from N(0, I).
        sigma: noise standard deviation σ, a number or a scalar tensor.

    Returns:
        [..., d] released representation.
    """
    d = features.shape[-1]
    return math.sqrt(d) * functional.normalize(features, dim=-1) + sigma * noise


def capacity_bits(d: int, sigma: float) -> float:
    """Upper bound on I(x; z̃) in bits for any attacker: (d/2) log2(1 + 1/σ²), the Gaussian channel's capacity."""
    return math.inf if sigma == 0 else d / 2 * math.log2(1 + 1 / sigma**2)


def draw_noise(shape: tuple[int, ...], generator: Noise) -> Tensor:
    """Standard normal draws ε from a generator that the caller owns."""
    if not isinstance(generator, torch.Generator):
        return generator(shape)
    return torch.randn(shape, generator=generator)
