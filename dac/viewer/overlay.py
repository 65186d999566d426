"""Cameras and points over a page's picture, in the colours of their groups, each to be hidden."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from dac.divide.partition import Partition
from dac.divide.routing import UNOWNED, owners_of_points, owners_of_views
from dac.scenes.points import Points
from dac.scenes.scene import Scene
from dac.viewer.frusta import Frusta
from dac.viewer.groups import Colour, colours
from dac.viewer.poses import vertical_fov

if TYPE_CHECKING:
    import viser

_MOST_POINTS = 40_000


class Overlay:
    """The nodes of one page.

    Args:
        scene, frusta: of the page.
        trained: the scene.
        points: its sparse points, if it has any.
        clicked: called with the view whose camera was clicked.
    """

    def __init__(
        self,
        scene: viser.SceneApi,
        frusta: Frusta,
        trained: Scene,
        points: Points | None,
        clicked: Callable[[int], None],
    ) -> None:
        self._scene, self._frusta, self._clicked = scene, frusta, clicked
        self._trained, self._points = trained, points
        self._cameras: list[str] = []
        self._nodes: dict[tuple[str, int], viser.FrameHandle] = {}

    def draw(self, partition: Partition | None) -> None:
        """Draw everything in the groups of a partition, or all in one; replaces what was drawn."""
        for name in self._cameras:
            self._frusta.remove(name)
        for node in self._nodes.values():
            node.remove()
        train, cameras = self._trained.train, self._trained.cameras
        owner = np.zeros(len(train), np.int64)
        if partition is not None:
            owner = owners_of_views(self._trained, partition)[list(train)]
        K = 1 if partition is None else partition.count
        self._nodes = {
            (kind, group): self._scene.add_frame(f"/{kind}/{group}", show_axes=False, visible=False)
            for kind in ("cameras", "points")
            for group in (*range(K), UNOWNED)
        }
        palette = colours(K)
        self._draw_points(owner, K, palette)
        self._cameras = [
            f"/cameras/{group}/{view}" for view, group in zip(train, owner, strict=True)
        ]
        for view, group, name in zip(train, owner.tolist(), self._cameras, strict=True):
            pose, fov = cameras.world_from_camera[view].numpy(), vertical_fov(cameras, view)
            self._frusta.add(name, pose, fov, palette[group], partial(self._clicked, view))

    def show(self, cameras: bool, points: bool, groups: list[bool]) -> None:
        """Show or hide cameras, points and groups; what belongs to no group goes with the rest."""
        for (kind, group), node in self._nodes.items():
            shown = group not in range(len(groups)) or groups[group]
            node.visible = shown and (cameras if kind == "cameras" else points)

    def _draw_points(self, owner: NDArray[np.int64], K: int, palette: list[Colour]) -> None:
        if self._points is None:
            return
        group_of = owners_of_points(self._trained, self._points, owner, K)
        chosen = np.arange(len(group_of))
        if len(chosen) > _MOST_POINTS:
            chosen = np.random.default_rng(0).choice(chosen, _MOST_POINTS, replace=False)
        for group in (*range(K), UNOWNED):
            of_group = chosen[group_of[chosen] == group]
            if len(of_group):
                self._scene.add_point_cloud(
                    f"/points/{group}/cloud",
                    points=self._points.xyz[of_group],
                    colors=palette[group],
                    point_size=0.12 * pyramid_size(self._trained),
                    point_shape="circle",
                    precision="float32",
                )


def pyramid_size(scene: Scene) -> float:
    """Size of a camera's pyramid in the scene: a third of the way to its neighbour, about."""
    centres = scene.cameras.centres.numpy()[list(scene.train)]
    extent = float(np.percentile(np.linalg.norm(centres - np.median(centres, axis=0), axis=1), 90))
    if len(centres) < 2 or extent == 0:
        return 0.1
    spacing = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1]))
    return float(np.clip(0.3 * spacing, 0.015 * extent, 0.03 * extent))
