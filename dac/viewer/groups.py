"""Which group the training cameras and the sparse points belong to, for a partition of the scene.

Notation: n training views, P points, K groups; K stands for "none".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dac.divide.covisibility import incidence
from dac.divide.partition import Partition
from dac.report.style import UNASSIGNED, group_colours
from dac.scenes.points import Points
from dac.scenes.scene import Scene

Colour = tuple[int, int, int]


def partitions_of(scene_dir: Path) -> dict[str, Path]:
    """The partition files of a scene's results, by their folders' names, e.g. `azimuth-4`."""
    return {file.parent.name: file for file in sorted(scene_dir.glob("*/partition.json"))}


def owners(scene: Scene, partition: Partition | None) -> NDArray[np.int64]:
    """(n,) the group that owns each training view."""
    if partition is None:
        return np.zeros(len(scene.train), np.int64)
    names = [scene.names[view] for view in scene.train]
    return np.array([partition.owner.get(name, partition.count) for name in names], np.int64)


def group_of_points(
    scene: Scene, points: Points, owner: NDArray[np.int64], K: int
) -> NDArray[np.int64]:
    """(P,) int64: the group that owns most of the training views that see a point."""
    if len(points.views) == 0:
        return np.full(len(points), K, np.int64)
    seen = incidence(points.offsets, points.views, len(scene.names))[:, list(scene.train)]
    votes = np.asarray(seen @ np.eye(K + 1, dtype=np.int64)[owner])[:, :K]
    return np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), K)


def colours(K: int) -> list[Colour]:
    """K + 1 colours as 8-bit RGB; the last is of what belongs to no group."""
    return [
        (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16))
        for code in [*group_colours(K), UNASSIGNED]
    ]
