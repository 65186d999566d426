from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import toy
from scipy.spatial.transform import Rotation

from dac.viewer.poses import focus_distance, pose_of, vertical_fov, window_camera, wxyz_of


def test_viser_s_quaternion_turns_the_camera_as_the_matrix_does() -> None:
    # A quarter turn about z takes x to y: w = z = sqrt(1/2).
    half = math.sqrt(0.5)
    pose = pose_of(np.array([half, 0, 0, half]), np.array([1.0, 2.0, 3.0]))
    expected = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]]
    np.testing.assert_allclose(pose, expected, atol=1e-12)
    np.testing.assert_allclose(wxyz_of(pose), [half, 0, 0, half], atol=1e-12)


def test_poses_go_both_ways() -> None:
    for rotation in Rotation.random(50, random_state=0).as_matrix():
        pose = np.column_stack([rotation, [0.5, -2.0, 7.0]])
        np.testing.assert_allclose(pose_of(wxyz_of(pose), pose[:, 3]), pose, atol=1e-12)


def test_they_are_viser_s_own() -> None:
    transforms = pytest.importorskip("viser.transforms")
    for wxyz in np.random.default_rng(0).normal(size=(20, 4)):
        theirs = transforms.SO3(wxyz / np.linalg.norm(wxyz)).as_matrix()
        np.testing.assert_allclose(pose_of(wxyz, np.zeros(3))[:, :3], theirs, atol=1e-12)


def test_a_window_of_a_view_s_shape_sees_the_view_s_rays() -> None:
    cameras = toy.cameras(5)
    pose = cameras.world_from_camera[2].numpy()
    size = toy.SIZE
    camera = window_camera(pose, vertical_fov(cameras, 2), (10 * size, 10 * size), (size, size))
    x, y = torch.tensor([0.5, 7.0, 23.5]), torch.tensor([3.5, 12.0, 0.5])
    for ours, theirs in zip(
        camera.rays(torch.zeros(3, dtype=torch.int64), x, y),
        cameras.rays(torch.full((3,), 2), x, y),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_smaller_picture_sees_the_window_s_corners() -> None:
    pose = np.eye(3, 4)
    large = window_camera(pose, 1.0, (1280, 800), (1280, 800))
    small = window_camera(pose, 1.0, (1280, 800), (77, 48))
    view = torch.zeros(1, dtype=torch.int64)
    corner = large.rays(view, torch.tensor([1280.0]), torch.tensor([800.0]))[1]
    torch.testing.assert_close(
        small.rays(view, torch.tensor([77.0]), torch.tensor([48.0]))[1], corner
    )
    assert math.atan2(corner[0, 1], corner[0, 2]) == pytest.approx(0.5)


def test_the_toy_s_cameras_turn_around_its_centre() -> None:
    cameras = toy.cameras(6)
    assert focus_distance(cameras, 3) == pytest.approx(4)
    assert focus_distance(cameras.select([0]), 0) > 0
