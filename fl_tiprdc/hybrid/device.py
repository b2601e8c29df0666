"""The choice of the device that trains."""

from functools import cache

import torch


@cache
def training_device() -> torch.device:
    """Return the GPU that torch sees, if there is one, and else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
