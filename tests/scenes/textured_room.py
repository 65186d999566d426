"""Photos of a known place, for structure from motion: the corner of a room with noise on its walls.

The floor and two walls are the planes z = 0, x = 0 and y = 0; the room is where all are positive.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dac.cameras import Cameras

Array = NDArray[np.float64]
_METRES = 4.0
_TEXELS = 512


def room_cameras(
    count: int,
    width: int = 320,
    height: int = 240,
    model: str = "perspective",
    distortion: tuple[float, ...] = (0.0,) * 6,
) -> Cameras:
    """Cameras on an arc in the room that look into its corner."""
    angle = np.linspace(np.radians(25), np.radians(65), count)
    lift = 1.2 + 0.3 * np.sin(np.arange(count) * 2.1)
    centres = np.stack([3.2 * np.cos(angle), 3.2 * np.sin(angle), lift], axis=1)
    forward = np.array([0.5, 0.5, 0.4]) - centres
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses = np.stack([right, np.cross(forward, right), forward, centres], axis=2)
    focal = 0.8 * width
    lens = torch.tensor([[focal, focal, width / 2, height / 2]], dtype=torch.float64)
    bent = torch.tensor([distortion], dtype=torch.float64)
    return Cameras(
        model,  # type: ignore[arg-type]
        width,
        height,
        lens.repeat(count, 1),
        bent.repeat(count, 1),
        torch.from_numpy(poses),
    )


def room_photos(cameras: Cameras, seed: int = 0) -> NDArray[np.uint8]:
    """(N, H, W, 3) photos."""
    textures = [_noise(seed + axis) for axis in range(3)]
    row, column = np.mgrid[: cameras.height, : cameras.width]
    x, y = torch.from_numpy(column.ravel() + 0.5), torch.from_numpy(row.ravel() + 0.5)
    photos = []
    for view in range(len(cameras)):
        rays_o, rays_d = cameras.rays(torch.full((len(x),), view), x, y)
        photos.append(_colours(rays_o.double().numpy(), rays_d.double().numpy(), textures))
    shape = (len(cameras), cameras.height, cameras.width, 3)
    return np.stack(photos).reshape(shape)


def distance_to_room(points: Array) -> Array:
    """(P,) distance of each point (P, 3) to the nearest of the three planes."""
    return np.abs(points).min(axis=1)


def static(seed: int, width: int, height: int) -> Image.Image:
    """A photo of nothing: the same kind of noise, seen by no other camera."""
    noise = Image.fromarray(_noise(seed)[:height, :width])
    return noise.convert("RGB")


def _noise(seed: int) -> NDArray[np.uint8]:
    """(T, T) noise at several scales, so that blobs of all sizes are found in it."""
    random = np.random.default_rng(seed)
    total = np.zeros((_TEXELS, _TEXELS))
    for cells in (16, 32, 64):
        coarse = Image.fromarray(random.normal(size=(cells, cells)).astype(np.float32))
        total += np.asarray(coarse.resize((_TEXELS, _TEXELS), Image.Resampling.BICUBIC))
    total = 128 + 60 * total / total.std()
    return total.clip(0, 255).astype(np.uint8)


def _colours(rays_o: Array, rays_d: Array, textures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    with np.errstate(divide="ignore"):
        along = -rays_o / rays_d
    along[along <= 0] = np.inf
    wall = along.argmin(axis=1)
    hit = rays_o + rays_d * along.min(axis=1, keepdims=True).clip(0, 1e6)
    colours = np.zeros((len(hit), 3), np.uint8)
    for axis in range(3):
        on = wall == axis
        u, v = np.delete(hit[on], axis, axis=1).T / _METRES * _TEXELS
        value = _bilinear(textures[axis], u, v)
        tint = np.array([1.0, 0.9, 0.7])[(np.arange(3) + axis) % 3]
        colours[on] = (value[:, None] * tint).round()
    return colours


def _bilinear(texture: NDArray[np.uint8], u: Array, v: Array) -> Array:
    u, v = u.clip(0, _TEXELS - 1.001), v.clip(0, _TEXELS - 1.001)
    i, j = u.astype(int), v.astype(int)
    a, b = u - i, v - j
    top = texture[i, j] * (1 - b) + texture[i, j + 1] * b
    bottom = texture[i + 1, j] * (1 - b) + texture[i + 1, j + 1] * b
    return np.asarray(top * (1 - a) + bottom * a)
