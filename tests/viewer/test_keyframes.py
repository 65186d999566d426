from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dac.errors import UserError
from dac.viewer.keyframes import CameraPath, Keyframe, Motion


def keyframe(seconds: float, degrees: float, centre: tuple[float, float, float]) -> Keyframe:
    rotation = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    rows = np.column_stack([rotation, centre]).tolist()
    return Keyframe.model_validate_json(
        json.dumps({"world_from_camera": rows, "fov_degrees": 40 + seconds, "seconds": seconds})
    )


PATH = CameraPath(
    fps=24,
    keyframes=(
        keyframe(0, 0, (0, 0, 0)),
        keyframe(1, 60, (1, 1, 0)),
        keyframe(3, 80, (3, 9, 0)),
        keyframe(4, 90, (4, 16, 0)),
    ),
)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    PATH.save(tmp_path / "path.json")
    assert CameraPath.load(tmp_path / "path.json") == PATH
    plain = json.loads((tmp_path / "path.json").read_text())
    assert plain["version"] == 1 and plain["fps"] == 24 and len(plain["keyframes"]) == 4
    assert set(plain["keyframes"][0]) == {"world_from_camera", "fov_degrees", "seconds"}
    assert np.shape(plain["keyframes"][0]["world_from_camera"]) == (3, 4)


def test_integers_are_numbers_too(tmp_path: Path) -> None:
    pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -4]]
    frame = {"world_from_camera": pose, "fov_degrees": 50, "seconds": 0}
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"version": 1, "fps": 30, "keyframes": [frame]}))
    pose_at, fov = Motion(CameraPath.load(file))(7.0)
    assert pose_at.tolist() == pose and fov == 50


def test_the_motion_passes_through_the_keyframes_and_rests_outside() -> None:
    motion = Motion(PATH)
    for frame in PATH.keyframes:
        pose, fov = motion(frame.seconds)
        np.testing.assert_allclose(pose, frame.pose, atol=1e-12)
        assert fov == pytest.approx(frame.fov_degrees)
    np.testing.assert_allclose(motion(-1)[0], PATH.keyframes[0].pose, atol=1e-12)
    np.testing.assert_allclose(motion(9)[0], PATH.keyframes[-1].pose, atol=1e-12)
    assert motion.end == 4


def test_between_them_centres_are_cubic_and_rotations_even() -> None:
    # Centres lie on the parabola y = x^2 at x = t, which a cubic spline reproduces.
    pose, fov = Motion(PATH)(0.5)
    np.testing.assert_allclose(pose[:, 3], [0.5, 0.25, 0], atol=1e-12)
    expected = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    np.testing.assert_allclose(pose[:, :3], expected, atol=1e-12)
    assert fov == pytest.approx(40.5)


def broken(**changes: Any) -> dict[str, Any]:
    data = PATH.model_dump(mode="json")
    data["keyframes"][1].update(changes)
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "no camera path of version 1"),
        ({"version": 2, "fps": 30, "keyframes": []}, "no camera path of version 1"),
        ({"version": 1, "fps": 30, "keyframes": []}, "keyframes"),
        (broken(seconds=0), "seconds must grow"),
        (broken(seconds="1"), "seconds"),
        (broken(fov_degrees=180), "fov_degrees"),
        (broken(more=1), "unknown key"),
        (broken(world_from_camera=[[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]), "holds no rotation"),
        (broken(world_from_camera=[[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]), "mirror image"),
        (broken(world_from_camera=[[1, 0, 0], [0, 1, 0], [0, 0, 1]]), "world_from_camera"),
    ],
)
def test_what_is_no_path_is_refused_in_one_line(tmp_path: Path, data: Any, message: str) -> None:
    file = tmp_path / "path.json"
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match=message) as caught:
        CameraPath.load(file)
    assert str(file) in str(caught.value)
