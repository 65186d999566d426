"""Pictures in the making: some rays at a time, so that something more urgent can come between."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.cameras import Cameras
from dac.conquer.routed import AnyModel
from dac.evaluation.render import render_pixels
from dac.ops.rays import Rendered
from dac.viewer.pictures import Show
from dac.viewer.poses import window_camera
from dac.viewer.resolution import Resolution, Size

URGENT = 0


class Task(Protocol):
    """Work of a page."""

    @property
    def priority(self) -> int:
        """The lower, the sooner; an `URGENT` task that has begun is finished, come what may."""
        ...

    def step(self) -> bool:
        """Some hundredths of a second of work; True when all is done."""
        ...


class ProgressiveRender:
    """A view, rendered some rays at a time; its right columns, if wanted, by another model.

    Args:
        cameras, view: what is rendered.
        left, right: models.
        column: where the right one begins.
        background: (3,) colour behind the scene.
    """

    def __init__(
        self,
        cameras: Cameras,
        view: int,
        left: AnyModel,
        right: AnyModel | None,
        column: int,
        background: Tensor,
    ) -> None:
        self._cameras, self._view, self._background = cameras, view, background
        pixels = torch.arange(cameras.width * cameras.height).view(cameras.height, cameras.width)
        halves = [(left, pixels[:, :column]), (right or left, pixels[:, column:])]
        self._left = [(model, part.reshape(-1)) for model, part in halves if part.numel()]
        self._done: list[tuple[Tensor, Rendered]] = []

    def step(self, rays: int) -> bool:
        """Render about that many more; True when the view is whole."""
        model, pixels = self._left[0]
        now, later = pixels[:rays], pixels[rays:]
        rendered = render_pixels(
            model, self._cameras, self._view, now, self._background, chunk_rays=rays
        )
        self._done.append((now, Rendered(*(part.cpu() for part in rendered))))
        self._left[:1] = [(model, later)] if len(later) else []
        return not self._left

    @property
    def result(self) -> Rendered:
        """rgb (H, W, 3), depth (H, W), accumulation (H, W) of the whole view, on the CPU."""
        size = (self._cameras.height, self._cameras.width)
        order = torch.argsort(torch.cat([pixels for pixels, _ in self._done]))
        rgb, depth, accumulation = (
            torch.cat([part[index] for _, part in self._done])[order] for index in range(3)
        )
        return Rendered(rgb.view(*size, 3), depth.view(size), accumulation.view(size))


@dataclass(frozen=True, eq=False)
class Wish:
    """What a page wants to see.

    Attributes:
        world_from_camera: (3, 4) the camera.
        fov: its vertical field of view, in radians.
        window: width and height in pixels.
        left, right: models; right is None for one model alone.
        split: where the right one begins, from 0 to 1 of the width.
        show: what is shown of them.
    """

    world_from_camera: NDArray[np.float64]
    fov: float
    window: Size
    left: AnyModel
    right: AnyModel | None
    split: float
    show: Show

    def same(self, other: Wish | None) -> bool:
        """Whether the other would give the same picture, as far as an eye can tell."""
        return (
            other is not None
            and (self.window, self.split, self.show) == (other.window, other.split, other.show)
            and self.left is other.left
            and self.right is other.right
            and abs(self.fov - other.fov) < 1e-6
            and np.allclose(self.world_from_camera, other.world_from_camera, rtol=0, atol=1e-6)
        )

    def column(self, width: int) -> int:
        """The first column of the right model in a picture of that width."""
        return width if self.right is None else round(self.split * width)


class Live:
    """A page's picture: small first, then finer until it fills the window.

    Args:
        wish: what is seen.
        resolution: gives the sizes, and learns what they took.
        background: (3,) colour behind the scene.
        show: called with each picture that is whole, and whether it is the last.
    """

    def __init__(
        self,
        wish: Wish,
        resolution: Resolution,
        background: Tensor,
        show: Callable[[Rendered, bool], None],
    ) -> None:
        self._wish, self._resolution, self._show = wish, resolution, show
        self._background = background
        self._stage = -1
        self._sizes: list[Size] = []
        self._rendering: ProgressiveRender | None = None
        self._seconds = 0.0

    @property
    def priority(self) -> int:
        """Motion is urgent; the finer a picture is, the longer it may wait."""
        return URGENT if self._stage <= 0 else 1 + self._stage

    def step(self) -> bool:
        """See `Task`."""
        began = time.perf_counter()
        rendering = self._rendering or self._begin()
        whole = rendering.step(self._resolution.chunk)
        last = self._stage == len(self._sizes) - 1
        if whole:
            self._show(rendering.result, last)
            self._rendering = None
        self._seconds += time.perf_counter() - began
        if whole:
            width, height = self._sizes[self._stage]
            self._resolution.measured(width * height, self._seconds)
            self._stage += not last
        return whole and last

    def _begin(self) -> ProgressiveRender:
        wish = self._wish
        if not self._sizes:
            self._sizes, self._stage = self._resolution.sizes(*wish.window), 0
        size = self._sizes[self._stage]
        camera = window_camera(wish.world_from_camera, wish.fov, wish.window, size)
        column = wish.column(size[0])
        self._seconds = 0.0
        self._rendering = ProgressiveRender(
            camera, 0, wish.left, wish.right, column, self._background
        )
        return self._rendering


class Comparison:
    """A view of the scene, to be compared with its photo.

    Args:
        rendering: of the view.
        resolution: says how many rays a step takes.
        show: called with the result.
    """

    priority = 1

    def __init__(
        self, rendering: ProgressiveRender, resolution: Resolution, show: Callable[[Rendered], None]
    ) -> None:
        self._rendering, self._resolution, self._show = rendering, resolution, show

    def step(self) -> bool:
        """See `Task`."""
        whole = self._rendering.step(self._resolution.chunk)
        if whole:
            self._show(self._rendering.result)
        return whole
