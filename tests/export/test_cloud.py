"""Point clouds of the toy's sphere, whose views have a closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy
import trimesh
from toy_views import BACKGROUND, BOX, CAMERAS, view_of

from dac.cameras import Cameras
from dac.errors import UserError
from dac.export.cloud import Cloud, make_cloud, require_cloud, save_cloud
from dac.ops.rays import Rendered
from dac.scenes.scene import Space

VOXEL = 0.05


def cloud_of(views: range = range(12), space: Space = BOX, opacity: float = 0.95) -> Cloud:
    return make_cloud(
        lambda view: view_of(CAMERAS, view, opacity), CAMERAS, views, BACKGROUND, space, VOXEL, 0.9
    )


def test_points_lie_on_the_sphere_with_its_colours_and_normals() -> None:
    cloud = cloud_of()
    radii = np.linalg.norm(cloud.points, axis=1)
    assert np.abs(radii - toy.RADIUS).max() < 0.01  # a voxel's mean lies a little inside
    expected = 255 * (1 + cloud.points / radii[:, None]) / 2
    error = np.abs(cloud.colours - expected)
    assert error.max() < 12 and error.mean() < 2
    assert ((cloud.normals * cloud.points).sum(axis=1) / radii > 0.9).all()
    assert np.allclose(np.linalg.norm(cloud.normals, axis=1), 1)
    cells = np.floor((cloud.points + 1) / VOXEL).astype(int)
    assert len(np.unique(cells, axis=0)) == len(cells)  # one in each voxel
    assert (np.diff(np.ravel_multi_index(tuple(cells.T), (50, 50, 50))) > 0).all()
    # They cover what the views see: all but the cap around the lower pole.
    assert len(cloud.points) > 0.6 * 4 * np.pi * toy.RADIUS**2 / VOXEL**2
    assert cloud.points[:, 2].max() > 0.79 and cloud.points[:, 2].min() < -0.3


def test_the_order_of_views_is_no_matter() -> None:
    one, other = cloud_of(range(12)), cloud_of(range(11, -1, -1))
    assert np.allclose(one.points, other.points) and (one.colours == other.colours).all()


def test_points_outside_of_the_box_are_left_out() -> None:
    upper = Space("box", ((-1.0, -1.0, 0.2), (1.0, 1.0, 1.0)), 0.1, 1e3)
    cloud = cloud_of(space=upper)
    assert cloud.points[:, 2].min() >= 0.2 and len(cloud.points) > 100
    assert (cloud.spacing == VOXEL).all()


@pytest.mark.parametrize("scale", [1.0, 4.0, 12.0, 24.0])
def test_a_place_is_covered_up_to_its_sky(scale: float) -> None:
    """The sphere `scale` times as large, in unbounded space: outside of the cube voxels grow."""
    unbounded = Space("contraction", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 0.1, 1e3)
    pose = CAMERAS.world_from_camera.clone()
    pose[:, :, 3] *= scale
    intrinsics, distortion = CAMERAS.intrinsics, CAMERAS.distortion
    larger = Cameras("perspective", CAMERAS.width, CAMERAS.height, intrinsics, distortion, pose)

    def view(index: int) -> Rendered:
        seen = view_of(CAMERAS, index, 0.95)
        return Rendered(seen.rgb, seen.depth * scale, seen.accumulation)

    def made() -> Cloud:
        return make_cloud(view, larger, range(12), BACKGROUND, unbounded, VOXEL, 0.9)

    if scale * toy.RADIUS > 8 * np.sqrt(3):
        with pytest.raises(UserError, match="agree on no point"):
            made()
        return
    cloud = made()
    farthest = np.abs(cloud.points).max(axis=1)
    assert farthest.max() <= 8 and len(cloud.points) > 100
    radii = np.linalg.norm(cloud.points, axis=1)
    assert np.abs(radii / scale - toy.RADIUS).max() < 0.05
    expected = VOXEL * np.maximum(farthest, 1) / (2 - 1 / np.maximum(farthest, 1))
    assert np.allclose(cloud.spacing, expected)


def test_fog_gives_no_points() -> None:
    with pytest.raises(UserError, match=r"agree on no point with an accumulation of 0\.9"):
        cloud_of(opacity=0.5)


def test_what_one_view_alone_sees_is_left_out() -> None:
    def speckled(view: int) -> Rendered:
        seen = view_of(CAMERAS, view, 0.95)
        if view == 4:
            seen.depth[20:26, 20:26] += 0.4
        return seen

    cloud = make_cloud(speckled, CAMERAS, range(12), BACKGROUND, BOX, VOXEL, 0.9)
    assert np.abs(np.linalg.norm(cloud.points, axis=1) - toy.RADIUS).max() < 0.02
    alone = make_cloud(speckled, CAMERAS, [4], BACKGROUND, BOX, VOXEL, 0.9)
    assert np.linalg.norm(alone.points, axis=1).min() < toy.RADIUS - 0.2


@pytest.mark.parametrize("normals", [False, True])
def test_a_file_holds_the_same_points(tmp_path: Path, normals: bool) -> None:
    similarity = np.array([[0, -2.0, 0, 1], [2.0, 0, 0, 0], [0, 0, 2.0, -3], [0, 0, 0, 1]])
    cloud = cloud_of(range(3))
    save_cloud(cloud, tmp_path / "c.ply", normals, similarity)
    again = trimesh.load(tmp_path / "c.ply")
    moved = cloud.points @ similarity[:3, :3].T + similarity[:3, 3]
    assert np.allclose(again.vertices, moved, atol=1e-5)
    assert (np.asarray(again.colors)[:, :3] == cloud.colours).all()
    header, _, body = (tmp_path / "c.ply").read_bytes().partition(b"end_header\n")
    assert (b"property float nx" in header) == normals
    if normals:
        rows = np.frombuffer(body, [("xyz", "<f4", 3), ("n", "<f4", 3), ("rgba", "u1", 4)])
        assert np.allclose(rows["n"], cloud.normals @ similarity[:3, :3].T / 2, atol=1e-5)


def test_only_ply_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.ply"):
        require_cloud(tmp_path / "c.xyz")
