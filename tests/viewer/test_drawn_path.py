"""Pyramids and the path's curve in viser's scene, without a browser."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dac.export.keyframes import Keyframe, interpolate, make_keyframe, make_keyframes
from dac.viewer.drawn_path import curve
from dac.viewer.frusta import Frusta
from dac.viewer.poses import Floats


def random_pose(rng: np.random.Generator) -> Floats:
    rotation = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    return np.column_stack([rotation, rng.normal(size=3)])


def random_path(rng: np.random.Generator, N: int, closed: bool) -> list[Keyframe]:
    poses = [random_pose(rng) for _ in range(N)]
    if closed:
        poses[-1] = poses[0]
    seconds = np.cumsum(rng.uniform(0.2, 2, N))
    return [make_keyframe(poses[i], 40, float(seconds[i])) for i in range(N)]


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("N", [2, 3, 5])
def test_the_curve_is_where_the_video_goes(N: int, closed: bool) -> None:
    """Each of its points lies on the video's way, and no frame is far from it."""
    keyframes = random_path(np.random.default_rng(N), N, closed)
    points = curve(keyframes)
    video = interpolate(make_keyframes(keyframes, 30), 20_000).poses[:, :, 3]
    step = np.linalg.norm(np.diff(video, axis=0), axis=1).max()
    distance = np.linalg.norm(points[:, None] - video, axis=2)
    assert distance.min(axis=1).max() <= step
    assert distance.min(axis=0).max() <= np.linalg.norm(np.diff(points, axis=0), axis=1).max()
    np.testing.assert_allclose(points[[0, -1]], [keyframes[i].pose[:, 3] for i in (0, -1)])


@pytest.mark.parametrize("seed", range(8))
def test_a_pyramid_is_hidden_only_from_within_its_depth(viser_server: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, aspect, fov = rng.uniform(0.05, 0.5), rng.uniform(0.5, 2), rng.uniform(0.4, 2)
    frusta = Frusta(viser_server.scene, size, aspect)
    poses = [random_pose(rng) for _ in range(5)]
    for i, pose in enumerate(poses):
        frusta.add(f"/camera/{i}", pose, fov, (0, 0, 255), lambda: None)
    nodes = [viser_server.scene.get_handle_by_name(f"/camera/{i}") for i in range(5)]
    # viser's own rule: half sides x, y at the depth z, scaled to a volume x y z / 3 = size^3.
    y = math.tan(nodes[0].fov / 2)
    depth = nodes[0].scale / np.cbrt(y * y * nodes[0].aspect / 3)
    for _ in range(30):
        pose = poses[rng.integers(5)]
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        eye = pose[:, 3] + direction * depth * rng.choice([0, 0.99, 1.01, 2])
        frusta.look_from(eye)
        hidden = [bool(np.linalg.norm(eye - pose[:, 3]) < depth) for pose in poses]
        assert [not node.visible for node in nodes] == hidden


def test_a_camera_drawn_where_one_stands_is_hidden_from_the_first(viser_server: Any) -> None:
    frusta = Frusta(viser_server.scene, 0.1, 1.5)
    pose = random_pose(np.random.default_rng(0))
    frusta.look_from(pose[:, 3])
    for fov in (1e-3, 0.8, 3.1):
        frusta.add("/camera", pose, fov, (0, 0, 255), lambda: None)
        node = viser_server.scene.get_handle_by_name("/camera")
        assert not node.visible
        frusta.look_from(pose[:, 3] + 10)
        assert node.visible
        frusta.look_from(pose[:, 3])
        frusta.remove("/camera")
        assert viser_server.scene.get_handle_by_name("/camera") is None
