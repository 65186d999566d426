from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

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
    Keyframes,
    at_times,
    central_view,
    interpolate,
    orbit,
    read_keyframes,
    spiral,
    vertical_fov,
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


def keyframes(closed: bool, seed: int = 0, count: int = 5) -> Keyframes:
    rng = np.random.default_rng(seed)
    turns = Rotation.random(count, rng=rng).as_matrix()
    poses = np.concatenate([turns, rng.normal(size=(count, 3, 1))], axis=2)
    if closed:
        poses = np.concatenate([poses, poses[:1]])
    seconds = np.cumsum(rng.uniform(0.5, 2, len(poses)))
    fov = rng.uniform(30, 60, len(poses))
    fov[-1] = fov[0] if closed else fov[-1]
    return Keyframes(poses, fov, seconds, 30.0)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_path_goes_through_its_keyframes(closed: bool, seed: int) -> None:
    keys = keyframes(closed, seed)
    assert keys.closed == closed
    path = at_times(keys, keys.seconds)
    assert np.allclose(path.poses, keys.poses, atol=1e-9)
    assert np.allclose(path.fov_degrees, keys.fov_degrees)
    between = interpolate(keys, 200).poses
    assert np.allclose(between[:, :, :3].transpose(0, 2, 1) @ between[:, :, :3], np.eye(3))
    assert np.allclose(between[0], keys.poses[0], atol=1e-9)
    ends = np.allclose(between[-1], keys.poses[-1], atol=1e-9)
    assert ends != closed  # a loop's last frame is the one before its first


def test_a_loop_is_as_smooth_where_it_closes() -> None:
    keys = keyframes(closed=True)
    start, end, d = keys.seconds[0], keys.seconds[-1], 1e-4
    before = at_times(keys, np.array([end - d, end])).poses
    after = at_times(keys, np.array([start, start + d])).poses
    assert np.allclose(np.diff(before, axis=0) / d, np.diff(after, axis=0) / d, atol=0.02)


def test_straight_even_keyframes_give_constant_speed() -> None:
    """On a line with times in proportion, and turning about one axis: both at constant speed."""
    places = np.array([0.0, 1.0, 3.0, 3.5, 6.0])
    turns = Rotation.from_rotvec(np.outer(0.3 * places, [0, 0, 1])).as_matrix()
    along = np.outer(places, [1.0, 2.0, -1.0])[..., None]
    keys = Keyframes(
        np.concatenate([turns, along], axis=2), 40 + places, 0.5 + places / 2, fps=30.0
    )
    path = interpolate(keys, 61)
    even = np.linspace(0, 6, 61)
    assert np.allclose(path.poses[:, :, 3], np.outer(even, [1.0, 2.0, -1.0]), atol=1e-9)
    expected = Rotation.from_rotvec(np.outer(0.3 * even, [0, 0, 1])).as_matrix()
    assert np.allclose(path.poses[:, :, :3], expected, atol=1e-6)
    assert np.allclose(path.fov_degrees, 40 + even)


def test_two_keyframes_are_a_slerp() -> None:
    keys = keyframes(closed=False, count=2)
    half = at_times(keys, keys.seconds.mean(keepdims=True)).poses[0]
    between = Rotation.from_matrix(keys.poses[:, :, :3])
    middle = between[0] * Rotation.from_rotvec((between[0].inv() * between[1]).as_rotvec() / 2)
    assert np.allclose(half[:, :3], middle.as_matrix(), atol=1e-9)
    assert np.allclose(half[:, 3], keys.poses[:, :, 3].mean(axis=0))


def test_the_field_of_view_is_vertical() -> None:
    cameras = toy.cameras(3, 24)  # focal length 1.6 of the side
    assert vertical_fov(cameras) == pytest.approx(2 * math.degrees(math.atan(0.5 / 1.6)))
    lens = (cameras.intrinsics, torch.zeros(3, 6), cameras.world_from_camera)
    assert vertical_fov(Cameras("fisheye", 24, 24, *lens)) == pytest.approx(math.degrees(1 / 1.6))


def path_file(**changes: Any) -> dict[str, Any]:
    poses = [look_at((4, i, 2), (0, 0, 0)).tolist() for i in range(3)]
    frames = [
        {"world_from_camera": pose, "fov_degrees": 40 + i, "seconds": 1.5 * i}
        for i, pose in enumerate(poses)
    ]
    return {"version": 1, "fps": 25, "keyframes": frames, **changes}


def test_a_path_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "path.json"
    file.write_text(json.dumps(path_file()))
    keys = read_keyframes(file)
    assert keys.fps == 25 and keys.duration == 3 and keys.fov_degrees.tolist() == [40, 41, 42]
    assert np.allclose(keys.poses[2], look_at((4, 2, 2), (0, 0, 0)))
    single = path_file()["keyframes"][0]
    file.write_text(json.dumps({"version": 1, "keyframes": [{**single, "seconds": 0.0}]}))
    keys = read_keyframes(file)
    assert keys.duration == 0 and not keys.closed
    assert np.allclose(interpolate(keys, 4).poses, keys.poses)


def test_the_pages_path_file_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/export.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "path.json").write_text(example)
    keys = read_keyframes(tmp_path / "path.json")
    assert keys.duration == 2 and keys.poses[0, :, 2].tolist() == [0, 1, 0]


def bent(keyframe: int, **changes: Any) -> dict[str, Any]:
    data = path_file()
    data["keyframes"][keyframe].update(changes)
    return data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (path_file(version=2), "version"),
        (path_file(keyframes=[]), "keyframes"),
        (path_file(extra=1), "unknown key"),
        (path_file(fps="fast"), "fps"),
        (bent(1, seconds=0.0), "keyframes.1.seconds: is not later"),
        (bent(2, world_from_camera=[[1, 0], [0, 1]]), "keyframes.2: the pose has shape"),
        (bent(0, world_from_camera=(2 * np.eye(4)[:3]).tolist()), "not orthonormal"),
        (bent(0, fov_degrees=180), "fov_degrees"),
        ([1, 2], "path.json"),
    ],
)
def test_mistakes_in_a_path_file_are_one_line(tmp_path: Path, data: Any, said: str) -> None:
    file = tmp_path / "path.json"
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match=said) as caught:
        read_keyframes(file)
    assert "\n" not in str(caught.value) and "path.json" in str(caught.value)
