"""The operations of a K-Planes step as a user of plain PyTorch writes them.

Built-in operators and autograd alone, channels-first planes, nothing fused and nothing saved from
the forward pass but what autograd saves. The formulas are those of the public K-Planes code and of
nerfstudio, with one exception in plain PyTorch's favour: the distortion loss is the O(S) form of
prefix sums, not the O(S^2) table of pairs.

Notation: R rays, S bins, P bins of a proposal level, N points; t metric and s normalised edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PAIRS = ((0, 1), (0, 2), (1, 2))


class _TruncatedExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.exp(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.exp(x.clamp(-15, 15))


def truncated_exp(x: Tensor) -> Tensor:
    """exp(x) with its derivative bounded."""
    result: Tensor = _TruncatedExp.apply(x)
    return result


def interpolate(planes: Sequence[Tensor], points: Tensor) -> Tensor:
    """Product of three planes' bilinear values.

    Args:
        planes: xy, xz, yz, each (1, C, H, W).
        points: (N, 3) in [-1, 1].

    Returns:
        (N, C).
    """
    product = None
    for plane, pair in zip(planes, PAIRS, strict=True):
        grid = points[:, pair].view(1, 1, -1, 2)
        values = functional.grid_sample(
            plane, grid, mode="bilinear", padding_mode="border", align_corners=True
        )
        values = values.view(plane.shape[1], -1).transpose(0, 1)
        product = values if product is None else product * values
    assert product is not None
    return product


def triplane(scales: Sequence[Sequence[Tensor]], points: Tensor) -> Tensor:
    """Features (N, scales x C) of points (N, 3), per scale three planes (1, C, H, W)."""
    return torch.cat([interpolate(planes, points) for planes in scales], dim=-1)


def plane_tv(planes: Sequence[Tensor]) -> Tensor:
    """Mean squared differences along both sides, summed over the planes (1, C, H, W)."""
    total = planes[0].new_zeros(())
    for plane in planes:
        along_h = (plane[..., 1:, :] - plane[..., :-1, :]).square().mean()
        along_w = (plane[..., 1:] - plane[..., :-1]).square().mean()
        total = total + along_h + along_w
    return total


def spherical_harmonics(d: Tensor) -> Tensor:
    """Real harmonics of four bands, (..., 3) unit -> (..., 16)."""
    x, y, z = d.unbind(-1)
    xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
    return torch.stack(
        [
            torch.ones_like(x) * 0.28209479177387814,
            y * -0.4886025119029199,
            z * 0.4886025119029199,
            x * -0.4886025119029199,
            xy * 1.0925484305920792,
            yz * -1.0925484305920792,
            zz * 0.9461746957575601 - 0.31539156525252005,
            xz * -1.0925484305920792,
            (xx - yy) * 0.5462742152960396,
            y * (yy - 3.0 * xx) * 0.5900435899266435,
            xy * z * 2.890611442640554,
            y * (1.0 - 5.0 * zz) * 0.4570457994644658,
            z * (5.0 * zz - 3.0) * 0.3731763325901154,
            x * (1.0 - 5.0 * zz) * 0.4570457994644658,
            z * (xx - yy) * 1.445305721320277,
            x * (3.0 * yy - xx) * 0.5900435899266435,
        ],
        dim=-1,
    )


def volume_weights(sigma: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Opacities and weights (R, S) of densities and bin lengths (R, S)."""
    depth = delta * sigma
    alpha = 1 - torch.exp(-depth)
    before = torch.cumsum(depth[:, :-1], dim=-1)
    before = torch.cat([torch.zeros_like(before[:, :1]), before], dim=-1)
    return alpha, alpha * torch.exp(-before)


def resample(edges: Tensor, weights: Tensor, u: Tensor, padding: float = 0.01) -> Tensor:
    """Edges (R, T) at the levels u (R, T) of a histogram's inverse cumulative distribution."""
    weights = weights + padding
    pdf = weights / weights.sum(dim=-1, keepdim=True)
    cdf = torch.cumsum(pdf, dim=-1).clamp_max(1)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf], dim=-1)
    place = torch.searchsorted(cdf, u.contiguous(), right=True)
    below = torch.clamp(place - 1, 0, edges.shape[-1] - 1)
    above = torch.clamp(place, 0, edges.shape[-1] - 1)
    c0, e0 = torch.gather(cdf, -1, below), torch.gather(edges, -1, below)
    c1, e1 = torch.gather(cdf, -1, above), torch.gather(edges, -1, above)
    along = torch.clamp(torch.nan_to_num((u - c0) / (c1 - c0), 0), 0, 1)
    return (e0 + along * (e1 - e0)).detach()


def distortion_loss(s: Tensor, weights: Tensor) -> Tensor:
    """mip-NeRF 360, Eq. 15, by prefix sums; mean over rays."""
    middle = (s[:, 1:] + s[:, :-1]) / 2
    mass = torch.cumsum(weights, dim=-1)
    moment = torch.cumsum(weights * middle, dim=-1)
    pairs = 2 * weights[:, 1:] * (middle[:, 1:] * mass[:, :-1] - moment[:, :-1])
    own = weights.square() * (s[:, 1:] - s[:, :-1]) / 3
    return (pairs.sum(dim=-1) + own.sum(dim=-1)).mean()


def histogram_loss(s: Tensor, weights: Tensor, s_coarse: Tensor, w_coarse: Tensor) -> Tensor:
    """mip-NeRF 360, Eq. 13: the fine histogram is a constant; mean over rays and bins."""
    s, weights = s.detach(), weights.detach()
    mass = torch.cumsum(w_coarse, dim=-1)
    mass = torch.cat([torch.zeros_like(mass[:, :1]), mass], dim=-1)
    last = w_coarse.shape[-1]
    low = torch.searchsorted(s_coarse.contiguous(), s[:, :-1].contiguous(), right=True) - 1
    high = torch.searchsorted(s_coarse.contiguous(), s[:, 1:].contiguous())
    bound = torch.gather(mass, -1, high.clamp(0, last)) - torch.gather(mass, -1, low.clamp(0, last))
    return ((weights - bound).clamp_min(0).square() / (weights + 1e-7)).mean()
