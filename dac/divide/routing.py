"""Expert retrieval: which expert answers for a ray (Eq. 4).

A ray of a training view belongs to the group that owns the view; a ray of an interpolated view to
the group whose views it lies between (see `novel_rays`). A camera outside the partition, such as a
test view, gets the expert whose training views look most like it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.divide.azimuth import azimuths, sectors
from dac.divide.partition import Partition
from dac.scenes.scene import Scene

Floats = NDArray[np.float64]

UNOWNED = -1


def owners_of_views(scene: Scene, partition: Partition) -> Tensor:
    """The indicator function of Eq. 4 on the scene's views.

    Returns:
        (N,) int64: the group that owns each view; `UNOWNED` for views that the partition lacks.
    """
    owners = [partition.owner.get(name, UNOWNED) for name in scene.names]
    return torch.tensor(owners, dtype=torch.int64)


def owner_of_camera(scene: Scene, partition: Partition, view: int) -> int:
    """The expert for any view of the scene, a test view for instance.

    Training views have their owner. Otherwise, by the division:

    - azimuth, azimuth-overlap: the sector whose centre is nearest in azimuth, which is the sector
      of Eq. 1 that the camera lies in;
    - azimuth-quantile: the owner of the training view nearest in azimuth;
    - others: the owner of the training view nearest by `pose_distances`.
    """
    name = scene.names[view]
    if name in partition.owner:
        return partition.owner[name]
    centres = scene.cameras.centres.cpu().numpy()
    if partition.division in ("azimuth", "azimuth-overlap"):
        return int(sectors(azimuths(centres[[view]]), partition.count)[0])
    known = scene.indices(list(partition.owner))
    if partition.division == "azimuth-quantile":
        turn = azimuths(centres[known]) - azimuths(centres[[view]])
        distance = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
    else:
        distance = pose_distances(scene, [view], known)[0]
    return partition.owner[scene.names[known[int(np.argmin(distance))]]]


def pose_distances(scene: Scene, views: list[int], others: list[int]) -> Floats:
    """How differently two views see the scene: |c - c'| / r + |f - f'|.

    c are the camera centres, f the unit viewing directions and r the mean distance of `others`
    from their mean, so that opposite viewing directions weigh as much as a move across the scene.

    Returns:
        (views, others).
    """
    poses = scene.cameras.world_from_camera.cpu().numpy()
    centres, forward = poses[:, :, 3], poses[:, :, 2]
    spread = centres[others] - centres[others].mean(axis=0)
    radius = max(float(np.linalg.norm(spread, axis=1).mean()), 1e-12)
    moved = np.linalg.norm(centres[views][:, None] - centres[others][None], axis=-1)
    turned = np.linalg.norm(forward[views][:, None] - forward[others][None], axis=-1)
    distances: Floats = moved / radius + turned
    return distances
