from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dac.divide.azimuth import (
    azimuths,
    overlapping_sectors,
    quantile_sectors,
    quantile_start,
    sectors,
)

ANGLES = st.lists(st.floats(0, 6.28), min_size=1, max_size=60).map(np.array)


def on_circle(degrees: list[float]) -> np.ndarray:
    phi = np.radians(np.asarray(degrees, float))
    return np.stack([np.cos(phi), np.sin(phi), np.full_like(phi, 0.3)], axis=1)


def test_azimuth_is_measured_from_x_towards_y_in_one_turn() -> None:
    centres = np.array([[1.0, 0, 5], [0, 2.0, 0], [-3.0, 0, 0], [0, -1.0, 0], [1.0, -1.0, 0]])
    expected = np.radians([0, 90, 180, 270, 315])
    np.testing.assert_allclose(azimuths(centres), expected, atol=1e-15)


@pytest.mark.parametrize("x", [0.0, -0.0])
@pytest.mark.parametrize("y", [0.0, -0.0])
def test_the_pole_has_azimuth_zero(x: float, y: float) -> None:
    assert azimuths(np.array([[x, y, 1.0]])).tolist() == [0.0]


def test_an_angle_just_under_zero_does_not_leave_the_interval() -> None:
    phi = azimuths(np.array([[1.0, -1e-18, 0.0], [1.0, -1e-6, 0.0], [1.0, -0.0, 0.0]]))
    assert np.all((phi >= 0) & (phi < 2 * np.pi))
    assert sectors(phi, 4).tolist() == [0, 3, 0]


def test_the_centres_of_four_sectors_are_the_authors() -> None:
    assert sectors(azimuths(on_circle([45, 135, 225, 315])), 4).tolist() == [0, 1, 2, 3]
    near = on_circle([1, 89, 91, 179, 181, 269, 271, 359])
    assert sectors(azimuths(near), 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("K", range(1, 13))
def test_a_camera_on_a_boundary_belongs_to_the_upper_sector(K: int) -> None:
    boundaries = on_circle([360 * sector / K for sector in range(K)])
    assert sectors(azimuths(boundaries), K).tolist() == list(range(K))


@pytest.mark.parametrize("K", range(2, 13))
def test_a_camera_just_under_a_boundary_belongs_to_the_lower_sector(K: int) -> None:
    under = on_circle([360 * (sector + 1) / K - 1e-5 for sector in range(K)])
    assert sectors(azimuths(under), K).tolist() == list(range(K))


@given(ANGLES)
def test_one_sector_holds_everything(phi: np.ndarray) -> None:
    assert sectors(phi, 1).tolist() == [0] * len(phi)


@given(ANGLES, st.integers(1, 12))
def test_sectors_are_equation_1(phi: np.ndarray, K: int) -> None:
    for angle, sector in zip(phi, sectors(phi, K), strict=True):
        lower, upper = 2 * np.pi * sector / K, 2 * np.pi * (sector + 1) / K
        assert 0 <= sector < K
        assert lower - 1e-8 <= angle < upper + 1e-15


@given(ANGLES, st.integers(1, 12))
def test_quantile_sectors_are_even_and_in_order(phi: np.ndarray, K: int) -> None:
    K = min(K, len(phi))
    labels = quantile_sectors(phi, K)
    sizes = np.bincount(labels, minlength=K)
    assert sizes.max() - sizes.min() <= 1
    counted = (phi - quantile_start(phi, K)) % (2 * np.pi)
    assert np.all(np.diff(labels[np.argsort(counted, kind="stable")]) >= 0)


def test_quantile_sectors_start_at_zero_where_cameras_are_all_around() -> None:
    phi = np.radians([350.0, 10, 80, 100, 170, 190, 260, 280])
    assert quantile_sectors(phi, 4).tolist() == [3, 0, 0, 1, 1, 2, 2, 3]


def test_quantile_sectors_do_not_join_cameras_across_a_wide_gap() -> None:
    phi = np.radians([300.0, 310, 320, 340, 350, 5, 15, 20])
    assert quantile_sectors(phi, 2).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@given(ANGLES)
def test_six_sectors_of_120_degrees_hold_each_camera_twice(phi: np.ndarray) -> None:
    member = overlapping_sectors(phi, 6, np.radians(120))
    assert np.all(member.sum(axis=0) == 2)
    assert np.all(member[sectors(phi, 6), np.arange(len(phi))])


def test_six_sectors_of_120_degrees_hold_cameras_on_boundaries_twice() -> None:
    phi = azimuths(on_circle([30.0 * i for i in range(12)]))
    assert overlapping_sectors(phi, 6, np.radians(120)).sum(axis=0).tolist() == [2] * 12


@given(ANGLES, st.integers(1, 9), st.floats(0, 1))
def test_overlapping_sectors_hold_their_own_cameras_and_only_near_ones(
    phi: np.ndarray, K: int, extra: float
) -> None:
    width = (2 * np.pi / K) * (1 - extra) + 2 * np.pi * extra
    member = overlapping_sectors(phi, K, width)
    assert np.all(member[sectors(phi, K), np.arange(len(phi))])
    centre = 2 * np.pi * (np.arange(K) + 0.5) / K
    distance = np.abs((phi[None] - centre[:, None] + np.pi) % (2 * np.pi) - np.pi)
    assert np.all(distance[member] <= width / 2 + 1e-7)
    assert np.all(distance[~member] >= width / 2 - 1e-7)


@given(ANGLES, st.integers(1, 9))
def test_sectors_without_overlap_are_equation_1(phi: np.ndarray, K: int) -> None:
    member = overlapping_sectors(phi, K, 2 * np.pi / K)
    np.testing.assert_array_equal(member, sectors(phi, K)[None] == np.arange(K)[:, None])


@pytest.mark.parametrize("degrees", [50.0, 361.0])
def test_overlapping_sectors_refuse_gaps_and_more_than_a_turn(degrees: float) -> None:
    with pytest.raises(ValueError, match="degrees wide"):
        overlapping_sectors(np.zeros(1), 6, np.radians(degrees))
