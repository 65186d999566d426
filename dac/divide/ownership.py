"""Which group training views and sparse points belong to: what pictures of a partition colour by.

Groups may overlap, but every view has one owner. A point counts the owners of the views that see
it, so that its colour is that of most of the cameras around it, whatever the division.

Notation: n training views among N, P points, K groups; K stands for "none".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dac.divide.covisibility import incidence
from dac.divide.partition import Partition
from dac.scenes.scene import Scene

if TYPE_CHECKING:
    from dac.scenes.points import Points


def owners(scene: Scene, partition: Partition) -> NDArray[np.int64]:
    """(n,) the group that owns each training view; K for one that the partition doesn't know."""
    names = [scene.names[view] for view in scene.train]
    return np.array([partition.owner.get(name, partition.count) for name in names], np.int64)


def owners_of_points(
    scene: Scene, points: Points, owner: NDArray[np.int64], K: int
) -> NDArray[np.int64]:
    """The group that owns most of the training views that see a point.

    Args:
        scene: the scene of the points.
        points: P of them, with their tracks.
        owner: (n,) the group of each training view, 0 to K.
        K: how many groups there are.

    Returns:
        (P,); of equals the first, K where no view of a group sees the point.
    """
    seen = incidence(points.offsets, points.views, len(scene.names))[:, list(scene.train)]
    votes = np.asarray(seen @ np.eye(K + 1, dtype=np.int64)[owner])[:, :K]
    return np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), K)
