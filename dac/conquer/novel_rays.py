"""Rays from views that nobody took: interpolated between neighbouring views of one group.

Sec. 3.2.2: distillation needs no images, so the student may also learn from the experts between the
training views. A novel view lies between two views of the same group that are near to each other,
where that group's expert has seen the scene.

Notation: a, b two views' cameras; u in [0, 1); a pose in between has centre lerp(c_a, c_b, u) and
rotation slerp(A, B, u) = A exp(u log(A^T B)), world from camera.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dac import ops
from dac.divide.partition import Partition
from dac.divide.poses import pose_distances
from dac.divide.routing import UNOWNED, owners_of_views
from dac.scenes.scene import Scene
from dac.training.keys import Stream, mix
from dac.training.pixel_rays import Floats, Indices, pixel_rays

Doubles = NDArray[np.float64]

_NEIGHBOURS = 3


class NovelRays:
    """A stream of rays between neighbouring views, a pure function of (seed, step).

    A ray takes the lens and the pixel of its first view. A view's neighbours are the nearest 3 of
    its group by `pose_distances`; a view alone in its group is its own neighbour.

    Args:
        rays: R, per step.
    """

    def __init__(self, scene: Scene, partition: Partition, *, rays: int, seed: int) -> None:
        self.rays = rays
        self._seed = seed
        self._cast = pixel_rays(scene.cameras)
        self._size = (scene.cameras.height, scene.cameras.width)
        owners = owners_of_views(scene, partition)
        self._views = np.flatnonzero(owners != UNOWNED)
        self._owners = owners[self._views]
        groups = [scene.indices(group) for group in partition.groups]
        pairs = [
            (view, _neighbours(scene, view, groups[int(owners[view])]))
            for view in self._views.tolist()
        ]
        poses = scene.cameras.world_from_camera.cpu().numpy()
        turns, moves = zip(*(_relative(poses, view, near) for view, near in pairs), strict=True)
        self._turns, self._moves = (
            np.asarray(value, np.float32).reshape(-1, 3) for value in (turns, moves)
        )

    def __call__(self, step: int) -> tuple[Floats, Floats, Indices]:
        """The rays of a step: origins (R, 3), unit directions (R, 3), and each one's group (R,)."""
        chances = ops.jitter(mix(self._seed, Stream.NOVEL_RAYS, step), 0, 5, self.rays).numpy()
        counts = np.array([len(self._views), _NEIGHBOURS, *self._size], np.float64)
        first, other, row, column = (chances[:4] * counts[:, None]).astype(np.int64)
        u = chances[4][:, None]
        view, pair = self._views[first], first * _NEIGHBOURS + other
        local = self._cast.local(view, row * self._size[1] + column)
        turned = rotate(u * self._turns[pair], local)
        origins = self._cast.centres[view] + u * self._moves[pair]
        return origins, self._cast.turn(view, turned), self._owners[first]


def rotate(turn: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    """Rodrigues: vectors (R, 3) turned about the axes turn (R, 3), by their lengths in radians."""
    angle = np.sqrt(np.einsum("ri,ri->r", turn, turn))[:, None]
    axis = turn / np.maximum(angle, 1e-12)
    along = np.einsum("ri,ri->r", axis, vectors)[:, None]
    cosine = np.cos(angle)
    turned: NDArray[Any] = vectors * cosine + axis * along * (1 - cosine)
    turned += np.cross(axis, vectors) * np.sin(angle)
    return turned


def _neighbours(scene: Scene, view: int, group: list[int]) -> list[int]:
    """The nearest views of the group, always `_NEIGHBOURS` of them, repeated where it has fewer."""
    others = [other for other in group if other != view]
    if not others:
        return [view] * _NEIGHBOURS
    poses = scene.cameras.world_from_camera.cpu().numpy()
    order = np.argsort(pose_distances(poses[[view]], poses[others])[0], kind="stable")
    nearest = [others[int(i)] for i in order[:_NEIGHBOURS]]
    return [nearest[i % len(nearest)] for i in range(_NEIGHBOURS)]


def _relative(poses: Doubles, view: int, others: list[int]) -> tuple[Doubles, Doubles]:
    """log(A^T B) as rotation vectors and c_b - c_a, (others, 3) each."""
    turns = poses[view, :, :3].T @ poses[others, :, :3]
    vectors: Doubles = Rotation.from_matrix(turns).as_rotvec()
    return vectors, poses[others, :, 3] - poses[view, :, 3]
