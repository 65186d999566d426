from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dac.evaluation.metrics import ms_ssim, psnr, score, ssim


def _pair(seed: int, height: int, width: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(height, width, 3, generator=generator)
    step = noise * torch.randn(height, width, 3, generator=generator)
    return (truth + step).clamp(0, 1), truth


def _slow_ssim(render: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H - 10, W - 10, 3): SSIM of every window that lies in the image, straight from its text."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    height, width, _ = render.shape
    result = np.empty((height - 10, width - 10, 3))
    for row in range(height - 10):
        for column in range(width - 10):
            for channel in range(3):
                x = render[row : row + 11, column : column + 11, channel]
                y = truth[row : row + 11, column : column + 11, channel]
                mx, my = (window * x).sum(), (window * y).sum()
                vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
                vxy = (window * (x - mx) * (y - my)).sum()
                top = (2 * mx * my + 0.01**2) * (2 * vxy + 0.03**2)
                bottom = (mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2)
                result[row, column, channel] = top / bottom
    return result


@pytest.mark.parametrize("offset", [0.5, 0.1, 0.01, 1e-4])
def test_psnr_of_a_constant_offset(offset: float) -> None:
    truth = torch.full((7, 9, 3), 0.25, dtype=torch.float64)
    assert psnr(truth + offset, truth) == pytest.approx(-20 * math.log10(offset), abs=1e-9)


def test_psnr_averages_errors_and_not_decibels() -> None:
    truth, render = torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)
    render[0] = 1.0
    assert psnr(render, truth) == pytest.approx(-10 * math.log10(0.5))


def test_equal_images() -> None:
    truth = _pair(0, 180, 176, 0.0)[1]
    scores = score(truth, truth)
    assert scores.psnr == pytest.approx(100.0)
    assert scores.ssim == pytest.approx(1.0, abs=1e-6)
    assert scores.ms_ssim == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_ssim_is_the_slow_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(11, 24, 2))
    render, truth = _pair(seed, height, width, float(rng.uniform(0.01, 0.5)))
    expected = _slow_ssim(render.double().numpy(), truth.double().numpy()).mean()
    assert ssim(render, truth) == pytest.approx(expected, abs=2e-5)
    assert ssim(render.double(), truth.double()) == pytest.approx(expected, abs=1e-9)


def test_masked_pixels_change_no_score() -> None:
    render, truth = _pair(1, 24, 26, 0.1)
    usable = torch.ones(24, 26, dtype=torch.bool)
    usable[5:12, 8:20] = False
    worse = torch.where(usable[..., None], render, 1 - render)
    assert score(worse, truth, usable) == score(render, truth, usable)
    assert score(render, truth, usable).psnr == pytest.approx(psnr(render[usable], truth[usable]))
    filled = torch.where(usable[..., None], render, truth).double().numpy()
    slow = _slow_ssim(filled, truth.double().numpy()).mean(axis=-1)
    kept = usable[5:-5, 5:-5].numpy()
    assert score(render, truth, usable).ssim == pytest.approx(slow[kept].mean(), abs=2e-5)


def test_renders_are_clamped() -> None:
    truth = torch.ones(16, 16, 3)
    assert score(truth + 3.0, truth).psnr == pytest.approx(100.0)


@pytest.mark.parametrize(("height", "width"), [(175, 300), (300, 175), (24, 24)])
def test_ms_ssim_is_not_invented_below_176(height: int, width: int) -> None:
    assert ms_ssim(*_pair(0, height, width, 0.1)) is None


def test_ms_ssim_at_176() -> None:
    value = ms_ssim(*_pair(0, 176, 176, 0.1))
    assert value is not None and 0.5 < value < 1.0


def test_what_cannot_be_scored() -> None:
    render, truth = _pair(0, 16, 16, 0.1)
    with pytest.raises(ValueError, match="NaN"):
        score(render * math.nan, truth)
    with pytest.raises(ValueError, match="usable"):
        psnr(render, truth, torch.zeros(16, 16, dtype=torch.bool))
    with pytest.raises(ValueError, match="differ"):
        psnr(render[:-1], truth)
    with pytest.raises(ValueError, match="11"):
        ssim(render[:10], truth[:10])
