"""Batches of rays: which pixels, over which background, in which step.

A batch is a pure function of (seed, step): no cursor and no generator has to be saved. Pixels are
drawn without replacement by a keyed permutation of all of them, evaluated only where it is needed,
so that memory is O(batch).

A batch is made on the CPU by one thread and moved to its device in one piece.

Notation: M pixels may be drawn (those of the given views that no mask rejects), R rays a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.errors import UserError
from dac.scenes.scene import Scene
from dac.training.keys import Stream, mix, uniform
from dac.training.pixel_rays import Floats, Indices, pixel_rays

_ROUNDS = 4
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


class Permutation:
    """A pseudo-random bijection of [0, count) that is never written down.

    A Feistel network on the cells (l, r) of a grid with about sqrt(count) rows and columns, whose
    few cells beyond `count` are walked on until they fall inside (cycle walking). Four rounds of a
    multiply-xorshift hash: random enough to draw pixels, not for cryptography.
    """

    def __init__(self, count: int, key: int) -> None:
        if count < 1:
            raise ValueError("nothing to permute")
        self.count = count
        rows = math.isqrt(count - 1) + 1
        self._rows = np.uint64(rows)
        self._columns = np.uint64(-(-count // rows))
        self._keys = [np.uint64(mix(key, turn)) for turn in range(_ROUNDS)]

    def __call__(self, positions: Indices) -> Indices:
        """Where each position (in [0, count)) goes; (P,) -> (P,)."""
        values = self._shuffle(positions.astype(np.uint64))
        outside = np.flatnonzero(values >= self.count)
        while outside.size:
            values[outside] = self._shuffle(values[outside])
            outside = outside[values[outside] >= self.count]
        return values.astype(np.int64)

    def _shuffle(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left = values // self._columns
        right = values - left * self._columns
        for turn, key in enumerate(self._keys):
            if turn % 2:
                right = _remainder(right + _hash(left, key), self._columns)
            else:
                left = _remainder(left + _hash(right, key), self._rows)
        return left * self._columns + right


def _hash(values: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """32 well-mixed bits of each value."""
    mixed = (values ^ key) * _MULTIPLIER
    mixed ^= mixed >> _HALF
    mixed *= _MULTIPLIER
    return mixed >> _HALF


def _remainder(values: NDArray[np.uint64], divisor: np.uint64) -> NDArray[np.uint64]:
    """values % divisor; numpy has fast vector code for the quotient, not for the remainder."""
    return values - values // divisor * divisor


@dataclass(frozen=True)
class RayBatch:
    """Rays and the colours that they should have.

    Attributes:
        view: (R,) index of each ray's view in the scene, on the CPU.
        origins, directions: (R, 3), unit directions, in the world.
        rgb: (R, 3) in [0, 1], composited over `background`.
        background: (3,) the colour behind this batch.
    """

    view: Tensor
    origins: Tensor
    directions: Tensor
    rgb: Tensor
    background: Tensor


class RayBatches:
    """The batches of one run.

    Args:
        scene: the scene.
        views: indices of the views whose pixels are drawn.
        rays: R.
        seed: of this run's pixels and backgrounds.
        background: behind RGBA images; `random` is one colour a batch. Images without alpha show
            what is behind the scene, so they get the scene's own background, as at test.
        device: where the batch appears.

    Raises:
        UserError: no pixel may be drawn.
    """

    def __init__(
        self,
        scene: Scene,
        views: Sequence[int],
        *,
        rays: int,
        seed: int,
        background: Literal["random", "white", "black"],
        device: torch.device,
    ) -> None:
        self.scene = scene
        self.rays = rays
        self.seed = seed
        self.device = device
        self._colour = background if scene.has_alpha else scene.background
        self._views = np.asarray(views, np.int64)
        height, width, channels = scene.images.shape[1:]
        self._pixels = height * width
        self._epoch: tuple[int, Permutation] | None = None  # the last one asked for
        # numpy's memmap class indexes slowly; as a plain array the pixels stay on disk as well.
        self._flat = np.asarray(scene.images).reshape(-1, channels)
        self.cast = pixel_rays(scene.cameras)
        self._allowed = _allowed_pixels(scene, self._views)
        every = len(self._views) * height * width
        self._count = every if self._allowed is None else len(self._allowed)
        if self._count == 0:
            raise UserError(
                f"scene {scene.name}", "no pixel to train on", "give views, or check the masks"
            )

    def __call__(self, step: int) -> RayBatch:
        """The batch of a step."""
        view, pixel = self.pixels(step)
        background = self.background(step)
        whole = np.empty((3 * len(view) + 1, 3), np.float32)
        whole[-1] = background
        origins, directions, rgb = whole[:-1].reshape(3, len(view), 3)
        origins[:], directions[:] = self.cast(view, pixel)
        self._read(view, pixel, background, rgb)
        moved = torch.from_numpy(whole).to(self.device)
        rays_o, rays_d, target = moved[:-1].view(3, len(view), 3).unbind(0)
        return RayBatch(torch.from_numpy(view), rays_o, rays_d, target, moved[-1])

    def pixels(self, step: int) -> tuple[Indices, Indices]:
        """View and pixel, row * W + column (each (R,)), of a step's rays.

        Step i holds the positions i R to i R + R - 1 of an endless row of epochs, each epoch a new
        permutation of all M pixels.
        """
        first = step * self.rays
        parts: list[Indices] = []
        while first < (step + 1) * self.rays:
            epoch, start = divmod(first, self._count)
            end = min(self._count, start + (step + 1) * self.rays - first)
            parts.append(self._permutation(epoch)(np.arange(start, end, dtype=np.int64)))
            first += end - start
        index = np.concatenate(parts) if parts else np.empty(0, np.int64)
        if self._allowed is not None:
            index = self._allowed[index].astype(np.int64)
        view = index // self._pixels
        return self._views[view], index - view * self._pixels

    def _permutation(self, epoch: int) -> Permutation:
        if self._epoch is None or self._epoch[0] != epoch:
            key = mix(self.seed, Stream.PIXELS, epoch)
            self._epoch = (epoch, Permutation(self._count, key))
        return self._epoch[1]

    def background(self, step: int) -> Floats:
        """(3,) the colour behind a step's rays."""
        if self._colour == "random":
            colour = [uniform(self.seed, Stream.BACKGROUND, step, channel) for channel in range(3)]
        else:
            colour = [float(self._colour == "white")] * 3
        return np.array(colour, np.float32)

    def _read(self, view: Indices, pixel: Indices, background: Floats, rgb: Floats) -> None:
        """Write the pixels' colours over the background into rgb (R, 3)."""
        colours = self._flat.take(view * self._pixels + pixel, axis=0).astype(np.float32)
        colours /= 255
        if not self.scene.has_alpha:
            rgb[:] = colours
            return
        alpha = colours[:, 3:]
        np.multiply(colours[:, :3], alpha, out=rgb)
        rgb += background * (1 - alpha)


def _allowed_pixels(scene: Scene, views: Indices) -> NDArray[np.integer] | None:
    """Positions within the views' pixels that masks accept, ascending; None where all are.

    The one array here that grows with the scene: 4 bytes a pixel, as much as the images take.
    """
    if scene.masks is None:
        return None
    pixels = scene.masks.shape[1] * scene.masks.shape[2]
    kind = np.int32 if len(views) * pixels < 2**31 else np.int64
    accepted = [
        (np.flatnonzero(usable) + i * pixels).astype(kind)
        for i, usable in enumerate(map(scene.usable, views.tolist()))
        if usable is not None
    ]
    return np.concatenate(accepted) if accepted else np.empty(0, kind)
