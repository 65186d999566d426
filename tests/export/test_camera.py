from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import toy

from dac.export.camera import Camera, focal_of, look_at, resized_view, stacked


@pytest.mark.parametrize(
    ("eye", "target", "up"),
    [
        ((4, 1, 2), (0, 0.5, 0), (0, 0, 1)),
        ((1, 2, 3), (3, 2, 1), (0, 1, 0)),
        ((0, 0, 5), (0, 0, 0), (0, 0, 1)),  # along the up direction
    ],
)
def test_a_camera_looks_where_it_should(
    eye: tuple[float, ...], target: tuple[float, ...], up: tuple[float, ...]
) -> None:
    pose = look_at(eye, target, up)
    rotation, centre = pose[:, :3], pose[:, 3]
    assert np.allclose(rotation.T @ rotation, np.eye(3)) and np.linalg.det(rotation) > 0.999
    assert centre.tolist() == list(eye)
    pixels, depth = Camera(pose, 50.0, 40, 30).cameras().project(0, torch.tensor([target]))
    assert torch.allclose(pixels, torch.tensor([[20.0, 15.0]]).double())
    assert float(depth) == pytest.approx(math.dist(eye, target))
    assert rotation[:, 1] @ np.array(up) <= 1e-12  # y is downwards
    level = abs(rotation[:, 0] @ np.array(up))
    assert level == pytest.approx(0, abs=1e-12)


def test_a_camera_can_not_look_at_itself() -> None:
    with pytest.raises(ValueError, match="stands where it looks"):
        look_at((1, 2, 3), (1, 2, 3))


def test_fields_of_view_and_sizes() -> None:
    pose = np.eye(4)[:3]
    assert focal_of(90, 100) == pytest.approx(50)
    camera = Camera.from_fov(pose, 60, 200, 100)
    assert camera.fov_degrees == pytest.approx(60)
    for size in ({"width": 50}, {"height": 25}, {"width": 50, "height": 25}):
        small = camera.resized(**size)
        assert (small.width, small.height) == (50, 25)
        assert small.fov_degrees == pytest.approx(60)
    assert camera.resized().focal == camera.focal
    assert camera.resized(height=7).width == 14
    for bad in (0, 180, -5, math.nan):
        with pytest.raises(ValueError, match="field of view"):
            focal_of(bad, 10)
    for wrong in ({"focal": -1.0}, {"width": 0}, {"world_from_camera": np.eye(4)}):
        with pytest.raises(ValueError):
            Camera(**{"world_from_camera": pose, "focal": 5.0, "width": 4, "height": 4, **wrong})


def test_another_size_shows_the_same() -> None:
    cameras = toy.cameras(3, 24)
    point = torch.tensor([[0.2, -0.3, 0.4]])
    ((x, y),) = cameras.project(1, point)[0].tolist()
    same = resized_view(cameras, 1, None)
    assert torch.equal(same.intrinsics, cameras.intrinsics[1:2])
    wide = resized_view(cameras, 1, (96, 48))
    ((u, v),) = wide.project(0, point)[0].tolist()
    assert (u - 48, v) == (pytest.approx(2 * (x - 12)), pytest.approx(2 * y))


def test_frames_share_their_size() -> None:
    poses = np.stack([look_at((4, 0, i), (0, 0, 0)) for i in range(3)])
    made = stacked(poses, [30, 60, 90], (64, 48))
    assert len(made) == 3 and (made.width, made.height) == (64, 48)
    assert made.intrinsics[2].tolist() == pytest.approx([24, 24, 32, 24])
