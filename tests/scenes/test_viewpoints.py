"""Viewpoints: even cover of the hemisphere, reproducible choices, proper camera poses."""

from __future__ import annotations

import numpy as np
import pytest

from dac.scenes.photos.viewpoints import (
    farthest_point_sampling,
    hemisphere_candidates,
    opengl_look_at,
)


def smallest_angle(points: np.ndarray) -> float:
    """Smallest angle between two directions, in degrees; points has shape (N, 3)."""
    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    cosines = directions @ directions.T - 2.0 * np.eye(len(points))
    return float(np.degrees(np.arccos(cosines.max())))


def slow_farthest(points: np.ndarray, count: int, first: int) -> list[int]:
    """Farthest point sampling by its definition, without any bookkeeping."""
    chosen = [first]
    while len(chosen) < count:
        best, best_gap = -1, -1.0
        for index in range(len(points)):
            if index in chosen:
                continue
            gap = min(float(((points[index] - points[other]) ** 2).sum()) for other in chosen)
            if gap > best_gap:
                best, best_gap = index, gap
        chosen.append(best)
    return chosen


def test_candidates_are_on_the_upper_hemisphere() -> None:
    points = hemisphere_candidates(2000, 4.0, seed=1)
    assert points.shape == (2000, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 4.0, rtol=1e-12)
    assert (points[:, 2] >= 0.0).all()


def test_candidates_are_uniform_by_area() -> None:
    points = hemisphere_candidates(40000, 1.0, seed=2)
    heights, _ = np.histogram(points[:, 2], bins=10, range=(0.0, 1.0))
    azimuths, _ = np.histogram(np.arctan2(points[:, 1], points[:, 0]), bins=10)
    for counts in (heights, azimuths):  # 4000 per bin, standard deviation 60
        assert np.abs(counts - 4000).max() < 5 * 60


def test_minimum_elevation_is_kept() -> None:
    lowest = np.radians(20.0)
    points = hemisphere_candidates(3000, 2.5, seed=3, minimum_elevation=lowest)
    elevation = np.arcsin(points[:, 2] / 2.5)
    assert elevation.min() >= lowest - 1e-12
    assert elevation.min() < lowest + np.radians(0.5)


@pytest.mark.parametrize("count", [180, 200])
def test_spread_is_far_above_random(count: int) -> None:
    points = hemisphere_candidates(20000, 4.0, seed=4)
    spread = smallest_angle(points[farthest_point_sampling(points, count, seed=4)])
    at_random = [smallest_angle(hemisphere_candidates(count, 4.0, seed)) for seed in range(20)]
    assert spread > 5.0
    assert spread > 3.0 * max(at_random)


@pytest.mark.parametrize("count", [180, 200])
def test_azimuths_are_nearly_uniform(count: int) -> None:
    points = hemisphere_candidates(20000, 4.0, seed=5)
    views = points[farthest_point_sampling(points, count, seed=5)]
    counts, _ = np.histogram(np.arctan2(views[:, 1], views[:, 0]), bins=8, range=(-np.pi, np.pi))
    assert np.abs(counts - count / 8).max() <= 0.2 * count / 8


def test_same_seed_same_views_other_seed_other_views() -> None:
    first = hemisphere_candidates(5000, 4.0, seed=6)
    np.testing.assert_array_equal(first, hemisphere_candidates(5000, 4.0, seed=6))
    train = first[farthest_point_sampling(first, 180, seed=6)]
    np.testing.assert_array_equal(train, first[farthest_point_sampling(first, 180, seed=6)])
    second = hemisphere_candidates(5000, 4.0, seed=7)
    test = second[farthest_point_sampling(second, 200, seed=7)]
    gaps = np.linalg.norm(train[:, None] - test[None], axis=-1)
    assert gaps.min() > 0.0
    assert np.median(gaps.min(axis=1)) > 0.05


def test_fewer_views_are_a_prefix_of_more() -> None:
    points = hemisphere_candidates(3000, 4.0, seed=8)
    many = farthest_point_sampling(points, 120, seed=9)
    np.testing.assert_array_equal(farthest_point_sampling(points, 37, seed=9), many[:37])


def test_agrees_with_the_definition() -> None:
    points = np.random.default_rng(10).normal(size=(60, 3))
    fast = farthest_point_sampling(points, 25, seed=11)
    assert fast.tolist() == slow_farthest(points, 25, first=int(fast[0]))


def test_duplicates_are_never_chosen_twice_by_index() -> None:
    points = np.repeat(np.eye(3), 4, axis=0)
    assert sorted(farthest_point_sampling(points, 12, seed=0).tolist()) == list(range(12))
    assert len({tuple(points[i]) for i in farthest_point_sampling(points, 3, seed=0)}) == 3


def test_bad_arguments_are_refused() -> None:
    points = np.zeros((5, 3))
    for count in (0, 6):
        with pytest.raises(ValueError, match="count"):
            farthest_point_sampling(points, count, seed=0)
    with pytest.raises(ValueError, match="shape"):
        farthest_point_sampling(np.zeros((5, 2)), 2, seed=0)
    with pytest.raises(ValueError, match="count"):
        hemisphere_candidates(0, 1.0, seed=0)
    with pytest.raises(ValueError, match="radius"):
        hemisphere_candidates(1, 0.0, seed=0)
    with pytest.raises(ValueError, match="minimum_elevation"):
        hemisphere_candidates(1, 1.0, seed=0, minimum_elevation=2.0)


def test_look_at_is_a_rigid_opengl_pose() -> None:
    rng = np.random.default_rng(12)
    for _ in range(50):
        centre, target = rng.normal(size=(2, 3))
        pose = opengl_look_at(centre, target, (0.0, 0.0, 1.0))
        rotation = pose[:3, :3]
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        np.testing.assert_array_equal(pose[:3, 3], centre)
        np.testing.assert_array_equal(pose[3], [0.0, 0.0, 0.0, 1.0])
        seen = np.linalg.inv(pose) @ np.append(target, 1.0)
        np.testing.assert_allclose(seen[:2], 0.0, atol=1e-12)
        assert seen[2] < 0.0  # the camera looks down its negative z axis
        assert abs(rotation[2, 0]) < 1e-12 and rotation[2, 1] > 0.0  # level, and upright


def test_look_at_a_known_pose() -> None:
    expected = [[1, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(
        opengl_look_at((0, -4, 0), (0, 0, 0), (0, 0, 1)), expected, atol=1e-15
    )


@pytest.mark.parametrize("centre", [(0, 0, 4), (0, 0, -4), (1e-9, 0, 4)])
@pytest.mark.parametrize("up", [(0, 0, 1), (0, 0, -3)])
def test_look_at_from_the_pole(centre: tuple, up: tuple) -> None:
    pose = opengl_look_at(centre, (0, 0, 0), up)
    rotation = pose[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation[:, 2], np.sign([0, 0, centre[2]]), atol=1e-8)


def test_look_at_along_a_sideways_up() -> None:
    rotation = opengl_look_at((0, 3, 0), (0, 0, 0), (0, 1, 0))[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation[:, 2], [0, 1, 0], atol=1e-12)


def test_look_at_refuses_what_has_no_direction() -> None:
    with pytest.raises(ValueError, match="coincide"):
        opengl_look_at((1, 2, 3), (1, 2, 3))
    with pytest.raises(ValueError, match="direction"):
        opengl_look_at((1, 2, 3), (0, 0, 0), (0, 0, 0))
