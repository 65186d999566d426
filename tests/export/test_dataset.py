"""Data sets that are written and read again: by our own readers, and by COLMAP's library."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import toy
from PIL import Image

from dac.cameras import Cameras
from dac.errors import UserError
from dac.export.dataset import write_colmap, write_transforms
from dac.scenes.formats.colmap import read_colmap
from dac.scenes.formats.colmap_model import read_model
from dac.scenes.formats.nerfstudio import read_nerfstudio
from dac.scenes.normalise import transformed_poses
from dac.scenes.points import Points
from dac.scenes.scene import Scene
from dac.scenes.views import Views

# From the scene's world to other coordinates: a quarter turn about z, half the size, moved.
BACK = np.array([[0, 0.5, 0, 0.5], [-0.5, 0, 0, 0.25], [0, 0, 0.5, -0.1], [0, 0, 0, 1]])
LENSES: dict[str, tuple[Literal["perspective", "fisheye"], list[float]]] = {
    "PINHOLE": ("perspective", [0, 0, 0, 0, 0, 0]),
    "OPENCV": ("perspective", [0.05, -0.01, 0.001, -0.002, 0, 0]),
    "FULL_OPENCV": ("perspective", [0.05, -0.01, 0.001, -0.002, 0.003, 0]),
    "OPENCV_FISHEYE": ("fisheye", [0.05, -0.01, 0, 0, 0.003, -0.001]),
}


def scene_with(lens: str) -> Scene:
    """The toy's, every camera with a focal length of its own."""
    model, distortion = LENSES[lens]
    scene = toy.scene()
    old, count = scene.cameras, len(scene.names)
    cameras = Cameras(
        model,
        old.width,
        old.height,
        old.intrinsics + torch.linspace(0, 1, count)[:, None],
        torch.tensor(distortion).double().repeat(count, 1),
        old.world_from_camera,
    )
    names = tuple(f"images/sub/{name}.jpg" for name in scene.names)
    return replace(scene, cameras=cameras, names=names)


def assert_same(views: Views, scene: Scene, similarity: np.ndarray) -> None:
    """Cameras to rounding, pixels to the bit."""
    stems = [Path(name).stem for name in scene.names]
    assert [Path(name).stem for name in views.names] == stems
    assert views.model == scene.cameras.model
    expected = transformed_poses(scene.cameras.world_from_camera.numpy(), similarity)
    assert np.allclose(views.poses, expected, atol=1e-12)
    assert np.allclose(views.intrinsics, scene.cameras.intrinsics, atol=1e-12)
    assert np.allclose(views.distortion, scene.cameras.distortion, atol=1e-12)
    for file, pixels in zip(views.files, scene.images, strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), pixels)


@pytest.mark.parametrize("lens", LENSES)
def test_transforms_come_back(tmp_path: Path, lens: str) -> None:
    scene = scene_with(lens)
    write_transforms(scene, tmp_path / "out", BACK)
    views = read_nerfstudio(tmp_path / "out")
    assert_same(views, scene, BACK)
    assert views.given is not None
    assert [i for i, part in enumerate(views.given) if part == "test"] == list(scene.test)


@pytest.mark.parametrize("lens", LENSES)
def test_a_colmap_model_comes_back(tmp_path: Path, lens: str) -> None:
    scene, rng = scene_with(lens), np.random.default_rng(0)
    tracks = [sorted(rng.choice(len(scene.names), 3, replace=False).tolist()) for _ in range(20)]
    xyz = rng.uniform(-0.5, 0.5, (20, 3)).astype(np.float32)
    rgb = rng.integers(0, 256, (20, 3)).astype(np.uint8)
    points = replace(toy.points_with(tracks), xyz=xyz, rgb=rgb)
    write_colmap(scene, points, tmp_path / "out", BACK)
    assert_same(read_colmap(tmp_path / "out"), scene, BACK)
    model = read_model(tmp_path / "out" / "sparse" / "0")
    assert {camera.model for camera in model.cameras.values()} == {lens}
    assert np.allclose(model.xyz, xyz.astype(float) @ BACK[:3, :3].T + BACK[:3, 3])
    assert np.array_equal(model.rgb, rgb)
    ids = np.split(model.track_image_ids, model.track_offsets[1:-1])
    assert [(one - 1).tolist() for one in ids] == tracks
    listed = (tmp_path / "out" / "test.txt").read_text().split()
    assert listed == [f"sub/view{view:02}.png" for view in scene.test]


@pytest.mark.parametrize("lens", LENSES)
def test_colmap_reads_it_and_its_points_project_where_they_should(
    tmp_path: Path, lens: str
) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    scene = scene_with(lens)
    points = replace(
        toy.points_with([[0, 3, 5], [2, 3]]),
        xyz=np.array([[0.2, 0.1, 0.3], [-0.3, 0.2, 0.1]], np.float32),
    )
    write_colmap(scene, points, tmp_path / "out", np.eye(4))
    model = pycolmap.Reconstruction(str(tmp_path / "out" / "sparse" / "0"))
    assert len(model.images) == len(scene.names) and len(model.points3D) == 2
    found = 0
    for image in model.images.values():
        for seen in image.points2D:
            if seen.has_point3D():
                projected = image.project_point(model.points3D[seen.point3D_id].xyz)
                assert np.allclose(projected, seen.xy, atol=1e-6)
                found += 1
    assert found == 5


def test_what_can_t_be_written(tmp_path: Path) -> None:
    scene = scene_with("PINHOLE")
    cameras = scene.cameras
    bent = cameras.distortion.clone()
    bent[:, 5] = 0.1
    bent_lens = Cameras(
        "perspective",
        cameras.width,
        cameras.height,
        cameras.intrinsics,
        bent,
        cameras.world_from_camera,
    )
    with pytest.raises(UserError, match=r"eighth power \(k4 = 0.1\); export transforms instead"):
        write_colmap(replace(scene, cameras=bent_lens), None, tmp_path / "a", np.eye(4))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("mine")
    for write in (
        lambda out: write_colmap(scene, None, out, np.eye(4)),
        lambda out: write_transforms(scene, out, np.eye(4)),
    ):
        with pytest.raises(UserError, match="is there already; name another folder"):
            write(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


def test_names_that_differ_by_their_suffix_alone(tmp_path: Path) -> None:
    scene = toy.scene()
    names = ("a.jpg", "a.png", *scene.names[2:])
    write_transforms(replace(scene, names=names), tmp_path / "out", np.eye(4))
    data = json.loads((tmp_path / "out" / "transforms.json").read_text())
    files = [frame["file_path"] for frame in data["frames"]]
    assert files[:2] == ["images/a.jpg.png", "images/a.png.png"]
    assert all((tmp_path / "out" / file).is_file() for file in files)


def test_no_points_is_no_fault(tmp_path: Path) -> None:
    scene = toy.scene()
    write_colmap(scene, None, tmp_path / "out", np.eye(4))
    model = read_model(tmp_path / "out" / "sparse" / "0")
    assert len(model.images) == len(scene.names) and len(model.xyz) == 0


def test_a_point_without_a_track_is_kept(tmp_path: Path) -> None:
    points: Points = toy.points_with([[], [1, 2]])
    write_colmap(toy.scene(), points, tmp_path / "out", np.eye(4))
    assert len(read_model(tmp_path / "out" / "sparse" / "0").xyz) == 2
