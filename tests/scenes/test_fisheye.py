"""A room seen by a fisheye lens: found, read from every format that can tell it, and learnt."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from numpy.typing import NDArray
from PIL import Image
from test_sfm import errors_after_alignment, poses_of
from textured_room import room_cameras, room_photos

from dac.cameras import Cameras
from dac.scenes.formats.colmap_model import read_model
from dac.scenes.importer import import_scene
from dac.scenes.scene import Scene
from dac.scenes.sfm.reconstruct import run_sfm
from dac.settings import SceneSettings, SfmSettings
from dac.training.baseline import train_baseline

Array = NDArray[np.float64]
DISTORTION = (0.02, -0.01, 0.0, 0.0, 0.003, -0.001)
VIEWS = 8


def fisheye(width: int, height: int, focal: float = 0.45) -> Cameras:
    """Cameras in the room that see 127 degrees from left to right.

    Args:
        focal: in widths.
    """
    cameras = room_cameras(VIEWS, width, height, "fisheye", DISTORTION)
    lens = cameras.intrinsics.clone()
    lens[:, :2] = focal * width * torch.tensor([1.0, 1.02])
    return replace(cameras, intrinsics=lens)


def write_photos(folder: Path, cameras: Cameras) -> None:
    folder.mkdir(parents=True)
    for i, photo in enumerate(room_photos(cameras)):
        Image.fromarray(photo).save(folder / f"{i}.png")


def every_ray(cameras: Cameras) -> tuple[Array, Array]:
    """Origins and directions of all pixels of all views, (R, 3) each."""
    height, width = cameras.height, cameras.width
    view, row, column = torch.meshgrid(
        *map(torch.arange, (len(cameras), height, width)), indexing="ij"
    )
    rays = cameras.rays(view.flatten(), column.flatten() + 0.5, row.flatten() + 0.5)
    return rays[0].double().numpy(), rays[1].double().numpy()


def write_colmap(root: Path, cameras: Cameras, binary: bool) -> None:
    """By COLMAP's own writer, without points."""
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction()
    lens = [*cameras.intrinsics[0].tolist(), *(DISTORTION[i] for i in (0, 1, 4, 5))]
    size = {"width": cameras.width, "height": cameras.height}
    camera = pycolmap.Camera(model="OPENCV_FISHEYE", params=lens, camera_id=1, **size)
    model.add_camera_with_trivial_rig(camera)
    for i, pose in enumerate(cameras.world_from_camera.numpy()):
        turn = pycolmap.Rotation3d(np.ascontiguousarray(pose[:, :3].T))
        cam_from_world = pycolmap.Rigid3d(turn, -pose[:, :3].T @ pose[:, 3])
        image = pycolmap.Image(name=f"{i}.png", camera_id=1, image_id=i + 1)
        model.add_image_with_trivial_frame(image, cam_from_world)
    folder = root / "sparse" / "0"
    folder.mkdir(parents=True)
    (model.write_binary if binary else model.write_text)(folder)


def write_nerfstudio(root: Path, cameras: Cameras) -> None:
    fx, fy, cx, cy = cameras.intrinsics[0].tolist()
    k1, k2, _, _, k3, k4 = DISTORTION
    lens = {"camera_model": "OPENCV_FISHEYE", "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
    lens |= {"w": cameras.width, "h": cameras.height, "k1": k1, "k2": k2, "k3": k3, "k4": k4}
    poses = cameras.world_from_camera.numpy() * np.array([1.0, -1, -1, 1])  # OpenGL's axes
    frames = [
        {"file_path": f"images/{i}.png", "transform_matrix": [*pose.tolist(), [0.0, 0, 0, 1]]}
        for i, pose in enumerate(poses)
    ]
    (root / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))


