"""Sharpness, motion and the choice of frames, against known blurs, displacements and stretches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from filming import wall
from scipy.ndimage import affine_transform, gaussian_filter, uniform_filter1d

from dac.scenes.photos.frame_choice import Floats, Travel, choose, displacement, sharpness

SHAPE = (180, 320)
GREY = wall(640, 360).mean(axis=2)
SMOOTH = gaussian_filter(GREY, 1.0)  # so that it may be resampled
CENTRE = np.array([180.0, 320.0])
MIDDLE = np.array([90.0, 160.0])  # of the picture


def seen(scale: float = 1.0, degrees: float = 0.0, shift: tuple[float, float] = (0, 0)) -> Floats:
    """The wall from a camera that has stepped back, turned about its axis, moved down and right."""
    linear = _linear(scale, degrees)
    offset = CENTRE + shift - linear @ MIDDLE
    return np.asarray(affine_transform(SMOOTH, linear, offset, SHAPE, order=1))


def _linear(scale: float, degrees: float) -> Floats:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return scale * np.array([[cosine, -sine], [sine, cosine]])


def true_displacement(scale: float, degrees: float, shift: tuple[float, float]) -> float:
    """Mean distance, in widths, from a pixel of `seen()` to where `seen(...)` shows the same."""
    pixels = np.indices(SHAPE).reshape(2, -1) - MIDDLE[:, None]
    there = np.linalg.inv(_linear(scale, degrees)) @ (pixels - np.array(shift)[:, None])
    return float(np.linalg.norm(there - pixels, axis=0).mean() / SHAPE[1])


@pytest.mark.parametrize("scale", [1.0, 0.97, 1.06])
@pytest.mark.parametrize("degrees", [0.0, 3.0, -5.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.0, 2.5), (9.0, -14.0), (-20.0, 50.0)])
def test_displacements_are_measured(
    scale: float, degrees: float, shift: tuple[float, float]
) -> None:
    truth = true_displacement(scale, degrees, shift)
    found = displacement(seen(), seen(scale, degrees, shift))
    assert found == pytest.approx(truth, rel=0.03, abs=5e-4)


def test_brightness_and_contrast_are_no_motion() -> None:
    assert displacement(seen(), 0.5 * seen() + 80) < 1e-6
    moved = seen(shift=(0, 8))
    assert displacement(seen(), 0.5 * moved + 80) == pytest.approx(8 / 320, rel=0.02)


def test_without_detail_nothing_moves() -> None:
    noise = np.random.default_rng(0).normal(100, 1, (2, *SHAPE))
    assert displacement(np.full(SHAPE, 7.0), np.full(SHAPE, 9.0)) == 0.0
    assert displacement(noise[0], noise[1]) < 0.05


def test_steps_add_up_and_trembling_does_not() -> None:
    travel = Travel()
    path = [travel.add(seen(shift=(0, 5 * i))) for i in range(20)]
    np.testing.assert_allclose(path, np.arange(20) * 5 / 320, rtol=0.02, atol=1e-6)
    trembling = np.random.default_rng(1).uniform(-4, 4, (25, 2))
    travel = Travel()
    assert max(travel.add(seen(shift=tuple(shift))) for shift in trembling) < 0.05


def test_sharpness_falls_with_blur_and_not_with_contrast() -> None:
    for axis in (0, 1):
        values = [sharpness(uniform_filter1d(GREY, size, axis)) for size in (1, 2, 3, 5, 9, 15)]
        assert all(a > 1.2 * b for a, b in pairwise(values))
    assert sharpness(0.4 * GREY + 90) == pytest.approx(sharpness(GREY), rel=1e-9)
    assert sharpness(np.full((20, 30), 40.0)) == 0.0


def test_noise_does_not_make_a_blurred_picture_the_sharper_one() -> None:
    random = np.random.default_rng(2)
    noisy = [
        sharpness(uniform_filter1d(GREY, size, 1) + random.normal(0, 3, GREY.shape))
        for size in (1, 3, 9)
    ]
    assert noisy[0] > noisy[1] > noisy[2]


def test_choice_by_hand() -> None:
    """Three stretches of one unit; the second has one sharp frame, the third is still."""
    motion = np.array([0.0, 0.2, 0.45, 0.8, 1.1, 1.6, 1.9, 2.5, 2.5, 2.5, 3.0])
    sharp = np.array([1.0, 1.0, 0.96, 1.0, 0.5, 0.4, 1.0, 0.7, 0.9, 0.9, 0.2])
    assert choose(motion, sharp, 3, 0.0) == [2, 6, 8]
    assert choose(motion, np.ones(11), 3, 0.0) == [2, 5, 7]


def test_a_blurred_stretch_is_left_out() -> None:
    motion = np.arange(40) / 39
    sharp = np.where((motion > 0.39) & (motion < 0.61), 0.3, 1.0)
    assert len(choose(motion, sharp, 10, 0.0)) == 10
    kept = choose(motion, sharp, 10, 0.5)
    assert len(kept) == 8 and (sharp[kept] == 1.0).all()


@pytest.mark.parametrize("seed", range(20))
def test_choice_of_any_frames(seed: int) -> None:
    """Ascending, at most as many as wanted, and each as sharp as any of its stretch, to 5 %."""
    random = np.random.default_rng(seed)
    count, frames = int(random.integers(2, 40)), int(random.integers(2, 300))
    motion = np.cumsum(random.exponential(1.0, frames) * (random.random(frames) < 0.7))
    motion -= motion[0]
    if motion[-1] == 0:
        motion[-1] = 1.0
    sharp = random.uniform(0.1, 1, frames)
    chosen = choose(motion, sharp, count, 0.0)
    assert chosen == sorted(set(chosen)) and 1 <= len(chosen) <= count
    stretch = np.minimum(motion * count // motion[-1], count - 1)
    for frame in chosen:
        assert sharp[frame] >= 0.95 * sharp[stretch == stretch[frame]].max()
    assert len(chosen) == len(np.unique(stretch))
