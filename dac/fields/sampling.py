"""Where rays are sampled: normalised distances, first edges, resampling from proposals.

Notation: s in [0, 1] is uniform in g(t) between g(near) and g(far). Box: g(t) = t. Contraction:
g(t) = t / 2 up to t = 1 and 1 - 1 / (2 t) beyond, so that half the samples lie uniformly within
distance 1 and half are uniform in disparity (nerfstudio's piecewise sampler).

Randomness is an argument: a key jitters (see `ops.jitter`), None gives the bins' middles.
Rays may be part of a batch of one key, in which the first of them has the number `first_ray`.
Nothing here knows of training or evaluation.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dac import ops

Kind = Literal["box", "contraction"]


def _warp(t: Tensor) -> Tensor:
    return torch.where(t < 1, t / 2, 1 - 1 / (2 * t.clamp_min(1)))


def _unwarp(g: Tensor) -> Tensor:
    return torch.where(g < 0.5, 2 * g, 1 / (2 - 2 * g.clamp_min(0.5)))


def t_from_s(kind: Kind, s: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Distances along the ray.

    Args:
        kind: the space's.
        s: (R, T) in [0, 1].
        near, far: (R,).

    Returns:
        (R, T), from near to far, ascending in s.
    """
    near, far = near[:, None], far[:, None]
    if kind == "box":
        return torch.lerp(near, far, s)
    return torch.clamp(_unwarp(torch.lerp(_warp(near), _warp(far), s)), near, far)


def s_from_t(kind: Kind, t: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """The inverse of `t_from_s`; 0 where near = far."""
    near, far = near[:, None], far[:, None]
    if kind == "contraction":
        t, near, far = _warp(t), _warp(near), _warp(far)
    length = far - near
    return torch.where(length > 0, (t - near) / length.clamp_min(1e-30), torch.zeros_like(t))


def _strata(
    rays: int, count: int, like: Tensor, key: int | None, level: int, first_ray: int
) -> Tensor:
    """(rays, count) ascending levels in [0, 1), one in each of `count` equal strata."""
    strata = torch.arange(count, dtype=like.dtype, device=like.device)
    if key is None:
        return ((strata + 0.5) / count).expand(rays, count)
    return (strata + ops.jitter(key, level, rays, count, like.device, first_ray)) / count


def first_edges(
    rays: int, samples: int, like: Tensor, key: int | None, first_ray: int = 0
) -> Tensor:
    """Edges of level 0: even, or each moved at random within half a bin on either side.

    Args:
        like: gives dtype and device.

    Returns:
        (rays, samples+1) ascending in [0, 1].
    """
    even = torch.linspace(0, 1, samples + 1, dtype=like.dtype, device=like.device)
    if key is None:
        return even.expand(rays, samples + 1)
    jitter = ops.jitter(key, 0, rays, samples + 1, like.device, first_ray)
    return (even + (jitter - 0.5) / samples).clamp(0, 1)


def next_edges(
    s: Tensor,
    weights: Tensor,
    samples: int,
    anneal: float,
    key: int | None,
    level: int,
    first_ray: int = 0,
) -> Tensor:
    """Edges of the next level, drawn from a level's weights and detached.

    Args:
        s: (R, P+1) that level's edges; they are not among the new ones.
        weights: (R, P).
        anneal: exponent of the weights: 0 samples evenly, 1 by weight (mip-NeRF 360, Eq. 18).
        level: the new one, from 1.

    Returns:
        (R, samples+1) ascending.
    """
    weights = weights.detach()
    if anneal != 1:
        weights = weights.pow(anneal)
    u = _strata(len(s), samples + 1, s, key, level, first_ray)
    return ops.resample(s, weights, u)