FORMATS: dict[str, tuple[str, Callable[[Path, Cameras], None]]] = {
    "colmap, binary": ("colmap", lambda root, cameras: write_colmap(root, cameras, True)),
    "colmap, text": ("colmap", lambda root, cameras: write_colmap(root, cameras, False)),
    "nerfstudio": ("nerfstudio", write_nerfstudio),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_rays_of_a_scene_that_was_read(kind: str, tmp_path: Path) -> None:
    """As the known cameras', moved into the scene's frame."""
    cameras = fisheye(64, 48)
    write_photos(tmp_path / "images", cameras)
    format, write = FORMATS[kind]
    write(tmp_path, cameras)
    scene = import_scene(tmp_path, format, SceneSettings(), name="room")
    assert scene.cameras.model == "fisheye" and scene.masks is None
    rays_o, rays_d = every_ray(cameras)
    linear, shift = scene.world_from_data[:3, :3], scene.world_from_data[:3, 3]
    expected_o, expected_d = rays_o @ linear.T + shift, rays_d @ linear.T
    expected_d /= np.linalg.norm(expected_d, axis=1, keepdims=True)
    found_o, found_d = every_ray(scene.cameras)
    np.testing.assert_allclose(found_o, expected_o, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found_d, expected_d, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.array(scene.images), room_photos(cameras))


def test_a_fisheye_scene_is_learnt(tmp_path: Path) -> None:
    plain = toy.scene()
    bent = torch.tensor([DISTORTION], dtype=torch.float64).repeat(len(plain.cameras), 1)
    lens = plain.cameras.intrinsics * torch.tensor([0.6, 0.6, 1.0, 1.0])
    cameras = replace(plain.cameras, model="fisheye", distortion=bent, intrinsics=lens)
    pixels = toy.sphere(*map(torch.from_numpy, every_ray(cameras))) * 255
    images = pixels.round().byte().view(plain.images.shape).numpy()
    replace(plain, images=images, cameras=cameras).save(tmp_path / "scene")
    train, out = toy.train_settings(curve_points=4), tmp_path / "model"
    places = {"out": out, "state": tmp_path / "state"}
    train_baseline(tmp_path / "scene", toy.model_settings(), train, steps=100, seed=0, **places)
    psnr = json.loads((out / "curve.json").read_text())["psnr"]
    assert psnr[-1] > psnr[0] + 3


def test_structure_from_motion_finds_the_lens(tmp_path: Path) -> None:
    truth = fisheye(320, 240)
    write_photos(tmp_path / "photos", truth)
    settings = SfmSettings(max_features=800, camera_model="OPENCV_FISHEYE")
    model = tmp_path / "sfm"
    report = run_sfm(tmp_path / "photos", settings, model, tmp_path / "work", threads=1)
    assert report["registered"] == VIEWS and report["mean_reprojection_error"] < 0.3
    poses = poses_of(read_model(model))
    centre, angle = errors_after_alignment(
        np.stack([poses[f"{i}.png"] for i in range(VIEWS)]), truth.world_from_camera.numpy()
    )
    assert centre.max() < 0.01 and angle.max() < 0.3
    import_scene(tmp_path / "photos", "photos", SceneSettings(), name="room", sfm_model=model).save(
        tmp_path / "scene"
    )
    scene = Scene.load(tmp_path / "scene")
    # Directions in the camera frame: the lens alone.
    still = torch.eye(4)[:3].repeat(VIEWS, 1, 1)
    lenses = [replace(cameras, world_from_camera=still) for cameras in (scene.cameras, truth)]
    found, expected = (every_ray(cameras)[1] for cameras in lenses)
    apart = np.degrees(np.arccos((found * expected).sum(axis=1).clip(-1, 1)))
    assert np.quantile(apart, 0.95) < 0.15 and apart.max() < 1.0


@pytest.mark.slow
def test_folders_of_two_sizes_have_lenses_of_their_own(tmp_path: Path) -> None:
    for folder, width, height in (("wide", 320, 240), ("small", 240, 200)):
        write_photos(tmp_path / "photos" / folder, fisheye(width, height))
    settings = SfmSettings(max_features=800, camera_model="OPENCV_FISHEYE", camera="per-folder")
    report = run_sfm(tmp_path / "photos", settings, tmp_path / "sfm", tmp_path / "work", threads=1)
    assert report["registered"] == 2 * VIEWS
    focal = {camera["width"]: camera["params"][0] for camera in report["cameras"]}
    assert focal == {width: pytest.approx(0.45 * width, rel=0.03) for width in (320, 240)}
