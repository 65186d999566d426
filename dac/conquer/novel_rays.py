"""Rays from views that nobody took: interpolated between neighbouring views of one group.

Sec. 3.2.2: distillation needs no images, so the student may also learn from the experts between the
training views. A novel view lies between two views of the same group that are near to each other,
where that group's expert has seen the scene.

Notation: a, b two views' cameras; u in [0, 1); a pose in between has centre lerp(c_a, c_b, u) and
rotation slerp(A, B, u) = A exp(u log(A^T B)), world from camera.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from dac.conquer.routing import UNOWNED, owners_of_views, pose_distances
from dac.divide.partition import Partition
from dac.scenes.scene import Scene
from dac.training.keys import Use, seeded

Floats = NDArray[np.float64]

_NEIGHBOURS = 3


class NovelRays:
    """A stream of rays between neighbouring views, a pure function of (seed, step).

    A ray takes the lens and the pixel of its first view. A view's neighbours are the nearest 3 of
    its group by `pose_distances`; a view alone in its group is its own neighbour.

    Args:
        rays: R, per step.
        device: where the rays appear.
    """

    def __init__(
        self, scene: Scene, partition: Partition, *, rays: int, seed: int, device: torch.device
    ) -> None:
        self.rays = rays
        self._cameras = scene.cameras
        self._seed = seed
        self._device = device
        self._generator = torch.Generator()
        owners = owners_of_views(scene, partition)
        self._views = torch.nonzero(owners != UNOWNED)[:, 0]
        self._owners = owners[self._views].to(device)
        groups = [scene.indices(group) for group in partition.groups]
        pairs = [
            (view, _neighbours(scene, view, groups[int(owners[view])]))
            for view in self._views.tolist()
        ]
        poses = scene.cameras.world_from_camera.cpu().numpy()
        turns, moves = zip(*(_relative(poses, view, near) for view, near in pairs), strict=True)
        rotations = poses[self._views.numpy(), :, :3]
        self._turns, self._moves, self._rotations = (
            torch.from_numpy(np.ascontiguousarray(value, np.float32)).to(device)
            for value in (turns, moves, rotations)
        )

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The rays of a step: origins (R, 3), unit directions (R, 3), and each one's group (R,)."""
        generator = seeded(self._generator, self._seed, Use.NOVEL_RAYS, step)
        first = torch.randint(len(self._views), (self.rays,), generator=generator)
        other = torch.randint(self._turns.shape[1], (self.rays,), generator=generator)
        u, x, y = torch.rand(3, self.rays, generator=generator, dtype=torch.float64)
        column = torch.floor(x * self._cameras.width) + 0.5
        row = torch.floor(y * self._cameras.height) + 0.5
        view, column, row = (value.to(self._device) for value in (self._views[first], column, row))
        u, first, other = u.float().to(self._device), first.to(self._device), other.to(self._device)
        origins, directions = self._cameras.rays(view, column, row)
        A = self._rotations[first]
        local = torch.einsum("rji,rj->ri", A, directions)
        turned = rotate(u[:, None] * self._turns[first, other], local)
        directions = torch.einsum("rij,rj->ri", A, turned)
        return origins + u[:, None] * self._moves[first, other], directions, self._owners[first]


def rotate(turn: Tensor, vectors: Tensor) -> Tensor:
    """Rodrigues: vectors (R, 3) turned about the axes turn (R, 3), by their lengths in radians."""
    angle: Tensor = torch.linalg.vector_norm(turn, dim=-1, keepdim=True)
    axis = turn / angle.clamp_min(1e-12)
    along = (axis * vectors).sum(dim=-1, keepdim=True)
    aside: Tensor = torch.linalg.cross(axis, vectors)
    cosine = torch.cos(angle)
    return vectors * cosine + aside * torch.sin(angle) + axis * along * (1 - cosine)


def _neighbours(scene: Scene, view: int, group: list[int]) -> list[int]:
    """The nearest views of the group, always `_NEIGHBOURS` of them, repeated where it has fewer."""
    others = [other for other in group if other != view]
    if not others:
        return [view] * _NEIGHBOURS
    order = np.argsort(pose_distances(scene, [view], others)[0], kind="stable")
    nearest = [others[int(place)] for place in order[:_NEIGHBOURS]]
    return [nearest[place % len(nearest)] for place in range(_NEIGHBOURS)]


def _relative(poses: Floats, view: int, others: list[int]) -> tuple[Floats, Floats]:
    """log(A^T B) as rotation vectors and c_b - c_a, (others, 3) each."""
    turns = poses[view, :, :3].T @ poses[others, :, :3]
    vectors: Floats = Rotation.from_matrix(turns).as_rotvec()
    return vectors, poses[others, :, 3] - poses[view, :, 3]
