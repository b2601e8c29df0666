"""The similarity of two images: SSIM, MS-SSIM and PSNR, for images of any size."""

from collections.abc import Mapping

import torch
from pytorch_msssim.ssim import (  # type: ignore[import-untyped]
    _fspecial_gauss_1d as gaussian_window,  # the package's own MS-SSIM refuses images of less than 161 pixels
)
from pytorch_msssim.ssim import _ssim as similarity_of_one_scale
from torch import Tensor

WINDOW, SPREAD = 11, 1.5  # Wang et al. (2004): a Gaussian window of 11 pixels
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli and Bovik (2003), finest scale first
SMALLEST = 32  # pixels of the shorter side below which one scale is left
LARGEST_PSNR = 100.0  # decibels; of equal images it would be infinite, and no mean could be taken


def scales_and_window(height: int, width: int) -> tuple[int, int]:
    """Return the number of scales and the side of the window for images of this size.

    Each scale halves the image. As many scales, up to the usual five, as leave the coarsest image no smaller than
    the usual window of 11 pixels: five from 161 pixels of the shorter side on, four from 81, three from 41, two
    from 32. Below 32 pixels a single one, which is SSIM; below 11 pixels the window shrinks to the largest odd
    number that fits.
    """
    side = min(height, width)
    window = min(WINDOW, side - (side + 1) % 2)
    if side < SMALLEST:
        return 1, window
    scales = 1
    while scales < len(WEIGHTS) and -(-side // 2) >= window:
        side = -(-side // 2)  # halving pads odd sides
        scales += 1
    return scales, window


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the structural similarity [n] of each pair, mean over channels: [n, C, H, W] twice, values 0 to 1."""
    window = gaussian_window(scales_and_window(*x.shape[-2:])[1], SPREAD).repeat(x.shape[1], 1, 1, 1)
    similarity: Tensor = similarity_of_one_scale(x, y, 1.0, window, size_average=False)[0].mean(1)
    return similarity


def ms_ssim(x: Tensor, y: Tensor, floor: float = 0.0) -> Tensor:
    """Return the multi-scale structural similarity of each pair, mean over channels.

    From 161 pixels of the shorter side on it is `pytorch_msssim.ms_ssim`. Smaller images have fewer scales (see
    `scales_and_window`), whose weights are the first of the usual ones, divided by their sum.

    Args:
        x: [n, C, H, W], values 0 to 1.
        y: as x.
        floor: smallest value of a scale's similarity; above 0 in training, since the root has no slope at 0.

    Returns:
        [n].
    """
    scales, size = scales_and_window(*x.shape[-2:])
    window = gaussian_window(size, SPREAD).repeat(x.shape[1], 1, 1, 1)
    total = sum(WEIGHTS[:scales])
    product = torch.ones(x.shape[:2])
    for scale in range(scales):
        whole, contrast = similarity_of_one_scale(x, y, 1.0, window, size_average=False)
        last = scale == scales - 1
        product = product * (whole if last else contrast).clamp(min=floor) ** (WEIGHTS[scale] / total)
        if not last:
            padding = [side % 2 for side in x.shape[-2:]]
            x, y = (torch.nn.functional.avg_pool2d(image, 2, padding=padding) for image in (x, y))
    return product.mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio [n] of each pair [n, C, H, W] in decibels, at most `LARGEST_PSNR`."""
    error = (x - y).square().mean((1, 2, 3))
    return (-10 * error.log10()).clamp(max=LARGEST_PSNR)


def similarities(x: Tensor, y: Tensor) -> Mapping[str, Tensor]:
    """Return all measures of each pair, by their names in metrics.csv."""
    return {"ms-ssim": ms_ssim(x, y), "ssim": ssim(x, y), "psnr": psnr(x, y)}
