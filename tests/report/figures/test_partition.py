from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from dac.cameras import Cameras
from dac.divide.covisibility import covisibility
from dac.divide.divide import partition_scene
from dac.divide.partition import Partition
from dac.divide.routing import owners_of_points, owners_of_views
from dac.report.figures.partition import (
    _Oblique,
    _sector_edges,
    _unwrapped,
    partition_figure,
)
from dac.report.partition_view import frusta, partition_view
from dac.scenes.points import Points
from dac.scenes.scene import Scene, Space
from dac.settings import DivideSettings

LOOSE = DivideSettings(minimum_views=1)


def ring_scene(n: int, kind: str = "box", train: tuple[int, ...] | None = None) -> Scene:
    phi = 2 * np.pi * (np.arange(n) + 0.5) / n
    poses = []
    for angle in phi:
        forward = -np.array([np.cos(angle), np.sin(angle), 0.4]) / np.sqrt(1.16)
        right = np.array([-np.sin(angle), np.cos(angle), 0.0])
        poses.append(np.stack([right, np.cross(forward, right), forward, -3 * forward], axis=1))
    views = tuple(range(n)) if train is None else train
    return Scene(
        name="ring",
        names=tuple(f"{i:03d}.png" for i in range(n)),
        cameras=Cameras(
            "perspective",
            30,
            20,
            torch.tensor([[30.0, 30.0, 15.0, 10.0]], dtype=torch.float64).repeat(n, 1),
            torch.zeros(n, 6, dtype=torch.float64),
            torch.from_numpy(np.stack(poses)),
        ),
        images=np.zeros((n, 2, 3, 3), np.uint8),
        masks=None,
        train=views,
        test=tuple(i for i in range(n) if i not in views),
        background="white",
        space=Space(kind, ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 0.1, 10.0),  # type: ignore[arg-type]
        world_from_data=np.eye(4),
    )


def points_with(xyz: np.ndarray, tracks: list[list[int]]) -> Points:
    rng = np.random.default_rng(0)
    return Points(
        xyz=xyz.astype(np.float32),
        rgb=rng.integers(0, 256, xyz.shape, np.uint8),
        offsets=np.cumsum([0, *map(len, tracks)]),
        views=np.array([view for track in tracks for view in track], np.int32),
        error=np.zeros(len(xyz), np.float32),
    )


def random_points(n: int, count: int = 300) -> Points:
    xyz = np.random.default_rng(0).normal(size=(count, 3))
    xyz[0] = [1e4, 0, 0]  # a point far away must not shrink the rest
    phi = 2 * np.pi * (np.arange(n) + 0.5) / n
    facing = np.cos(np.arctan2(xyz[:, 1], xyz[:, 0])[:, None] - phi) > 0.5
    return points_with(xyz, [np.flatnonzero(row).tolist() for row in facing])


def drawn(tmp_path: Path, scene: Scene, partition: Partition, points: Points | None) -> np.ndarray:
    png, pdf = tmp_path / "partition.png", tmp_path / "partition.pdf"
    partition_figure(scene, partition, points, png, pdf)
    assert pdf.read_bytes().startswith(b"%PDF")
    return np.asarray(Image.open(png).convert("RGB"))


@pytest.mark.parametrize(
    ("division", "K", "kind", "with_points"),
    [
        ("azimuth-quantile", 3, "box", False),
        ("azimuth-overlap", 6, "box", True),
        ("spectral", 12, "contraction", True),
        ("random", 24, "box", False),
        ("single", 1, "contraction", True),
    ],
)
def test_nothing_touches_the_edge_of_the_picture(
    tmp_path: Path, division: str, K: int, kind: str, with_points: bool
) -> None:
    n = 36
    scene = ring_scene(n, kind, tuple(i for i in range(n) if i % 8))
    points = random_points(n)
    A = covisibility(points.offsets, points.views, n)
    partition = partition_scene(scene, division, K, LOOSE, A)  # type: ignore[arg-type]
    picture = drawn(tmp_path, scene, partition, points if with_points else None)
    frame = [picture[:6], picture[-6:], picture[:, :6], picture[:, -6:]]
    assert all(np.all(strip == 255) for strip in frame)
    assert picture.shape[1] == 2100
    assert (picture != 255).any(axis=2).mean() > 0.05


