from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import toy
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dac.cameras import Cameras
from dac.errors import UserError
from dac.export.camera import look_at
from dac.export.paths import (
    SWAY,
    central_view,
    median_fov,
    orbit,
    spiral,
)

Array = NDArray[np.float64]


def around(turn: Array, shift: Array) -> Array:
    """The toy scene's cameras, turned and moved as a whole."""
    poses = toy.cameras(12).world_from_camera.numpy()
    return np.concatenate(
        [turn @ poses[:, :, :3], (turn @ poses[:, :, 3].T).T[..., None] + shift[:, None]], axis=2
    )


def forward_facing() -> Array:
    """A grid of cameras that look along x."""
    eyes = [(0.0, 0.1 * i, 0.1 * j) for i in range(-3, 4) for j in range(-2, 3)]
    return np.stack([look_at(eye, np.add(eye, (1, 0, 0))) for eye in eyes])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_orbit_is_a_circle_about_what_the_cameras_see(seed: int) -> None:
    turn = Rotation.random(rng=seed).as_matrix() if seed else np.eye(3)
    centre = np.array([1.0, -2.0, 0.5]) * seed
    path = orbit(around(turn, centre), 40.0, 30)
    eyes, forward = path.poses[:, :, 3], path.poses[:, :, 2]
    up = turn[:, 2]
    # The toy's cameras stand at 35, 60 and 80 degrees from the pole, 4 away.
    heights = (eyes - centre) @ up
    assert np.allclose(heights, 4 * math.cos(math.radians(60)), atol=1e-6)
    distances = np.linalg.norm(eyes - centre, axis=1)
    assert np.allclose(distances, 4, atol=1e-6)
    assert np.allclose(forward, (centre - eyes) / distances[:, None], atol=1e-6)
    assert ((-path.poses[:, :, 1]) @ up > 0.8).all()  # upright
    steps = np.linalg.norm(eyes - np.roll(eyes, 1, axis=0), axis=1)  # also from the last to 0
    assert np.allclose(steps, 2 * 4 * math.sin(math.radians(60)) * math.sin(np.pi / 30))
    first = around(turn, centre)[0, :, 3] - centre
    start = eyes[0] - centre
    beside = first - (first @ up) * up
    assert (start / np.linalg.norm(start)) @ (beside / np.linalg.norm(beside)) > 0.86  # its azimuth
    assert (path.fov_degrees == 40).all() and len(path.fov_degrees) == 30


def test_an_orbit_needs_something_to_look_at() -> None:
    with pytest.raises(UserError, match="no common point; take --path spiral"):
        orbit(forward_facing(), 40.0, 10)


def test_a_spiral_sways_before_one_point_and_closes() -> None:
    poses = forward_facing()
    assert poses[central_view(poses), :, 3].tolist() == [0, 0, 0]
    path = spiral(poses, 50.0, 80, focus=4.0)
    eyes, forward = path.poses[:, :, 3], path.poses[:, :, 2]
    target = np.array([4.0, 0, 0])
    to = target - eyes
    assert np.allclose(forward, to / np.linalg.norm(to, axis=1, keepdims=True))
    reach = np.abs(eyes).max(axis=0)
    assert np.allclose(reach, [0, 0.3, 0.2], atol=1e-3)
    longer = spiral(poses, 50.0, 800, focus=4.0).poses
    steps = np.linalg.norm((longer - np.roll(longer, 1, axis=0)).reshape(800, -1), axis=1)
    assert steps[0] < 1.1 * steps[1:].max()  # from the last to the first as well
    near = spiral(poses, 50.0, 80, focus=0.4).poses[:, :, 3]
    assert np.abs(near).max() <= SWAY * 0.4 + 1e-12


def test_the_field_of_view_is_vertical() -> None:
    cameras = toy.cameras(3, 24)  # focal length 1.6 of the side
    assert median_fov(cameras) == pytest.approx(2 * math.degrees(math.atan(0.5 / 1.6)))
    lens = (cameras.intrinsics, torch.zeros(3, 6), cameras.world_from_camera)
    assert median_fov(Cameras("fisheye", 24, 24, *lens)) == pytest.approx(math.degrees(1 / 1.6))
