"""Scenes without pixels: cameras at given centres that look at the origin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dac.cameras import Cameras
from dac.scenes.scene import Scene, Space


def _look_at_origin(centre: NDArray[np.float64]) -> NDArray[np.float64]:
    forward = -centre / np.linalg.norm(centre)
    up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward, centre], axis=1)


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """`make_scene(centres, train=None)`; all views train by default."""

    def build(centres: NDArray[np.float64], train: tuple[int, ...] | None = None) -> Scene:
        n = len(centres)
        poses = np.stack([_look_at_origin(np.asarray(centre, float)) for centre in centres])
        views = tuple(range(n)) if train is None else train
        return Scene(
            name="synthetic",
            names=tuple(f"images/{i:04d}.png" for i in range(n)),
            cameras=Cameras(
                "perspective",
                8,
                8,
                torch.tensor([[8.0, 8.0, 4.0, 4.0]], dtype=torch.float64).repeat(n, 1),
                torch.zeros(n, 6, dtype=torch.float64),
                torch.from_numpy(poses),
            ),
            images=np.zeros((n, 8, 8, 3), np.uint8),
            masks=None,
            train=views,
            test=tuple(i for i in range(n) if i not in views),
            background="white",
            space=Space("box", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 0.1, 10.0),
            world_from_data=np.eye(4),
        )

    return build
