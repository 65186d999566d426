"""The operations on planes, samples and histograms in plain torch: the meaning of every kernel.

Notation: R rays, S bins a ray; t (R, S+1) edges as distances along the ray, s (R, S+1) the same
edges normalised to [0, 1], delta = diff(t); sigma densities, alpha opacities, w weights, all
(R, S). Every function is pure, keeps its inputs' dtype (float64 included) and device, and is
differentiable in its floating inputs unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PAIRS = ((0, 1), (0, 2), (1, 2))
"""The coordinates of the three planes: xy, xz, yz."""


def triplane(planes: Sequence[Tensor], points: Tensor) -> Tensor:
    """Features of points from three axis-aligned planes at several scales (K-Planes, Eq. 2).

    f(x) = concat over scales of prod over the planes (a, b) in xy, xz, yz of P_ab(x_a, x_b), where
    P_ab is interpolated bilinearly, -1 and 1 are the centres of the outermost entries
    (align_corners), and a point outside takes the border's value.

    Args:
        planes: per scale (3, H, W, C), channels last; b runs along H, a along W.
        points: (N, 3) in [-1, 1].

    Returns:
        (N, number of scales x C).
    """
    grid = torch.stack([points[:, list(pair)] for pair in PAIRS])[:, None]
    features = []
    for plane in planes:
        values = functional.grid_sample(
            plane.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=True
        )
        xy, xz, yz = values[:, :, 0].unbind(0)
        features.append((xy * xz * yz).T)
    return torch.cat(features, dim=1)


def plane_tv(plane: Tensor) -> Tensor:
    """Total variation: mean of squared differences along H plus the same along W, over planes.

    TV(P) = sum over the planes of mean (P[j+1, i] - P[j, i])^2 + mean (P[j, i+1] - P[j, i])^2.

    Args:
        plane: (3, H, W, C), H and W at least 2.

    Returns:
        A scalar.
    """
    count = plane.shape[0]
    rows = (plane[:, 1:] - plane[:, :-1]).square().mean()
    columns = (plane[:, :, 1:] - plane[:, :, :-1]).square().mean()
    return count * (rows + columns)


def network(x: Tensor, weights: Sequence[Tensor], shift: Tensor | None = None) -> Tensor:
    """A network without biases, with ReLU between its layers.

    Args:
        x: (N, D_0).
        weights: per layer (D_{l+1}, D_l).
        shift: (R, D_1) with N = R S, or None: added to the first layer's result before its ReLU,
            one row for S consecutive rows of x. So an input that is the same along a ray is
            multiplied by its share of the first weight only once a ray.

    Returns:
        (N, D_L).
    """
    for layer, weight in enumerate(weights):
        x = x @ weight.T
        if layer == 0 and shift is not None:
            x = x + shift.repeat_interleave(len(x) // max(len(shift), 1), dim=0)
        if layer + 1 < len(weights):
            x = x.relu()
    return x


def spherical_harmonics(directions: Tensor) -> Tensor:
    """Real spherical harmonics up to degree 3 (4 bands, "degree 4" in instant-ngp's counting).

    Args:
        directions: (..., 3) unit.

    Returns:
        (..., 16), orthonormal over the sphere.
    """
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            torch.full_like(x, 0.28209479177387814),
            -0.4886025119029199 * y,
            0.4886025119029199 * z,
            -0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * zz - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * zz - 1),
            0.3731763325901154 * z * (5 * zz - 3),
            -0.4570457994644658 * x * (5 * zz - 1),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ],
        dim=-1,
    )


class _TruncatedExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        # Infinity times a bin of length zero would be NaN.
        return torch.exp(x).clamp_max(torch.finfo(x.dtype).max)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.exp(x.clamp(-15, 15))


def truncated_exp(x: Tensor) -> Tensor:
    """exp(x), finite, whose derivative is exp(x clamped to [-15, 15]) (torch-ngp)."""
    result: Tensor = _TruncatedExp.apply(x)  # type: ignore[no-untyped-call]
    return result


_WORD = (1 << 32) - 1


def _signed(word: int) -> int:
    """The 32-bit integer with the bits of an unsigned one."""
    word &= _WORD
    return word - (1 << 32) if word >> 31 else word


def _scramble(word: int) -> int:
    """Mix the bits of an unsigned 32-bit integer, one to one (a multiply-xorshift hash)."""
    word ^= word >> 16
    word = word * 0x7FEB352D & _WORD
    word ^= word >> 15
    word = word * 0x846CA68B & _WORD
    return word ^ word >> 16


def _scramble_(words: Tensor) -> Tensor:
    """The same in place; int32 products wrap and the masks make shifts of negative ones logical."""
    words ^= (words >> 16).bitwise_and_(0xFFFF)
    words *= 0x7FEB352D
    words ^= (words >> 15).bitwise_and_(0x1FFFF)
    words *= _signed(0x846CA68B)
    words ^= (words >> 16).bitwise_and_(0xFFFF)
    return words


def jitter(
    key: int,
    level: int,
    rays: int,
    count: int,
    device: torch.device | str = "cpu",
    before: int = 0,
) -> Tensor:
    """Random numbers as a function of (key, level, ray, index), the same bits on every machine.

    With h the hash of 32-bit words above and all sums and products modulo 2^32, number i of ray r
    is the upper 24 bits of h(row + 0x9E3779B9 i), row = h(r xor h(level + low)) + high, where low
    and high are the key's halves.

    Args:
        key: in [0, 2^64).
        level: of sampling, from 0; the field's own comes last.
        before: the first ray's number r.

    Returns:
        (rays, count) float32, multiples of 2^-24 in [0, 1).
    """
    low, high = key & _WORD, key >> 32
    ray = torch.arange(before, before + rays, dtype=torch.int32, device=device)
    row = _scramble_(ray ^ _signed(_scramble(level + low & _WORD))) + _signed(high)
    index = torch.arange(count, dtype=torch.int32, device=device) * _signed(0x9E3779B9)
    words = _scramble_(row[:, None] + index)
    return (words >> 8).bitwise_and_(0xFFFFFF).float().mul_(2.0**-24)


def alpha_from_sigma(sigma: Tensor, delta: Tensor) -> Tensor:
    """Opacity of a bin: alpha = 1 - exp(-sigma delta).

    Args:
        sigma, delta: (R, S), not negative.

    Returns:
        (R, S) in [0, 1]; exactly 0 where delta is 0.
    """
    return -torch.expm1(-sigma * delta)


def weights_from_alpha(alpha: Tensor) -> Tensor:
    """Weight of a bin: w_i = alpha_i prod_{j<i} (1 - alpha_j).

    Args:
        alpha: (R, S) in [0, 1].

    Returns:
        (R, S); a row sums to 1 - prod_j (1 - alpha_j).
    """
    ones = torch.ones_like(alpha[..., :1])
    through = torch.cumprod(torch.cat([ones, 1 - alpha[..., :-1]], dim=-1), dim=-1)
    return alpha * through


def volume_weights(sigma: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Opacities and weights at once: alpha_i as above, w_i = alpha_i exp(-sum_{j<i} tau_j).

    The same as `weights_from_alpha(alpha_from_sigma(sigma, delta))`, with tau = sigma delta summed
    instead of opacities multiplied: the gradient stays exact behind opaque bins and is cheaper.

    Args:
        sigma, delta: (R, S), not negative.

    Returns:
        alpha (R, S), w (R, S).
    """
    tau = sigma * delta
    before = functional.pad(torch.cumsum(tau[..., :-1], dim=-1), (1, 0))
    alpha = -torch.expm1(-tau)
    return alpha, alpha * torch.exp(-before)


def composite(weights: Tensor, values: Tensor) -> Tensor:
    """sum_i w_i v_i along each ray.

    Args:
        weights: (R, S).
        values: (R, S, D).

    Returns:
        (R, D).
    """
    return torch.einsum("rs,rsd->rd", weights, values)


def resample(edges: Tensor, weights: Tensor, u: Tensor, padding: float = 0.01) -> Tensor:
    """Edges at given levels of a histogram's inverse cumulative distribution.

    Every bin's weight is raised by `padding`, so that no part of the ray is lost for good; within a
    bin the density is constant. Not differentiable: the result is detached.

    Args:
        edges: (R, S+1) ascending.
        weights: (R, S), not negative.
        u: (R, T) ascending in [0, 1].

    Returns:
        (R, T) ascending, within the outermost edges.
    """
    with torch.no_grad():
        padded = weights + padding
        cdf = functional.pad(torch.cumsum(padded, dim=-1), (1, 0))
        cdf = cdf / cdf[..., -1:]
        right = torch.searchsorted(cdf, u.contiguous(), right=True).clamp(1, weights.shape[-1])
        left = right - 1
        c0, c1 = cdf.gather(-1, left), cdf.gather(-1, right)
        e0, e1 = edges.gather(-1, left), edges.gather(-1, right)
        # The minimum keeps rounding from stepping over the next bin's first edge.
        return torch.minimum(e0 + ((u - c0) / (c1 - c0)).clamp_max(1) * (e1 - e0), e1)


def distortion_loss(s: Tensor, weights: Tensor) -> Tensor:
    """Distortion of a step function (mip-NeRF 360, Eq. 15), in O(S) a ray, mean over rays.

    L = sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (s_{i+1} - s_i), m the bins' midpoints.

    Args:
        s: (R, S+1) ascending, normalised; no gradient reaches them.
        weights: (R, S).

    Returns:
        A scalar.
    """
    s = s.detach()
    lengths = s[..., 1:] - s[..., :-1]
    middle = s[..., :-1] + 0.5 * lengths
    moment = weights * middle
    # With midpoints ascending, |m_i - m_j| splits into prefix sums; each pair counts twice.
    mass_before = torch.cumsum(weights, dim=-1) - weights
    moment_before = torch.cumsum(moment, dim=-1) - moment
    pairs = 2 * (moment * mass_before - weights * moment_before)
    return (pairs + weights.square() * lengths / 3).sum(dim=-1).mean()


def outer_bound(s: Tensor, s_coarse: Tensor, weights_coarse: Tensor) -> Tensor:
    """Mass of the coarse bins that overlap each fine bin (mip-NeRF 360, Eq. 12).

    Args:
        s: (R, S+1) ascending fine edges.
        s_coarse: (R, P+1) ascending coarse edges.
        weights_coarse: (R, P).

    Returns:
        (R, S), differentiable in `weights_coarse`.
    """
    s, s_coarse = s.detach().contiguous(), s_coarse.detach().contiguous()
    mass = functional.pad(torch.cumsum(weights_coarse, dim=-1), (1, 0))
    last = weights_coarse.shape[-1]
    first_edge = (
        torch.searchsorted(s_coarse, s[..., :-1].contiguous(), right=True).sub_(1).clamp_(0, last)
    )
    last_edge = torch.searchsorted(s_coarse, s[..., 1:].contiguous()).clamp_(0, last)
    return mass.gather(-1, last_edge) - mass.gather(-1, first_edge)


def histogram_loss(
    s_fine: Tensor, w_fine: Tensor, s_coarse: Tensor, w_coarse: Tensor, eps: float = 1e-7
) -> Tensor:
    """How far a fine histogram rises above its coarse bound (mip-NeRF 360, Eq. 13).

    L = mean over rays and bins of max(0, w - bound)^2 / (w + eps), bound = `outer_bound`. The fine
    edges and weights are detached: only the coarse histogram learns.

    Args:
        s_fine: (R, S+1), w_fine: (R, S) weights, or opacities in the paper's mode.
        s_coarse: (R, P+1), w_coarse: (R, P).

    Returns:
        A scalar.
    """
    fine = w_fine.detach()
    bound = outer_bound(s_fine, s_coarse, w_coarse)
    return ((fine - bound).clamp_min(0).square() / (fine + eps)).mean()
