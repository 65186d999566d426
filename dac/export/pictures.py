"""What a picture shows: colours, depth, normals or accumulation of a rendered view.

Notation: H x W pixels. Points and normals are in the scene's world. Where a view is mostly
transparent (accumulation up to `OPAQUE`), depth and normals are white.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.cameras import Cameras
from dac.evaluation.pictures import OPAQUE, Limits, depth_picture, to_uint8
from dac.ops.rays import Rendered

What = Literal["rgb", "depth", "normals", "accumulation"]


def picture(
    what: What, rendered: Rendered, cameras: Cameras, limits: Limits | None = None
) -> NDArray[np.uint8]:
    """A rendered view as a picture.

    Args:
        what: it shows.
        rendered: the view.
        cameras: the view's camera, alone.
        limits: of the disparity, so that all frames of a video have one scale; None takes the
            view's own.

    Returns:
        (H, W, 3) uint8. Normals have the colours (1 + normal) / 2 in world axes.
    """
    if what == "rgb":
        return to_uint8(rendered.rgb)
    if what == "accumulation":
        return to_uint8(rendered.accumulation[..., None].expand(-1, -1, 3))
    if what == "depth":
        return depth_picture(rendered.depth, rendered.accumulation, limits)
    opaque = rendered.accumulation > OPAQUE
    normals = view_normals(*surface(cameras, rendered.depth), opaque)
    shown = (normals != 0).any(dim=-1, keepdim=True)
    return to_uint8(torch.where(shown, (1 + normals) / 2, 1.0))


def surface(cameras: Cameras, depth: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rays of a view end.

    Args:
        cameras: the view's camera, alone.
        depth: (H, W) along the rays.

    Returns:
        points (H, W, 3) and the rays' unit directions (H, W, 3), float32, on the CPU.
    """
    height, width = depth.shape
    pixels = torch.arange(height * width)
    x, y = pixels.remainder(width) + 0.5, pixels.div(width, rounding_mode="floor") + 0.5
    origins, directions = cameras.rays(torch.zeros_like(pixels), x, y)
    points = origins + depth.reshape(-1, 1) * directions
    return points.view(height, width, 3), directions.view(height, width, 3)


def view_normals(points: Tensor, directions: Tensor, opaque: Tensor) -> Tensor:
    """Normals of the surface that a depth map shows: the cross product of its two tangents.

    They are of the depth, not of the density's gradient. Each tangent is the shorter of the
    differences to the pixels before and behind, so normals don't reach over an edge.

    Args:
        points, directions: (H, W, 3), see `surface`.
        opaque: (H, W) bool; other pixels have no point.

    Returns:
        (H, W, 3) of unit length, turned towards the camera; 0 where there is none.
    """
    known = torch.where(opaque[..., None], points, torch.nan)
    across, down = _tangent(known, 1), _tangent(known, 0)
    normal = torch.linalg.cross(down, across)
    length = torch.linalg.vector_norm(normal, dim=-1, keepdim=True)
    normal = normal / length
    towards = -torch.sign((normal * directions).sum(dim=-1, keepdim=True))
    return torch.where(opaque[..., None] & (length > 0), towards * normal, 0.0).nan_to_num(0.0)


def _tangent(points: Tensor, dim: int) -> Tensor:
    """(H, W, 3) the shorter difference along a dimension; NaN where neither neighbour is known."""
    steps = points.diff(dim=dim)
    missing = torch.full_like(points.narrow(dim, 0, 1), torch.nan)
    ahead, behind = torch.cat([steps, missing], dim), torch.cat([missing, steps], dim)
    sizes = [side.square().sum(dim=-1, keepdim=True) for side in (ahead, behind)]
    first = sizes[1].isnan() | (sizes[0] <= sizes[1])
    return torch.where(first, ahead, behind)
