"""Cameras and points over a page's picture, in the colours of their groups, each to be hidden."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from dac.divide.ownership import owners, owners_of_points
from dac.divide.partition import Partition
from dac.scenes.points import Points
from dac.scenes.scene import Scene
from dac.viewer.groups import Colour, colours
from dac.viewer.poses import vertical_fov, wxyz_of

if TYPE_CHECKING:
    import viser

_MOST_POINTS = 40_000


class Overlay:
    """The nodes of one page.

    Args:
        scene: of viser, the page's.
        place: the trained scene.
        points: its sparse points, if it has any.
        clicked: called with the view whose camera was clicked.
    """

    def __init__(
        self,
        scene: viser.SceneApi,
        place: Scene,
        points: Points | None,
        clicked: Callable[[int], None],
    ) -> None:
        self._scene, self._place, self._points, self._clicked = scene, place, points, clicked
        self._nodes: dict[tuple[str, int], viser.FrameHandle] = {}

    def draw(self, partition: Partition | None) -> None:
        """Draw everything in the groups of a partition, or all in one; replaces what was drawn."""
        for node in self._nodes.values():
            node.remove()
        owner = np.zeros(len(self._place.train), np.int64)
        if partition is not None:
            owner = owners(self._place, partition)
        K = 1 if partition is None else partition.count
        self._nodes = {
            (kind, group): self._scene.add_frame(f"/{kind}/{group}", show_axes=False, visible=False)
            for kind in ("cameras", "points")
            for group in range(K + 1)
        }
        palette = colours(K)
        self._draw_points(owner, K, palette)
        size = camera_size(self._place)
        aspect = self._place.cameras.width / self._place.cameras.height
        poses = self._place.cameras.world_from_camera.numpy()
        for view, group in zip(self._place.train, owner.tolist(), strict=True):
            camera = self._scene.add_camera_frustum(
                f"/cameras/{group}/{view}",
                fov=vertical_fov(self._place.cameras, view),
                aspect=aspect,
                scale=size,
                thickness=1.2,
                thickness_units="screen",
                color=palette[group],
                cast_shadow=False,
                receive_shadow=False,
                wxyz=wxyz_of(poses[view]),
                position=poses[view, :, 3],
            )
            camera.on_click(partial(self._on_click, view))

    def show(self, cameras: bool, points: bool, groups: list[bool]) -> None:
        """Show or hide cameras, points and groups; what belongs to no group goes with the rest."""
        for (kind, group), node in self._nodes.items():
            shown = group >= len(groups) or groups[group]
            node.visible = shown and (cameras if kind == "cameras" else points)

    def _on_click(self, view: int, event: object) -> None:
        self._clicked(view)

    def _draw_points(self, owner: NDArray[np.int64], K: int, palette: list[Colour]) -> None:
        if self._points is None or len(self._points) == 0:
            return
        group_of = owners_of_points(self._place, self._points, owner, K)
        chosen = np.arange(len(group_of))
        if len(chosen) > _MOST_POINTS:
            chosen = np.random.default_rng(0).choice(chosen, _MOST_POINTS, replace=False)
        for group in range(K + 1):
            of_group = chosen[group_of[chosen] == group]
            if len(of_group):
                self._scene.add_point_cloud(
                    f"/points/{group}/cloud",
                    points=self._points.xyz[of_group],
                    colors=palette[group],
                    point_size=0.12 * camera_size(self._place),
                    point_shape="circle",
                    precision="float32",
                )


def camera_size(scene: Scene) -> float:
    """Size of a camera's pyramid in the scene: a third of the way to its neighbour, about."""
    centres = scene.cameras.centres.numpy()[list(scene.train)]
    extent = float(np.percentile(np.linalg.norm(centres - np.median(centres, axis=0), axis=1), 90))
    if len(centres) < 2 or extent == 0:
        return 0.1
    spacing = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1]))
    return float(np.clip(0.3 * spacing, 0.015 * extent, 0.03 * extent))
