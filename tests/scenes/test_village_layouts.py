"""The embedded place, with its true cameras, in each layout of Tanks and Temples, end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from layouts import Known, write_colmap, write_nerfpp, write_nsvf

from dac.divide.covisibility import covisibility
from dac.divide.divide import partition_scene
from dac.scenes.formats.colmap_model import read_model
from dac.scenes.importer import import_scene
from dac.scenes.points import Points, points_from_model, triangulate
from dac.scenes.scene import Scene
from dac.settings import DivideSettings, PointsSettings, SceneSettings
from dac.storage.artifacts import read_json
from dac.training.baseline import train_baseline

pytestmark = pytest.mark.slow

VILLAGE = Path(__file__).parents[2] / "scenes" / "village-square"
STRIDE = 3  # of 72 photos
WRITERS = {"nerfpp": write_nerfpp, "nsvf": write_nsvf}


@pytest.fixture(scope="module")
def known() -> Known:
    """24 photos on a ring; as in Truck, the test views follow each other."""
    truth = json.loads((VILLAGE / "ground_truth_cameras.json").read_text())
    frames = truth["frames"][::STRIDE]
    opengl = np.array([frame["camera_to_world"] for frame in frames])
    width, height, focal = truth["width"], truth["height"], truth["focal_pixels"]
    return Known(
        images=[(VILLAGE / frame["file"]).read_bytes() for frame in frames],
        suffix=".jpg",
        size=(width, height),
        poses=opengl @ np.diag([1.0, -1, -1, 1]),
        lenses=np.tile([focal, focal, width / 2, height / 2], (len(frames), 1)),
        test=range(14, 17),
    )


def assert_cameras_are_known(scene: Scene, known: Known, names: list[str]) -> None:
    """Up to the scene's own similarity, which is a shift, a turn and a scale."""
    order = [scene.names.index(name) for name in names]
    linear, shift = scene.world_from_data[:3, :3], scene.world_from_data[:3, 3]
    scale = np.cbrt(np.linalg.det(linear))
    np.testing.assert_allclose(linear @ linear.T, scale**2 * np.eye(3), atol=1e-12)
    poses = scene.cameras.world_from_camera[order].numpy()
    turned = linear @ known.poses[:, :3, :3] / scale
    np.testing.assert_allclose(poses[:, :, :3], turned, rtol=0, atol=1e-6)
    centres = known.poses[:, :3, 3] @ linear.T + shift
    np.testing.assert_allclose(poses[:, :, 3], centres, rtol=0, atol=1e-6)
    assert np.linalg.norm(centres, axis=1).max() == pytest.approx(1 / 1.1)
    np.testing.assert_allclose(scene.cameras.intrinsics[order], known.lenses, rtol=0, atol=1e-6)


def assert_points_are_seen(scene: Scene, points: Points) -> None:
    """Enough of them, near their pixels, in the training views only."""
    assert len(points) > 800
    assert np.median(points.error) < 0.5 and points.error.mean() < 1.0
    assert set(points.views.tolist()) == set(scene.train)
    for view in scene.train:
        seen = np.repeat(np.arange(len(points)), np.diff(points.offsets))[points.views == view]
        pixels, depth = scene.cameras.project(view, torch.from_numpy(points.xyz[seen]))
        assert (depth > 0).all()
        size = torch.tensor([scene.cameras.width, scene.cameras.height])
        assert ((pixels > -4) & (pixels < size + 4)).all()


def assert_it_is_divided_and_trained(scene: Scene, points: Points, work: Path) -> None:
    graph = covisibility(points.offsets, points.views, len(scene.names))
    partition = partition_scene(scene, "louvain", 3, DivideSettings(), graph)
    assert len(partition.groups) == 3 and min(map(len, partition.groups)) >= 4
    assert sorted(partition.owner) == sorted(scene.names[view] for view in scene.train)
    scene.save(work / "scene")
    train_baseline(
        work / "scene", toy.model_settings(), toy.train_settings(curve_points=2), steps=8, seed=0,
        out=work / "run", state=work / "state",
    )  # fmt: skip
    losses = read_json(work / "run" / "curve.json")["losses"]["photometric"]
    assert 0 < losses[1] < losses[0]


@pytest.mark.parametrize("format", ["nerfpp", "nsvf"])
def test_from_the_layout_to_a_model(known: Known, tmp_path: Path, format: str) -> None:
    names = WRITERS[format](tmp_path / "data", known)
    scene = import_scene(tmp_path / "data", format, SceneSettings(), name="village")
    assert [scene.names[view] for view in scene.test] == [names[i] for i in known.test]
    assert_cameras_are_known(scene, known, names)
    if format == "nsvf":  # the next test goes on from there
        return
    points = triangulate(scene, PointsSettings(), tmp_path / "work")
    assert_points_are_seen(scene, points)
    assert_it_is_divided_and_trained(scene, points, tmp_path)


def test_from_splatting_s_layout_to_a_model(known: Known, tmp_path: Path) -> None:
    """Its points come from a triangulation of all views."""
    write_nsvf(tmp_path / "first", replace(known, test=()))
    split = SceneSettings(split="every-8th")
    first = import_scene(tmp_path / "first", "nsvf", split, name="village")
    first = replace(first, train=tuple(range(len(known))), test=())
    found = triangulate(first, PointsSettings(), tmp_path / "work")
    data_from_world = np.linalg.inv(first.world_from_data)
    xyz = found.xyz @ data_from_world[:3, :3].T + data_from_world[:3, 3]
    tracks = [track.tolist() for track in np.split(found.views, found.offsets[1:-1])]
    write_colmap(tmp_path / "data", known, xyz, tracks)

    scene = import_scene(tmp_path / "data", "colmap", SceneSettings(), name="village")
    assert scene.test == (0, 8, 16)
    assert_cameras_are_known(scene, known, [f"{i + 1:06d}.jpg" for i in range(len(known))])
    points = points_from_model(read_model(tmp_path / "data" / "sparse" / "0"), scene)
    np.testing.assert_allclose(points.xyz, found.xyz, atol=1e-4)
    assert points.views.tolist() == found.views.tolist()
    assert_it_is_divided_and_trained(scene, points, tmp_path)
