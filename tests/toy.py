"""A scene in closed form, small enough to train on in seconds: a sphere coloured by its normals.

Radius 0.8 at the origin, colour (1 + normal) / 2, seen from the upper hemisphere at distance 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dac.cameras import Cameras
from dac.divide.partition import Partition
from dac.scenes.points import Points
from dac.scenes.scene import Scene, Space
from dac.settings import ModelSettings, TrainSettings

RADIUS = 0.8
SIZE = 24
TRAIN, TEST = 12, 4


def cameras(count: int, size: int = SIZE) -> Cameras:
    """Cameras around the z axis, one after another in azimuth, looking at the origin."""
    poses = []
    for i in range(count):
        phi = 2 * np.pi * (i + 0.5) / count
        theta = np.radians((35, 60, 80)[i % 3])
        centre = 4 * np.array(
            [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
        )
        forward = -centre / 4
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        poses.append(np.column_stack([right, down, forward, centre]))
    intrinsics = torch.tensor([[1.6 * size, 1.6 * size, size / 2, size / 2]]).repeat(count, 1)
    return Cameras(
        "perspective",
        size,
        size,
        intrinsics.double(),
        torch.zeros(count, 6, dtype=torch.float64),
        torch.from_numpy(np.stack(poses)),
    )


def sphere(origins: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """What rays (R, 3) see: straight RGBA (R, 4)."""
    along = -(origins * directions).sum(-1)
    inside = RADIUS**2 - (origins.square().sum(-1) - along.square())
    t = along - inside.clamp_min(0).sqrt()
    colour = (1 + (origins + t[:, None] * directions) / RADIUS) / 2
    return torch.cat([colour.clamp(0, 1), (inside > 0).to(colour)[:, None]], dim=1)


def scene(size: int = SIZE, channels: int = 4) -> Scene:
    """12 training views with 4 test views among them."""
    count = TRAIN + TEST
    cams = cameras(count, size)
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    images = []
    for view in range(count):
        x, y = column.flatten() + 0.5, row.flatten() + 0.5
        rays = cams.rays(torch.full((size * size,), view), x.double(), y.double())
        image = (sphere(*rays) * 255).round().byte()
        images.append(image.view(size, size, 4)[..., :channels].numpy())
    test = tuple(range(1, count, 4))
    return Scene(
        name="toy",
        names=tuple(f"view{i:02d}" for i in range(count)),
        cameras=cams,
        images=np.stack(images),
        masks=None,
        train=tuple(i for i in range(count) if i not in test),
        test=test,
        background="white",
        space=Space("box", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 2.0, 6.0),
        world_from_data=np.eye(4),
    )


def halves(of: Scene) -> Partition:
    """The training views' first and second half turn."""
    names = [of.names[view] for view in of.train]
    middle = len(names) // 2
    owner = {name: int(place >= middle) for place, name in enumerate(names)}
    return Partition("azimuth", (tuple(names[:middle]), tuple(names[middle:])), owner)


def model_settings(**changes: Any) -> ModelSettings:
    """A model that trains in seconds."""
    values: dict[str, Any] = {
        "resolution": 16,
        "scales": (1, 2),
        "channels": 8,
        "proposal_resolutions": (16, 16),
        "proposal_channels": 4,
        "proposal_samples": (16, 12),
        "samples": 12,
        "hidden": 16,
        "geometry_features": 7,
        "colour_layers": 1,
    }
    return ModelSettings(**{**values, **changes})


def train_settings(**changes: Any) -> TrainSettings:
    """Few rays, a short warm-up."""
    values: dict[str, Any] = {
        "steps": 200,
        "rays": 256,
        "warmup_steps": 10,
        "anneal_steps": 50,
        "proposal_update_ramp": 100,
        "curve_points": 4,
        "curve_rays": 1024,
        "learning_rate": 2e-2,
    }
    return TrainSettings(**{**values, **changes})


def points_with(tracks: list[list[int]]) -> Points:
    """Points at the origin, each seen by the views of its track."""
    count = len(tracks)
    return Points(
        xyz=np.zeros((count, 3), np.float32),
        rgb=np.zeros((count, 3), np.uint8),
        offsets=np.cumsum([0, *map(len, tracks)]),
        views=np.array([view for track in tracks for view in track], np.int32),
        error=np.zeros(count, np.float32),
    )
