"""From world coordinates to the cube [-1, 1]^3 that the planes cover, and back.

Box: the box's corners go to the cube's. Contraction: first the box (the part that keeps its shape)
goes to [-1, 1]^3, then all space is drawn into [-2, 2]^3 by the L-inf contraction of mip-NeRF 360
as K-Planes uses it, then halved.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from dac.scenes.scene import Space

_TINY = 1e-12


def contract(x: Tensor) -> Tensor:
    """x where |x|_inf <= 1, else (2 - 1 / |x|_inf) x / |x|_inf.

    Args:
        x: (..., 3) finite.

    Returns:
        (..., 3) with |.|_inf < 2 (up to rounding); continuous, one to one.
    """
    # With m = max(1, |x|_inf), both cases are (2 - 1/m) x / m.
    inverse = 1 / x.abs().amax(dim=-1, keepdim=True).clamp_min(1)
    return x * ((2 - inverse) * inverse)


def uncontract(y: Tensor) -> Tensor:
    """The inverse of `contract`.

    Args:
        y: (..., 3) with |y|_inf < 2.

    Returns:
        (..., 3).
    """
    # |y| = 2 - 1/|x| outside the unit cube, so |x| = 1 / (2 - |y|).
    size = y.abs().amax(dim=-1, keepdim=True).clamp_min(1)
    return y / (size * (2 - size))


@lru_cache(maxsize=16)
def box(space: Space, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Corners (2, 1, 3), centre (3,) and half lengths (3,), copied to a device only once."""
    corners = torch.tensor(space.box, dtype=dtype, device=device)
    lower, upper = corners.unbind(0)
    return corners[:, None], (lower + upper) / 2, (upper - lower) / 2


def cube_from_world(space: Space, points: Tensor) -> Tensor:
    """World points (..., 3) to the planes' coordinates, in [-1, 1] for all that the field holds."""
    _, centre, half = box(space, points.dtype, points.device)
    x = (points - centre) / half
    return x if space.kind == "box" else contract(x) / 2


def world_from_cube(space: Space, points: Tensor) -> Tensor:
    """The inverse of `cube_from_world`; for contraction, points must lie inside the open cube."""
    _, centre, half = box(space, points.dtype, points.device)
    x = points if space.kind == "box" else uncontract(points * 2)
    return x * half + centre


def clip(space: Space, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """The stretch of each ray that is sampled.

    Args:
        origins, directions: (R, 3), directions unit.

    Returns:
        near, far: (R,), near <= far; both `space.near` where a ray misses the box.
    """
    if space.kind == "contraction":
        near = torch.full_like(origins[:, 0], space.near)
        return near, torch.full_like(near, space.far)
    corners, _, _ = box(space, origins.dtype, origins.device)
    slope = torch.copysign(directions.abs().clamp_min(_TINY), directions)
    lower, upper = (corners - origins).div_(slope).unbind(0)
    enter = torch.minimum(lower, upper).amax(dim=-1).clamp_min(space.near)
    leave = torch.maximum(lower, upper).amin(dim=-1).clamp_max(space.far)
    hit = enter < leave
    return torch.where(hit, enter, space.near), torch.where(hit, leave, space.near)
