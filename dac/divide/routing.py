"""Expert retrieval: which group owns a view, a ray (Eq. 4), a sparse point.

A ray of a training view belongs to the group that owns the view; a ray of an interpolated view to
the group whose views it lies between. A camera outside the partition, such as a test view, gets
its expert by a `Router`. A point counts the owners of the training views that see it, so that in
pictures its colour is that of most cameras around it.

Notation: N views, n of them for training, P points, K groups; these may overlap, but every training
view has one owner.
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

Owners = NDArray[np.int64]

UNOWNED = -1
"""In the place of a group: none. As an index, it is that of a list's last."""


def owners_of_views(scene: Scene, partition: Partition) -> Owners:
    """The indicator function of Eq. 4 on the scene's views.

    Returns:
        (N,) the group that owns each view; `UNOWNED` for views that the partition lacks.
    """
    return np.array([partition.owner.get(name, UNOWNED) for name in scene.names], np.int64)


def owners_of_points(scene: Scene, points: Points, owner: Owners, K: int) -> Owners:
    """The group that owns most of the training views that see a point.

    Args:
        scene: the scene of the points.
        points: P of them, with their tracks.
        owner: (n,) the group of each training view, or `UNOWNED`.
        K: how many groups there are.

    Returns:
        (P,); of equals the first, `UNOWNED` where no view of a group sees the point.
    """
    seen = incidence(points.offsets, points.views, len(scene.names))[:, list(scene.train)]
    votes = np.asarray(seen @ (owner[:, None] == np.arange(K)).astype(np.int64))
    return np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), UNOWNED)
