"""Rendering whole views over a background, in bounded memory.

Rays are made, rendered and let go in chunks; sampling is deterministic (no jitter), so the chunk
size doesn't change the picture. Who gives a `dac.process.signals.Stop` has the process left between
two chunks once a signal came.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from dac.cameras import Cameras
from dac.conquer.routed import AnyModel, Blend
from dac.fields.model import Model
from dac.fields.protocol import over
from dac.ops.rays import Rendered
from dac.process.signals import Stop


def render_rays(
    model: Model, rays_o: Tensor, rays_d: Tensor, background: Tensor, chunk_rays: int
) -> Rendered:
    """Render rays, `chunk_rays` at a time, without gradients or jitter.

    Args:
        model: on any device.
        rays_o, rays_d: (R, 3) on the model's device; directions of unit length.
        background: (3,) colour behind the rays, in [0, 1].
        chunk_rays: rays rendered at once.

    Returns:
        rgb (R, 3), depth (R,) along the ray, accumulation (R,), on the model's device.
    """
    chunks = zip(torch.split(rays_o, chunk_rays), torch.split(rays_d, chunk_rays), strict=True)
    return _render(model, chunks, background, None)


def render_pixels(
    model: AnyModel,
    cameras: Cameras,
    view: int,
    pixels: Tensor,
    background: Tensor,
    chunk_rays: int,
    stop: Stop | None = None,
) -> Rendered:
    """Render some pixels of a view.

    Args:
        pixels: (P,) int64, row * W + column; each is rendered through its centre.

    Returns:
        As `render_rays`, with R = P.
    """
    device = model.device
    seeing = model.at(cameras.world_from_camera[view])

    def chunks() -> Iterable[tuple[Tensor, Tensor]]:
        for part in torch.split(pixels.to(device), chunk_rays):
            x = part.remainder(cameras.width) + 0.5
            y = part.div(cameras.width, rounding_mode="floor") + 0.5
            yield cameras.rays(torch.full_like(part, view), x, y)

    return _render(seeing, chunks(), background, stop)


def render_view(
    model: AnyModel,
    cameras: Cameras,
    view: int,
    background: Tensor,
    chunk_rays: int,
    stop: Stop | None = None,
) -> Rendered:
    """Render a whole view.

    Returns:
        rgb (H, W, 3), depth (H, W), accumulation (H, W), on the model's device.
    """
    size = (cameras.height, cameras.width)
    pixels = torch.arange(cameras.height * cameras.width)
    rgb, depth, accumulation = render_pixels(
        model, cameras, view, pixels, background, chunk_rays, stop
    )
    return Rendered(rgb.view(*size, 3), depth.view(size), accumulation.view(size))


@torch.no_grad()
def _render(
    model: Model | Blend,
    chunks: Iterable[tuple[Tensor, Tensor]],
    background: Tensor,
    stop: Stop | None,
) -> Rendered:
    parts = []
    for rays_o, rays_d in chunks:
        if stop is not None and stop.received:
            stop.leave()
        rendering = model.picture(model.make_rays(rays_o, rays_d))
        rgb = over(rendering, background.to(rays_o))
        parts.append((rgb, rendering.depth, rendering.accumulation))
    rgb, depth, accumulation = (torch.cat(column) for column in zip(*parts, strict=True))
    return Rendered(rgb, depth, accumulation)