def test_equal_partitions_give_equal_files(tmp_path: Path) -> None:
    scene, points = ring_scene(12), random_points(12)
    partition = partition_scene(scene, "azimuth", 3, LOOSE, None)
    for name in ("a", "b"):
        drawn(tmp_path / name, scene, partition, points)
    for file in ("partition.png", "partition.pdf"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_one_view_and_points_without_tracks(tmp_path: Path, figures: list[Figure]) -> None:
    scene = ring_scene(1, "contraction")
    partition = partition_scene(scene, "single", 1, LOOSE, None)
    near = scene.cameras.centres.numpy() * np.array([[0.8], [0.9], [1.1]])
    for points, dots in ((near, 3), (near[:0], 0)):
        drawn(tmp_path, scene, partition, points_with(points, [[] for _ in points]))
        left, right = figures[-1].axes
        assert sum(len(each.get_offsets()) for each in left.collections[2:]) == dots
        assert right.name == "polar"  # without tracks there is no covisibility to show
        (legend,) = figures[-1].legends
        assert [text.get_text() for text in legend.get_texts()] == [f"{partition.word} 0: 1 view"]


def test_what_is_drawn_of_a_partition() -> None:
    scene, points = ring_scene(12), random_points(12)
    partition = partition_scene(scene, "azimuth-overlap", 3, LOOSE, None)
    view = partition_view(scene, partition, points, 100)
    assert view.owner.tolist() == owners_of_views(scene, partition)[list(scene.train)].tolist()
    owned = np.bincount(view.owner).tolist()
    assert view.sizes == [
        f"{len(views)} views" + (f", owns {n}" if n != len(views) else "")
        for views, n in zip(partition.groups, owned, strict=True)
    ]
    # The point far away is not one of the 299; those drawn are 100 of them, in their own colours.
    assert view.available == len(points.xyz) - 1 and len(view.xyz) == len(view.groups) == 100
    index = [np.flatnonzero((points.xyz == xyz).all(axis=1)).item() for xyz in view.xyz]
    assert view.groups.tolist() == owners_of_points(scene, points, view.owner, 3)[index].tolist()
    assert view.light == pytest.approx(points.rgb[index].mean(axis=1))
    assert partition_view(scene, partition, None, 100).available == 0


def test_the_oblique_view_is_a_rotation_that_keeps_up_up() -> None:
    view = _Oblique(-60.0, 40.0)
    flat, depth = view(np.eye(3))
    axes = np.column_stack([flat, depth])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) > 0
    assert flat[2, 0] == 0 and flat[2, 1] > 0


def test_camera_pyramids_open_along_the_view() -> None:
    scene = ring_scene(5, train=(1, 3))
    faces = frusta(scene, 0.2)
    assert faces.shape == (2, 5, 4, 3)
    poses = scene.cameras.world_from_camera.numpy()[[1, 3]]
    for face, pose in zip(faces, poses, strict=True):
        offset = face[0] - pose[:, 3]
        assert np.all(offset @ pose[:, 2] > 0)
        np.testing.assert_allclose(face[1:, 0], np.tile(pose[:, 3], (4, 1)))


def test_sector_borders() -> None:
    phi = np.radians([10.0, 150.0, 190.0, 200.0])
    quantile = Partition("azimuth-quantile", (("a", "b"), ("c", "d")), {})
    edges = _sector_edges(quantile, phi, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(np.degrees(edges), [0, 170, 360])
    edges = _sector_edges(quantile, phi / 2, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(np.degrees(edges), [5, 85, 100])
    even = Partition("azimuth", (("a", "b"), ("c", "d")), {})
    np.testing.assert_allclose(_sector_edges(even, phi, np.zeros(4, int)), [0, np.pi, 2 * np.pi])


def test_groups_across_azimuth_zero_are_not_torn() -> None:
    phi = np.radians([350.0, 10.0, 340.0, 30.0])
    order = np.argsort(_unwrapped(phi, np.zeros(4, np.int64), 1))
    assert order.tolist() == [2, 0, 1, 3]
