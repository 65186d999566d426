"""A synthetic scene at the size of a small benchmark: a striped ball before nothing.

Radius 0.8 in a box of half side 1, seen from the upper hemisphere at distance 4, straight RGBA.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from dac.cameras import Cameras
from dac.divide.partition import Partition
from dac.scenes.scene import Scene, Space

_DISTANCE, _RADIUS = 4.0, 0.8


def make_scene(views: int, size: int) -> Scene:
    """`views` pictures of size x size pixels; the last is the one test view."""
    cameras = _cameras(views, size)
    row, column = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    images = [
        _picture(*cameras.rays(torch.full((size * size,), view), column.ravel(), row.ravel()))
        for view in range(views)
    ]
    return Scene(
        name="ball",
        names=tuple(f"{view:03}.png" for view in range(views)),
        cameras=cameras,
        images=torch.stack(images).view(views, size, size, 4).numpy(),
        masks=None,
        train=tuple(range(views - 1)),
        test=(views - 1,),
        background="white",
        space=Space("box", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 2.0, 6.0),
        world_from_data=np.eye(4),
    )


def divide(scene: Scene, groups: int) -> Partition:
    """The training views in `groups` runs of neighbours."""
    names = [scene.names[view] for view in scene.train]
    parts = [tuple(names[i] for i in part) for part in np.array_split(range(len(names)), groups)]
    owner = {name: group for group, part in enumerate(parts) for name in part}
    return Partition("azimuth", tuple(parts), owner)


def _cameras(count: int, size: int) -> Cameras:
    poses = []
    for view in range(count):
        azimuth = 2 * math.pi * (view + 0.5) / count
        polar = math.radians((35, 60, 80)[view % 3])
        flat = math.sin(polar)
        forward = -np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.cos(polar)])
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        poses.append(np.column_stack([right, down, forward, -_DISTANCE * forward]))
    intrinsics = torch.tensor([[1.4 * size, 1.4 * size, size / 2, size / 2]]).repeat(count, 1)
    world_from_camera = torch.from_numpy(np.stack(poses))
    return Cameras("perspective", size, size, intrinsics, torch.zeros(count, 6), world_from_camera)


def _picture(origins: Tensor, directions: Tensor) -> Tensor:
    """What rays (R, 3) see, (R, 4) uint8."""
    along = -(origins * directions).sum(-1)
    inside = _RADIUS**2 - (origins.square().sum(-1) - along.square())
    hit = origins + (along - inside.clamp_min(0).sqrt())[:, None] * directions
    stripes = 0.7 + 0.3 * torch.sin(12 * hit[:, 2:])
    colour = (0.5 + 0.5 * hit / _RADIUS).clamp(0, 1) * stripes
    rgba = torch.cat([colour, (inside > 0).to(colour)[:, None]], dim=1)
    return (rgba * 255).round().byte()
