"""Cameras in a page's 3D scene, as pyramids that can be clicked.

Notation: n pyramids. viser gives the size of one whose image has the half sides x, y at the depth z
as (x y z / 3)^(1/3), a length of the scene.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dac.viewer.groups import Colour
from dac.viewer.poses import Floats, wxyz_of

if TYPE_CHECKING:
    import viser

_NARROWEST, _WIDEST = math.radians(15), math.radians(120)  # beyond, they are needles and sheets


class Frusta:
    """All pyramids of a page, by the names of their nodes.

    Their sides are filled, for no pointer hits a line of a pixel's width. But a pyramid that the
    page's own camera stands in would tint the whole picture and take every click: it is hidden.

    Args:
        scene: of viser, the page's.
        size: of the pyramids, viser's.
        aspect: x / y of them.
    """

    def __init__(self, scene: viser.SceneApi, size: float, aspect: float) -> None:
        self._scene, self._size, self._aspect = scene, size, aspect
        self._lock = threading.Lock()  # poses, clicks and choices come in several threads
        self._nodes: dict[str, viser.CameraFrustumHandle] = {}
        self._apexes: dict[str, Floats] = {}  # (4,) apex and depth
        self._eye: Floats | None = None

    def add(
        self, name: str, pose: Floats, fov: float, colour: Colour, clicked: Callable[[], None]
    ) -> None:
        """Draw a camera.

        Args:
            name: of its node; no pyramid may have it.
            pose: (3, 4) world_from_camera.
            fov: vertical, in radians.
            colour: 8-bit RGB.
            clicked: called when the pyramid is clicked.
        """
        fov = min(max(fov, _NARROWEST), _WIDEST)
        depth = self._size / math.cbrt(math.tan(fov / 2) ** 2 * self._aspect / 3)
        with self._lock:
            self._apexes[name] = np.append(pose[:, 3], depth)
            node = self._scene.add_camera_frustum(
                name,
                fov=fov,
                aspect=self._aspect,
                scale=self._size,
                thickness=1.2,
                thickness_units="screen",
                color=colour,
                variant="filled",
                wxyz=wxyz_of(pose),
                position=pose[:, 3],
                visible=not self._around([name])[0],
            )
            node.on_click(lambda _: clicked())
            self._nodes[name] = node

    def remove(self, name: str) -> None:
        """Remove a pyramid, and the nodes below its own."""
        with self._lock:
            self._nodes.pop(name).remove()
            del self._apexes[name]

    def look_from(self, eye: Floats) -> None:
        """Hide the pyramids that the page's camera (3,) stands in, show the others."""
        with self._lock:
            self._eye = np.asarray(eye, np.float64)
            names = list(self._nodes)
            for name, around in zip(names, self._around(names).tolist(), strict=True):
                if self._nodes[name].visible == around:
                    self._nodes[name].visible = not around

    def _around(self, names: list[str]) -> NDArray[np.bool_]:
        """(n,) whether the page's camera is nearer to the apex than the pyramid is deep."""
        if self._eye is None or not names:
            return np.zeros(len(names), np.bool_)
        apexes = np.stack([self._apexes[name] for name in names])
        near: NDArray[np.bool_] = np.linalg.norm(apexes[:, :3] - self._eye, axis=1) < apexes[:, 3]
        return near
