"""What pictures of a partition are drawn of: cameras as pyramids, and points, by group.

Notation: n training views, m points that are drawn; world coordinates with z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from dac.divide.partition import Partition
from dac.divide.routing import owners_of_points, owners_of_views
from dac.report.style import sample
from dac.report.text import count
from dac.scenes.points import Points
from dac.scenes.scene import Scene

Floats = NDArray[np.float64]

HORIZON = 2.4  # how far from the middle points are drawn, in the cameras' distances


@dataclass(frozen=True)
class PartitionView:
    """A partition in space.

    Attributes:
        owner: (n,) the group that owns each training view, or `UNOWNED`.
        sizes: of each group how many views it has and, where others have them too, owns: a text.
        middle: (3,) the point that the cameras stand around.
        extent: how far away most of them are.
        pyramids: (n, 5, 4, 3) of the cameras; see `frusta`.
        xyz: (m, 3) points within the horizon; of many a sample.
        available: how many there were to choose from.
        groups: (m,) the group that owns most of the views that see a point, or `UNOWNED`.
        light: (m,) the points' own brightness, 0 to 255.
    """

    owner: NDArray[np.int64]
    sizes: list[str]
    middle: Floats
    extent: float
    pyramids: Floats
    xyz: Floats
    available: int
    groups: NDArray[np.int64]
    light: Floats


def partition_view(
    scene: Scene, partition: Partition, points: Points | None, most: int
) -> PartitionView:
    """What to draw of a partition.

    Args:
        scene: the scene that was divided.
        partition: its groups.
        points: the sparse model, or None.
        most: points.
    """
    owner = owners_of_views(scene, partition)[list(scene.train)]
    middle, extent = surroundings(scene)
    pyramids = frusta(scene, camera_size(scene))
    xyz, light, groups = np.empty((0, 3)), np.empty(0), np.empty(0, np.int64)
    near = groups
    if points is not None:
        every = np.asarray(points.xyz, np.float64)
        near = np.flatnonzero(np.linalg.norm(every - middle, axis=1) < HORIZON * extent)
        drawn = sample(near, most)
        xyz, light = every[drawn], np.asarray(points.rgb, np.float64)[drawn].mean(axis=1)
        if len(drawn):
            groups = owners_of_points(scene, points, owner, partition.count)[drawn]
    sizes = group_sizes(partition, owner)
    return PartitionView(owner, sizes, middle, extent, pyramids, xyz, len(near), groups, light)


def group_sizes(partition: Partition, owner: NDArray[np.int64]) -> list[str]:
    """Each group's number of views, and of those that it owns where others have them too."""
    texts = []
    for group, views in enumerate(partition.groups):
        owned = int((owner == group).sum())
        more = "" if owned == len(views) else f", owns {owned:,}"
        texts.append(f"{count(len(views), 'view')}{more}")
    return texts


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
