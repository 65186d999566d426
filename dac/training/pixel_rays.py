"""Rays through the centres of pixels, prepared: training asks for them a thousand at a time.

`Cameras.rays` undoes a lens's distortion for each ray, in float64 and in dozens of operations. The
rays of training all go through pixels' centres, of which a lens has only so many: their directions
are computed once. What is left to do for a ray is to look its direction up and to turn it.

Notation: N views of W x H pixels, L distinct lenses among them (usually one), R rays.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from dac.cameras import Cameras

_LITTLE = 1 << 25  # bytes
_CHUNK = 1 << 16

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class PixelRays:
    """Rays of some cameras, float32 on the CPU, within 1e-6 of `Cameras.rays`.

    Holds 12 bytes a pixel and lens. Where that were more than 32 MiB and more than a tenth of what
    the pictures take (many lenses), each ray's distortion is undone when it is asked for, as
    `Cameras.rays` does.

    Everything here is one thread's work: for so little, waking a second one costs more.
    """

    def __init__(self, cameras: Cameras) -> None:
        lenses = torch.cat([cameras.intrinsics, cameras.distortion], dim=1).numpy()
        _, first, lens = np.unique(lenses, axis=0, return_index=True, return_inverse=True)
        poses = torch.eye(3, 4, dtype=torch.float64).expand(len(first), 3, 4)
        size = (cameras.width, cameras.height)
        intrinsics, distortion = cameras.intrinsics[first], cameras.distortion[first]
        self._unposed = Cameras(cameras.model, *size, intrinsics, distortion, poses)
        self._lens: Indices = lens.reshape(-1).astype(np.int64)  # of each view
        self._pixels = cameras.width * cameras.height
        frames = cameras.world_from_camera.float()
        self.rotations: Floats = frames[:, :, :3].contiguous().numpy()
        self.centres: Floats = frames[:, :, 3].contiguous().numpy()
        self._table: Floats | None = None
        pictures = 3 * len(lens) * self._pixels
        if len(first) * self._pixels * 12 <= max(_LITTLE, pictures // 10):
            self._table = self._directions(np.arange(len(first) * self._pixels))

    def local(self, view: Indices, pixel: Indices) -> Floats:
        """Unit directions in the camera's frame.

        Args:
            view, pixel: (R,); pixel = row * W + column.

        Returns:
            (R, 3).
        """
        index = self._lens[view] * self._pixels + pixel
        if self._table is None:
            return self._directions(index)
        return self._table.take(index, axis=0)

    def __call__(self, view: Indices, pixel: Indices) -> tuple[Floats, Floats]:
        """Origins and unit directions (R, 3) in the world; arguments as of `local`."""
        return self.centres.take(view, axis=0), self.turn(view, self.local(view, pixel))

    def turn(self, view: Indices, vectors: Floats) -> Floats:
        """Vectors (R, 3) of the views' camera frames, in the world."""
        turned: Floats = np.einsum("rij,rj->ri", self.rotations.take(view, axis=0), vectors)
        return turned

    def _directions(self, index: Indices) -> Floats:
        """Directions of pixels counted on over all lenses, computed."""
        directions = np.empty((len(index), 3), np.float32)
        for first in range(0, len(index), _CHUNK):
            part = slice(first, first + _CHUNK)
            lens, pixel = np.divmod(index[part], self._pixels)
            row, column = np.divmod(pixel, self._unposed.width)
            x, y = torch.from_numpy(column + 0.5), torch.from_numpy(row + 0.5)
            directions[part] = self._unposed.rays(torch.from_numpy(lens), x, y)[1].numpy()
        return directions


@lru_cache(maxsize=1)
def pixel_rays(cameras: Cameras) -> PixelRays:
    """The cameras' `PixelRays`, one for all that draw from the same scene."""
    return PixelRays(cameras)
