"""The toy's sphere as views render it, in closed form."""

from __future__ import annotations

import torch
import toy

from dac.cameras import Cameras
from dac.export.pictures import surface
from dac.ops.rays import Rendered
from dac.scenes.scene import Space

SIZE = 48
CAMERAS = toy.cameras(12, SIZE)
BACKGROUND = torch.tensor([0.0, 0.0, 1.0])
BOX = Space("box", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 2.0, 6.0)


def view_of(cameras: Cameras, view: int, opacity: float = 1.0) -> Rendered:
    """The sphere, as a view renders it."""
    camera = cameras.select([view])
    _, directions = surface(camera, torch.ones(SIZE, SIZE))
    origins = camera.centres[0].float().expand(SIZE * SIZE, 3)
    rgba = toy.sphere(origins, directions.view(-1, 3)).view(SIZE, SIZE, 4)
    along = -(directions @ origins[0])
    inside = toy.RADIUS**2 - (origins[0] @ origins[0] - along**2)
    accumulation = opacity * rgba[..., 3]
    rgb = rgba[..., :3] * accumulation[..., None] + (1 - accumulation[..., None]) * BACKGROUND
    return Rendered(rgb, along - inside.clamp_min(0).sqrt(), accumulation)
