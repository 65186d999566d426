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

from dac.divide.ownership import owners, owners_of_points
from dac.divide.partition import Partition
from dac.report.partition_geometry import (
    HORIZON,
    camera_size,
    frusta,
    surroundings,
)
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
    owner = owners(scene, partition)
    middle, extent = surroundings(scene)
    reach = HORIZON * extent
    faces = frusta(scene, camera_size(scene))
    pyramids = np.concatenate([faces[:, 1, :1], faces[:, 0]], axis=1)  # (n, 5, 3): apex, image
    cameras = np.unique(np.linspace(0, len(owner) - 1, MOST_CAMERAS).round().astype(np.int64))
    chosen, most = _near(points, middle, reach)
    colours = group_colours(partition.count)
    data = {
        "colours": [[colour, lighter(colour)] for colour in [*colours, UNASSIGNED]],
        "cameras": _packed((pyramids[cameras] - middle) / reach),
        "owners": owner[cameras].tolist(),
        "extent": 1 / HORIZON,
        "ground": float(np.clip(-middle[2] / reach, -1, 1)) if scene.space.kind == "box" else None,
        "points": "",
        "groups": "",
        "light": "",
    }
    if points is not None and len(chosen):
        light = np.asarray(points.rgb, np.float64)[chosen].mean(axis=1)
        data["points"] = _packed((np.asarray(points.xyz, np.float64)[chosen] - middle) / reach)
        group_of = owners_of_points(scene, points, owner, partition.count)
        data["groups"] = _base64(group_of[chosen].astype("<u2"))
        data["light"] = _base64(light.round().astype(np.uint8))
    left_out = []
    if len(cameras) < len(owner):
        left_out.append(f"{len(cameras):,} of {count(len(owner), 'camera')}")
    if len(chosen) < most:
        left_out.append(f"{len(chosen):,} of {count(most, 'point')}")
    return Turning(
        data=data,
        groups=tuple(_sizes(partition, owner)),
        thinned=f"Drawn are {' and '.join(left_out)}." if left_out else "",
        description=f"{count(len(owner), 'camera')} in {count(partition.count, 'group')}"
        + (f" around {count(most, 'point')} of the scene" if most else ""),
    )


def _near(points: Points | None, middle: NDArray[np.float64], reach: float) -> tuple[Any, int]:
    """Indices of the points to draw, and how many there are to choose from."""
    if points is None:
        return np.empty(0, np.int64), 0
    distance = np.linalg.norm(np.asarray(points.xyz, np.float64) - middle, axis=1)
    near = np.flatnonzero(distance < reach)
    if len(near) <= MOST_POINTS:
        return near, len(near)
    return np.sort(np.random.default_rng(0).choice(near, MOST_POINTS, replace=False)), len(near)


def _sizes(partition: Partition, owner: NDArray[np.int64]) -> list[str]:
    """Each group's number of views, and of those that it owns where others have them too."""
    texts = []
    for group, views in enumerate(partition.groups):
        owned = int((owner == group).sum())
        more = "" if owned == len(views) else f", owns {owned:,}"
        texts.append(f"{count(len(views), 'view')}{more}")
    return texts


def _packed(places: NDArray[np.float64]) -> str:
    """Coordinates in [-1, 1] as 16-bit integers; what lies beyond, at the end."""
    return _base64((places.clip(-1, 1) * _UNIT).round().astype("<i2"))


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
