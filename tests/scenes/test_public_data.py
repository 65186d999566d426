"""Public data sets, where the folder that DAC_DATA names holds them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from layouts import Known, encoded, write_nerfpp

from dac.divide.divide import partition_scene
from dac.scenes.formats.nerfpp import read_nerfpp
from dac.scenes.importer import import_scene
from dac.scenes.scene import Scene
from dac.settings import DivideSettings, Division, SceneSettings

pytestmark = pytest.mark.data


@pytest.fixture
def data() -> Path:
    if "DAC_DATA" not in os.environ:
        pytest.skip("DAC_DATA is not set")
    return Path(os.environ["DAC_DATA"])


def silhouettes_that_their_hull_fills(scene: Scene) -> float:
    """Carve points by the silhouettes of some views; how much of other views' do the rest fill?

    About 0.96 with the right cameras; 0.68 if they are upside down.
    """
    points = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (100_000, 3)))

    def pixels(view: int) -> tuple[Any, Any]:
        return tuple(scene.cameras.project(view, points)[0].floor().long().clamp(0, 99).numpy().T)

    for i in range(0, 300, 3):
        x, y = pixels(i)
        points = points[torch.from_numpy(scene.images[i, y, x, 3] > 0)]
    shares = []
    for i in range(1, 300, 30):
        x, y = pixels(i)
        filled = np.zeros((102, 102), bool)
        for row in range(3):
            for column in range(3):
                filled[y + row, x + column] = True
        shares.append(filled[1:-1, 1:-1][scene.images[i, ..., 3] > 127].mean())
    return float(np.mean(shares))


def test_lego(data: Path) -> None:
    scene = import_scene(data / "lego_400", "blender", SceneSettings(downscale=4), name="lego")
    assert (len(scene.train), len(scene.test)) == (100, 200)
    assert scene.images.shape == (300, 100, 100, 4)
    # Lego's cameras stand on a sphere and look at its centre.
    radius = scene.cameras.centres.norm(dim=1)
    torch.testing.assert_close(radius, torch.full_like(radius, 4.0311), rtol=1e-3, atol=0)
    pixels = [scene.cameras.project(i, torch.zeros(1, 3))[0] for i in range(300)]
    assert (torch.cat(pixels) - 50).abs().max() < 0.5
    assert silhouettes_that_their_hull_fills(scene) > 0.9
    # The bulldozer fills part of each view, and the views' corners are empty.
    share = (scene.images[..., 3] > 127).mean(axis=(1, 2))
    assert share.min() > 0.05 and share.max() < 0.6
    assert scene.images[:, 0, 0, 3].max() == 0


def test_fox(data: Path) -> None:
    settings = SceneSettings(
        downscale=8, exclude=str(data / "fox" / "extra17_from_history_3aeb1cf.txt")
    )
    scene = import_scene(data / "fox", "nerfstudio", settings, name="fox")
    assert len(scene.names) == 50 and scene.images.shape == (50, 240, 135, 3)
    assert scene.cameras.newton_steps <= 3 and scene.masks is None
    assert scene.cameras.centres.norm(dim=1).max() == pytest.approx(1 / 1.1)
    # All see the fox, at the centre.
    pixels = torch.cat([scene.cameras.project(i, torch.zeros(1, 3))[0] for i in range(50)])
    assert ((pixels > 0) & (pixels < torch.tensor([135, 240]))).all()
    assert np.abs(np.linalg.det(scene.world_from_data[:3, :3])) > 0


@pytest.fixture
def truck(data: Path) -> Known:
    """The published cameras of NeRF++'s Truck, in the frames' order, with blank images."""
    parts = {}
    for part in ("train", "test"):
        file = data / "tat_truck_cameras" / f"{part}.json"
        parts |= {name: (part, camera) for name, camera in json.loads(file.read_text()).items()}
    assert sorted(parts) == [f"{i:06d}.png" for i in range(1, 252)]
    views = [parts[name] for name in sorted(parts)]
    cameras = [camera for _, camera in views]
    matrices = np.array([camera["K"] for camera in cameras]).reshape(-1, 4, 4)
    (size,) = {tuple(camera["img_size"]) for camera in cameras}
    blank = encoded(np.full((size[1], size[0], 3), 128, np.uint8))
    return Known(
        images=[blank] * len(views),
        suffix=".png",
        size=size,
        poses=np.linalg.inv(np.array([camera["W2C"] for camera in cameras]).reshape(-1, 4, 4)),
        lenses=matrices[:, [0, 1, 0, 1], [0, 1, 2, 2]],
        test=[i for i, (part, _) in enumerate(views) if part == "test"],
    )


def test_truck_as_nerfpp_published_it(truck: Known, tmp_path: Path) -> None:
    names = write_nerfpp(tmp_path, truck)
    views = read_nerfpp(tmp_path)
    order = [views.names.index(name) for name in names]
    np.testing.assert_allclose(views.poses[order], truck.poses[:, :3], rtol=0, atol=1e-6)
    assert views.given is not None
    assert (views.given.count("train"), views.given.count("test")) == (226, 25)
    assert [i for i, view in enumerate(order, 1) if views.given[view] == "test"] == [
        *range(173, 198)
    ]
    assert (views.sizes == [980, 546]).all()
    np.testing.assert_allclose(
        views.intrinsics, np.tile([581.788, 581.788, 490.25, 272.75], (251, 1)), atol=1e-3
    )
    # Published with the mean of all centres at 0 and the furthest at 1 / 1.1; ours is near that.
    centres = views.poses[:, :, 3]
    np.testing.assert_allclose(centres.mean(axis=0), 0, atol=1e-6)
    assert np.linalg.norm(centres, axis=1).max() == pytest.approx(1 / 1.1)
    scene = import_scene(tmp_path, "nerfpp", SceneSettings(downscale=7), name="truck")
    assert (len(scene.train), len(scene.test)) == (226, 25)
    assert np.linalg.norm(scene.world_from_data[:3, 3]) == pytest.approx(0.148, abs=1e-3)
    scale = np.cbrt(np.linalg.det(scene.world_from_data[:3, :3]))
    assert scale == pytest.approx(1.022, abs=1e-3)
    # The divisions that need no points.
    divisions: tuple[Division, ...] = ("azimuth", "azimuth-quantile", "random")
    for division in divisions:
        partition = partition_scene(scene, division, 4, DivideSettings(), None)
        sizes = [len(group) for group in partition.groups]
        assert sum(sizes) == 226 and min(sizes) >= 40
        assert division == "azimuth" or max(sizes) - min(sizes) <= 1
