"""Batch normalisation whose running statistics are parameters: they travel, and are averaged, like all others."""

import torch
from torch import Tensor, nn

STATISTICS = ("running_mean", "running_var")
MOMENTUM = 0.1  # torch's: how far running statistics move towards a batch's


def is_statistic(name: str) -> bool:
    """Return whether a parameter of that name is a running statistic."""
    return name.rpartition(".")[2] in STATISTICS


class BatchNorm2d(nn.Module):
    """As torch.nn.BatchNorm2d (Ioffe & Szegedy 2015), as a pure function of its parameters.

    In training it normalises by the batch and notes in `lag` half the squared distance of the running statistics to
    the batch's. Added to the loss, that has the step towards the batch as its gradient: whoever updates
    parameters takes it times `MOMENTUM`, in place of an optimiser's step; averaged over clients it is the
    step towards the crowd's statistics.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.running_mean, self.running_var = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.ones(channels))
        self._epsilon = epsilon
        self.lag: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x [b, C, H, W] normalised by channel."""
        if self.training:
            mean = x.mean((0, 2, 3))
            variance = ((x - mean[:, None, None]) ** 2).mean((0, 2, 3))
            count = x.numel() // x.shape[1]
            unbiased = variance.detach() * (count / max(count - 1, 1))
            self.lag = 0.5 * (
                (self.running_mean - mean.detach()).square().sum() + (self.running_var - unbiased).square().sum()
            )
        else:
            mean, variance = self.running_mean, self.running_var
        scale = self.weight / (variance + self._epsilon).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
