"""The geometry of a partition's pictures: cameras as pyramids, and how far the scene is drawn.

Notation: n training views; world coordinates with z up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from dac.scenes.scene import Scene

Floats = NDArray[np.float64]

HORIZON = 2.4  # how far from the middle points are drawn, in the cameras' distances


def surroundings(scene: Scene) -> tuple[Floats, float]:
    """The point (3,) that the training cameras stand around, and how far away most of them are."""
    centres = scene.cameras.centres.cpu().numpy()[list(scene.train)]
    middle = np.zeros(3) if scene.space.kind == "box" else np.median(centres, axis=0)
    return middle, float(np.percentile(np.linalg.norm(centres - middle, axis=1), 90)) or 1.0


def camera_size(scene: Scene) -> float:
    """How long a camera's pyramid may be drawn: about half the way to the next one."""
    centres = scene.cameras.centres.cpu().numpy()[list(scene.train)]
    _, extent = surroundings(scene)
    spacing = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1:])) or extent
    if not np.isfinite(spacing):
        spacing = extent
    return float(np.clip(0.5 * spacing / extent, 0.07, 0.1)) * extent


def frusta(scene: Scene, size: float) -> Floats:
    """(n, 5, 4, 3) faces of the cameras' pyramids: the image, then four sides (as quads)."""
    train = list(scene.train)
    poses = scene.cameras.world_from_camera.cpu().numpy()[train]
    fx, fy, cx, cy = scene.cameras.intrinsics.cpu().numpy()[train].T
    x = np.stack([-cx / fx, (scene.cameras.width - cx) / fx], axis=1).clip(-1.2, 1.2)
    y = np.stack([-cy / fy, (scene.cameras.height - cy) / fy], axis=1).clip(-1.2, 1.2)
    corner = np.stack([x[:, [0, 1, 1, 0]], y[:, [0, 0, 1, 1]], np.ones((len(train), 4))], axis=2)
    # Wide lenses get a shorter pyramid: the image's half diagonal is what the eye compares.
    corner *= size * 0.6 / np.linalg.norm(corner[:, :, :2], axis=2).mean(axis=1)[:, None, None]
    corner[:, :, 2] = corner[:, :, 2].clip(max=size)
    image = np.einsum("nij,nkj->nki", poses[:, :, :3], corner) + poses[:, None, :, 3]
    apex = poses[:, :, 3]
    sides = [np.stack([apex, image[:, i], image[:, (i + 1) % 4], apex], axis=1) for i in range(4)]
    return np.stack([image, *sides], axis=1)
