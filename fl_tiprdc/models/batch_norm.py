"""Batch normalization whose running statistics are parameters: they travel, and are averaged, like all others."""

import torch
from torch import Tensor, nn
from torch.nn import functional

STATISTICS = ("running_mean", "running_var")
MOMENTUM = 0.1  # torch's: how far running statistics move towards a batch's


def is_statistic(name: str) -> bool:
    """Return whether a parameter of that name is a running statistic."""
    return name.rpartition(".")[2] in STATISTICS


class BatchNorm2d(nn.Module):
    """As torch.nn.BatchNorm2d (Ioffe & Szegedy 2015), as a pure function of its parameters.

    In training it normalizes by the batch and notes in `lag` half the squared distance of the running statistics to
    the batch's. Added to the loss, that has the step towards the batch as its gradient: whoever updates
    parameters takes it times `MOMENTUM`, in place of an optimizer's step; averaged over clients it is the
    step towards the crowd's statistics.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.running_mean, self.running_var = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.ones(channels))
        self._epsilon = epsilon
        self.lag: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x [b, C, H, W] normalized by channel."""
        if not self.training:
            statistics = self.running_mean.detach(), self.running_var.detach()
            return functional.batch_norm(x, *statistics, self.weight, self.bias, False, 0.0, self._epsilon)
        normalized: Tensor
        normalized, mean, inverse = torch.native_batch_norm(
            x, self.weight, self.bias, None, None, True, 0.0, self._epsilon
        )
        mean, variance = mean.detach(), inverse.detach() ** -2 - self._epsilon
        count = x.numel() // x.shape[1]
        unbiased = variance * (count / max(count - 1, 1))
        self.lag = 0.5 * ((self.running_mean - mean).square().sum() + (self.running_var - unbiased).square().sum())
        return normalized
