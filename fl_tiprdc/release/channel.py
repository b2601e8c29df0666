"""The release channel, which turns an extractor's output into a representation that may leave the device."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Noise = torch.Generator | Callable[[tuple[int, ...]], Tensor]  # a generator, or a function from a shape to draws


def release(features: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Send features through a power-constrained Gaussian channel: z̃ = √d · e/‖e‖ + σ ε.

    Args:
        features: [..., d] extractor outputs e.
        noise: [..., d] draws ε from N(0, I).
        sigma: standard deviation σ of the noise, a number or a scalar tensor; 0 adds no noise.

    Returns:
        The representation [..., d] that is published.
    """
    d = features.shape[-1]
    return math.sqrt(d) * functional.normalize(features, dim=-1) + sigma * noise


def capacity_bits(d: int, sigma: float) -> float:
    """Return the channel's capacity (d/2) log2(1 + 1/σ²): I(x; z̃) is no more, in bits, for any attacker."""
    return math.inf if sigma == 0 else d / 2 * math.log2(1 + 1 / sigma**2)


def draw_noise(shape: tuple[int, ...], generator: Noise) -> Tensor:
    """Return standard normal draws ε of a shape, from a generator that the caller owns."""
    if not isinstance(generator, torch.Generator):
        return generator(shape)
    return torch.randn(shape, generator=generator)
