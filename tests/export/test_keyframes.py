from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dac.errors import UserError
from dac.export.camera import look_at
from dac.export.keyframes import (
    MOST,
    Keyframes,
    interpolate,
    make_keyframe,
    make_keyframes,
    motion,
    read_keyframes,
    write_keyframes,
)

Array = NDArray[np.float64]


def through(poses: Array, fov_degrees: Array, seconds: Array) -> Keyframes:
    frames = zip(poses, fov_degrees.tolist(), seconds.tolist(), strict=True)
    return make_keyframes([make_keyframe(*frame) for frame in frames], 30.0)


def keyframes(closed: bool, seed: int = 0, count: int = 5) -> Keyframes:
    rng = np.random.default_rng(seed)
    turns = Rotation.random(count, rng=rng).as_matrix()
    poses = np.concatenate([turns, rng.normal(size=(count, 3, 1))], axis=2)
    if closed:
        poses = np.concatenate([poses, poses[:1]])
    seconds = np.cumsum(rng.uniform(0.5, 2, len(poses)))
    fov = rng.uniform(30, 60, len(poses))
    fov[-1] = fov[0] if closed else fov[-1]
    return through(poses, fov, seconds)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_path_goes_through_its_keyframes(closed: bool, seed: int) -> None:
    keys = keyframes(closed, seed)
    assert keys.closed == closed
    path = motion(keys)(keys.seconds)
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
    before = motion(keys)(np.array([end - d, end])).poses
    after = motion(keys)(np.array([start, start + d])).poses
    assert np.allclose(np.diff(before, axis=0) / d, np.diff(after, axis=0) / d, atol=0.02)


def test_straight_even_keyframes_give_constant_speed() -> None:
    """On a line with times in proportion, and turning about one axis: both at constant speed."""
    places = np.array([0.0, 1.0, 3.0, 3.5, 6.0])
    turns = Rotation.from_rotvec(np.outer(0.3 * places, [0, 0, 1])).as_matrix()
    along = np.outer(places, [1.0, 2.0, -1.0])[..., None]
    keys = through(np.concatenate([turns, along], axis=2), 40 + places, 0.5 + places / 2)
    path = interpolate(keys, 61)
    even = np.linspace(0, 6, 61)
    assert np.allclose(path.poses[:, :, 3], np.outer(even, [1.0, 2.0, -1.0]), atol=1e-9)
    expected = Rotation.from_rotvec(np.outer(0.3 * even, [0, 0, 1])).as_matrix()
    assert np.allclose(path.poses[:, :, :3], expected, atol=1e-6)
    assert np.allclose(path.fov_degrees, 40 + even)


def test_two_keyframes_are_a_slerp() -> None:
    keys = keyframes(closed=False, count=2)
    half = motion(keys)(keys.seconds.mean(keepdims=True)).poses[0]
    between = Rotation.from_matrix(keys.poses[:, :, :3])
    middle = between[0] * Rotation.from_rotvec((between[0].inv() * between[1]).as_rotvec() / 2)
    assert np.allclose(half[:, :3], middle.as_matrix(), atol=1e-9)
    assert np.allclose(half[:, 3], keys.poses[:, :, 3].mean(axis=0))


def path_file(**changes: Any) -> dict[str, Any]:
    poses = [look_at((4, i, 2), (0, 0, 0)).tolist() for i in range(3)]
    frames = [
        {"world_from_camera": pose, "fov_degrees": 40 + i, "seconds": 1.5 * i}
        for i, pose in enumerate(poses)
    ]
    return {"version": 1, "fps": 25, "keyframes": frames, **changes}


def test_it_rests_before_and_after() -> None:
    keys = keyframes(closed=False)
    start, end = keys.seconds[[0, -1]]
    rests = motion(keys)(np.array([start - 1, start, end, end + 1]))
    assert np.array_equal(rests.poses[0], rests.poses[1])
    assert np.array_equal(rests.poses[2], rests.poses[3])


def test_what_is_written_is_read_to_the_last_bit(tmp_path: Path) -> None:
    keys = make_keyframes(keyframes(closed=True).keyframes, 24000 / 1001)
    write_keyframes(tmp_path / "path.json", keys)
    plain = json.loads((tmp_path / "path.json").read_text())
    assert set(plain) == {"version", "fps", "keyframes"}
    assert np.shape(plain["keyframes"][0]["world_from_camera"]) == (3, 4)
    assert read_keyframes(tmp_path / "path.json") == keys


def test_as_many_keyframes_as_there_may_be(tmp_path: Path) -> None:
    frames = [make_keyframe(np.eye(4)[:3], 40.0, float(i)) for i in range(MOST)]
    write_keyframes(tmp_path / "path.json", make_keyframes(frames, 30.0))
    assert len(read_keyframes(tmp_path / "path.json").keyframes) == MOST


def test_a_rounded_rotation_is_made_exact(tmp_path: Path) -> None:
    data = path_file()
    for frame in data["keyframes"]:
        frame["world_from_camera"] = np.round(frame["world_from_camera"], 3).tolist()
    file = tmp_path / "path.json"
    file.write_text(json.dumps(data))
    for poses in (read_keyframes(file).poses, interpolate(read_keyframes(file), 7).poses):
        turns = poses[:, :, :3]
        assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pose": np.full((3, 4), np.nan)}, "keyframe: "),
        ({"fov_degrees": 0.0}, "keyframe: fov_degrees"),
        ({"seconds": 1e5}, "keyframe: seconds"),
    ],
)
def test_no_keyframe_is_made_that_no_file_may_hold(changes: dict[str, Any], said: str) -> None:
    good = {"pose": np.eye(4)[:3], "fov_degrees": 40.0, "seconds": 1.0}
    assert make_keyframe(**good).pose.tolist() == np.eye(4)[:3].tolist()
    with pytest.raises(UserError, match=said):
        make_keyframe(**{**good, **changes})


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
        (bent(1, seconds=1e-300), "the seconds of number 1 .* by 0.001 at least"),
        (bent(1, seconds=0.0), "keyframes: the seconds of number 1 .from 0. are not later"),
        (
            bent(2, world_from_camera=[[1, 0], [0, 1]]),
            "keyframes.2.world_from_camera: the pose has shape",
        ),
        (bent(0, world_from_camera=(2 * np.eye(4)[:3]).tolist()), "not orthonormal"),
        (bent(0, world_from_camera=np.diag([-1.0, 1, 1, 1])[:3].tolist()), "is mirrored"),
        (bent(0, world_from_camera=[[1, 0], [0]]), "keyframes.0.world_from_camera: .* no matrix"),
        (bent(1, seconds="1"), "keyframes.1.seconds"),
        (bent(1, seconds=1e5), "keyframes.1.seconds"),
        (bent(1, more=1), "keyframes.1.more: unknown key"),
        (path_file(fps=241), "fps"),
        (path_file(keyframes=path_file()["keyframes"] * 334), "keyframes: .* at most 1000 items"),
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


def test_a_path_file_too_large_to_be_one_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "path.json"
    with file.open("wb") as sparse:
        sparse.truncate(2**22 + 1)
    with pytest.raises(UserError, match="has 4194305 bytes, and at most 4194304 are read"):
        read_keyframes(file)


def test_keyframes_a_millisecond_apart_are_a_path(tmp_path: Path) -> None:
    keys = make_keyframes([make_keyframe(np.eye(4)[:3], 40.0, 0.001 * i) for i in range(5)], 240)
    assert np.isfinite(interpolate(keys, 30).poses).all()
