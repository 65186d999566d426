"""The partition in space, for the page's canvas: cameras as pyramids, and points, by group.

Coordinates are stored as 16-bit integers, in units of how far the points reach from the middle:
finer than a pixel of any screen, and a fifth of the size that their digits would have.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dac.divide.partition import Partition
from dac.divide.routing import UNOWNED
from dac.report.partition_view import HORIZON, partition_view
from dac.report.style import UNASSIGNED, group_colours, lighter
from dac.report.text import count
from dac.scenes.points import Points
from dac.scenes.scene import Scene

MOST_POINTS = 16_000
MOST_CAMERAS = 1_500
_UNIT = 2**15 - 1


@dataclass(frozen=True)
class Turning:
    """What the canvas and its legend show.

    Attributes:
        data: for the page's script; see `assets/turn.js`.
        groups: a legend's text for each group.
        thinned: what was left out, a sentence; empty if nothing was.
        description: in words, for those who don't see it.
    """

    data: dict[str, Any]
    groups: tuple[str, ...]
    thinned: str
    description: str


def turning(scene: Scene, partition: Partition, points: Points | None) -> Turning:
    """The picture of a partition that can be turned.

    Args:
        scene: the scene that was divided.
        partition: its groups; a camera has the colour of the group that owns it.
        points: the sparse model, or None.
    """
    view = partition_view(scene, partition, points, MOST_POINTS)
    reach = HORIZON * view.extent
    # (n, 5, 3): the apex, and the image's corners.
    pyramids = np.concatenate([view.pyramids[:, 1, :1], view.pyramids[:, 0]], axis=1)
    n = len(view.owner)
    cameras = np.unique(np.linspace(0, n - 1, MOST_CAMERAS).round().astype(np.int64))
    ground = float(np.clip(-view.middle[2] / reach, -1, 1)) if scene.space.kind == "box" else None
    colours = [*group_colours(partition.count), UNASSIGNED]
    data = {
        "colours": [[colour, lighter(colour)] for colour in colours],
        "cameras": _packed((pyramids[cameras] - view.middle) / reach),
        "owners": _coloured(view.owner[cameras], partition.count).tolist(),
        "extent": 1 / HORIZON,
        "ground": ground,
        "points": _packed((view.xyz - view.middle) / reach),
        "groups": _base64(_coloured(view.groups, partition.count).astype("<u2")),
        "light": _base64(view.light.round().astype(np.uint8)),
    }
    left_out = []
    if len(cameras) < n:
        left_out.append(f"{len(cameras):,} of {count(n, 'camera')}")
    if len(view.xyz) < view.available:
        left_out.append(f"{len(view.xyz):,} of {count(view.available, 'point')}")
    around = f" around {count(view.available, 'point')} of the scene" if view.available else ""
    return Turning(
        data=data,
        groups=tuple(view.sizes),
        thinned=f"Drawn are {' and '.join(left_out)}." if left_out else "",
        description=f"{count(n, 'camera')} in {count(partition.count, 'group')}{around}",
    )


def _coloured(groups: NDArray[np.int64], K: int) -> NDArray[np.int64]:
    """Which of the page's K + 1 colours groups have: the last is of what belongs to none."""
    return np.where(groups == UNOWNED, K, groups)


def _packed(positions: NDArray[np.float64]) -> str:
    """Coordinates in [-1, 1] as 16-bit integers; what lies beyond, at the end."""
    return _base64((positions.clip(-1, 1) * _UNIT).round().astype("<i2"))


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
