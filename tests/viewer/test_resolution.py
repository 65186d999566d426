from __future__ import annotations

import math
from itertools import pairwise

import pytest

from dac.viewer.resolution import Resolution

WINDOW = (1280, 800)


def settle(resolution: Resolution, seconds_per_ray: float, frames: int = 40) -> float:
    """Pictures a second, after some on a machine of that speed."""
    for _ in range(frames):
        width, height = resolution.sizes(*WINDOW)[0]
        resolution.measured(width * height, width * height * seconds_per_ray)
    width, height = resolution.sizes(*WINDOW)[0]
    return 1 / (width * height * seconds_per_ray)


@pytest.mark.parametrize("seconds_per_ray", [2e-5, 6e-6, 1e-6, 2e-7])
@pytest.mark.parametrize("guess", [1e-4, 1e-7])
def test_motion_settles_at_the_wanted_rate(seconds_per_ray: float, guess: float) -> None:
    assert 11.5 <= settle(Resolution(guess), seconds_per_ray) <= 15.5


def test_a_fast_machine_renders_the_window_at_once() -> None:
    resolution = Resolution()
    assert settle(resolution, 1e-9) > 15
    assert resolution.sizes(*WINDOW) == [WINDOW]


def test_a_slow_machine_keeps_a_picture_that_one_can_see() -> None:
    resolution = Resolution()
    settle(resolution, 1e-2)
    assert resolution.sizes(*WINDOW)[0] == (77, 48)


def test_pictures_grow_evenly_until_they_fill_the_window() -> None:
    resolution = Resolution()
    settle(resolution, 6e-6)
    sizes = resolution.sizes(*WINDOW)
    assert sizes[-1] == WINDOW and len(sizes) > 2
    for (width, height), (wider, _) in pairwise(sizes):
        assert 1.4 * width < wider <= 2.05 * width
        assert width / height == pytest.approx(1.6, rel=0.02)


def test_the_size_stays_while_the_rate_is_in_its_range() -> None:
    resolution = Resolution(1 / (13.5 * 16000))
    before = resolution.sizes(*WINDOW)
    for factor in (0.95, 1.05, 1.0, 0.93):
        resolution.measured(16000, factor / 13.5)
        assert resolution.sizes(*WINDOW) == before
    settle(resolution, 2 / (13.5 * 16000))
    area = math.prod(resolution.sizes(*WINDOW)[0])
    assert area == pytest.approx(8000, rel=0.15)


def test_a_chunk_takes_some_hundredths_of_a_second() -> None:
    resolution = Resolution()
    settle(resolution, 1e-5)
    assert 0.01 < resolution.chunk * 1e-5 < 0.04
    settle(resolution, 1.0)
    assert resolution.chunk == 512


@pytest.mark.parametrize("window", [(1, 1), (3, 700), (5000, 20)])
def test_odd_windows(window: tuple[int, int]) -> None:
    sizes = Resolution(1e-4).sizes(*window)
    assert sizes[-1] == window
    assert all(width >= 1 and height >= 1 for width, height in sizes)
