"""Image metrics: PSNR, SSIM, MS-SSIM.

Notation: an image is (H, W, 3) in [0, 1]; `usable` is (H, W) bool, False where a mask leaves a
pixel out. Renders are scored as floats, clamped to [0, 1] and never rounded to 8 bits; the truth is
the 8-bit image composited over the scene's background.

Masks: PSNR and SSIM average over usable pixels only. Where a pixel is not usable, the render is
first replaced by the truth, so that it can't reach its neighbours through SSIM's window; MS-SSIM
has no such average and is computed on the image filled in this way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_ERROR = 1e-10
BORDER = 5
SMALLEST_MS_SSIM_SIDE = 176


@dataclass(frozen=True)
class Scores:
    """PSNR in dB, SSIM, and MS-SSIM or None where the image is too small for it."""

    psnr: float
    ssim: float
    ms_ssim: float | None


def score(render: Tensor, truth: Tensor, usable: Tensor | None = None) -> Scores:
    """All three metrics of one render.

    Args:
        render: (H, W, 3), any range; clamped to [0, 1] here.
        truth: (H, W, 3) in [0, 1].
        usable: (H, W) bool, or None for all pixels.

    Raises:
        ValueError: shapes disagree, the render is not finite, no pixel is usable, or a side is
            under 11 pixels.
    """
    if not bool(torch.isfinite(render).all()):
        raise ValueError("the render holds NaN or infinity")
    render = render.clamp(0.0, 1.0)
    if usable is not None:
        render = torch.where(usable[..., None], render, truth)
    return Scores(psnr(render, truth, usable), ssim(render, truth, usable), ms_ssim(render, truth))


def psnr(render: Tensor, truth: Tensor, usable: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio, -10 log10(mean squared error), in dB for a peak of 1.

    The error is taken as at least 1e-10, so equal images score 100 dB and means stay finite.

    Args:
        render, truth: (..., 3), equal shapes.
        usable: (...) bool, or None for all pixels.

    Raises:
        ValueError: shapes disagree or no pixel is usable.
    """
    _check(render, truth, usable)
    error = (render.double() - truth.double()).square()
    if usable is not None:
        error = error[usable]
    return psnr_of_error(float(error.mean()))


def psnr_of_error(error: float) -> float:
    """PSNR in dB of a mean squared error."""
    return -10.0 * math.log10(max(error, SMALLEST_ERROR))


def ssim(render: Tensor, truth: Tensor, usable: Tensor | None = None) -> float:
    """Structural similarity: Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03, peak 1.

    torchmetrics pads by reflection and averages the padded border too. Here the full map is
    cropped by half a window, so every window lies in the image: the number that mip-NeRF and
    K-Planes report.

    Args:
        render, truth: (H, W, 3).
        usable: (H, W) bool, or None for all pixels.

    Raises:
        ValueError: shapes disagree, a side is under 11 pixels, or no pixel is usable.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check(render, truth, usable)
    if min(render.shape[:2]) <= 2 * BORDER:
        raise ValueError(f"SSIM needs sides of at least {2 * BORDER + 1} pixels")
    _, full = structural_similarity_index_measure(
        _batch(render), _batch(truth), sigma=1.5, data_range=1.0, return_full_image=True
    )
    cropped = full[0, :, BORDER:-BORDER, BORDER:-BORDER].mean(dim=0)
    if usable is None:
        return float(cropped.mean())
    kept = usable[BORDER:-BORDER, BORDER:-BORDER]
    if not bool(kept.any()):
        raise ValueError("no pixel is usable")
    return float(cropped[kept].mean())


def ms_ssim(render: Tensor, truth: Tensor) -> float | None:
    """Multi-scale structural similarity over five scales, torchmetrics' definition.

    Args:
        render, truth: (H, W, 3).

    Returns:
        None where a side is under 176 pixels: the coarsest of the five scales would be smaller
        than the window (torchmetrics asks for side // 16 > 10).
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    _check(render, truth, None)
    if min(render.shape[:2]) < SMALLEST_MS_SSIM_SIDE:
        return None
    return float(
        multiscale_structural_similarity_index_measure(
            _batch(render), _batch(truth), data_range=1.0
        )
    )


def _batch(image: Tensor) -> Tensor:
    """(H, W, 3) to (1, 3, H, W)."""
    return image.movedim(-1, 0)[None]


def _check(render: Tensor, truth: Tensor, usable: Tensor | None) -> None:
    if render.shape != truth.shape:
        raise ValueError(f"render {tuple(render.shape)} and truth {tuple(truth.shape)} differ")
    if usable is not None and not bool(usable.any()):
        raise ValueError("no pixel is usable")
