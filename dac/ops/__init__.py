"""Differentiable operations on samples, planes and histograms.

What an operation means is in `reference`. Each asks `backend` when it is called which of its bodies
runs: the native library's (`native`), or plain torch: the twin in `reference`, or a faster plain
form in a file of its own, tested against it. Import from here: `from dac import ops`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dac.ops import densities, distillation, native, networks, reference
from dac.ops import planes as tri_planes
from dac.ops.backend import runs_natively
from dac.ops.reference import (
    alpha_from_sigma,
    jitter,
    spherical_harmonics,
    truncated_exp,
    weights_from_alpha,
)

__all__ = [
    "alpha_from_sigma",
    "alpha_loss",
    "colour_loss",
    "composite",
    "density",
    "distortion_loss",
    "histogram_loss",
    "jitter",
    "network",
    "outer_bound",
    "plane_tv",
    "resample",
    "spherical_harmonics",
    "triplane",
    "truncated_exp",
    "volume_weights",
    "weights_from_alpha",
]


def triplane(planes: Sequence[Tensor], points: Tensor) -> Tensor:
    """As `reference.triplane`, but without gradient to the points; H and W are at least 2."""
    if runs_natively("triplane", *planes, points):
        return native.triplane(planes, points)
    return tri_planes.triplane(planes, points)


def plane_tv(planes: Tensor) -> Tensor:
    """As `reference.plane_tv`."""
    if runs_natively("plane_tv", planes):
        return native.plane_tv(planes)
    return tri_planes.plane_tv(planes)


def network(x: Tensor, weights: Sequence[Tensor], shift: Tensor | None = None) -> Tensor:
    """As `reference.network`."""
    if runs_natively("network", x, *weights):
        return native.network(x, weights, shift)
    return networks.network(x, weights, shift)


def density(planes: Sequence[Tensor], weights: Sequence[Tensor], points: Tensor) -> Tensor:
    """As `densities.density`."""
    if runs_natively("density", *planes, *weights, points):
        return native.density(planes, weights, points)
    return densities.density(planes, weights, points)


def volume_weights(sigma: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.volume_weights`."""
    if runs_natively("volume_weights", sigma, delta):
        return native.volume_weights(sigma, delta)
    return reference.volume_weights(sigma, delta)


def composite(weights: Tensor, values: Tensor) -> Tensor:
    """As `reference.composite`."""
    if runs_natively("composite", weights, values):
        return native.composite(weights, values)
    return reference.composite(weights, values)


def resample(edges: Tensor, weights: Tensor, u: Tensor, padding: float = 0.01) -> Tensor:
    """As `reference.resample`."""
    if runs_natively("resample", edges, weights, u):
        return native.resample(edges, weights, u, padding)
    return reference.resample(edges, weights, u, padding)


def distortion_loss(s: Tensor, weights: Tensor) -> Tensor:
    """As `reference.distortion_loss`."""
    if runs_natively("distortion_loss", s, weights):
        return native.distortion_loss(s, weights)
    return reference.distortion_loss(s, weights)


def outer_bound(s: Tensor, s_coarse: Tensor, weights_coarse: Tensor) -> Tensor:
    """As `reference.outer_bound`."""
    if runs_natively("outer_bound", s, s_coarse, weights_coarse):
        return native.outer_bound(s, s_coarse, weights_coarse)
    return reference.outer_bound(s, s_coarse, weights_coarse)


def histogram_loss(
    s_fine: Tensor, w_fine: Tensor, s_coarse: Tensor, w_coarse: Tensor, eps: float = 1e-7
) -> Tensor:
    """As `reference.histogram_loss`."""
    if runs_natively("histogram_loss", s_fine, w_fine, s_coarse, w_coarse):
        return native.histogram_loss(s_fine, w_fine, s_coarse, w_coarse, eps)
    return reference.histogram_loss(s_fine, w_fine, s_coarse, w_coarse, eps)


def alpha_loss(student: Tensor, expert: Tensor) -> Tensor:
    """As `distillation.alpha_loss`."""
    if runs_natively("alpha_loss", student, expert):
        return native.alpha_loss(student, expert)
    return distillation.alpha_loss(student, expert)


def colour_loss(student: Tensor, expert: Tensor, weights: Tensor | None = None) -> Tensor:
    """As `distillation.colour_loss`."""
    if runs_natively("colour_loss", student, expert):
        return native.colour_loss(student, expert, weights)
    return distillation.colour_loss(student, expert, weights)
