"""Differentiable operations on samples, planes and histograms.

What an operation means is in `reference`. Each asks `backend` when it is called which of its bodies
runs: the native library's (`native`), or plain torch: the twin in `reference`, or a faster plain
form in a file of its own, tested against it. Import from here: `from dac import ops`.
"""

from __future__ import annotations

from torch import Tensor

from dac.ops import native, reference
from dac.ops.backend import runs_natively
from dac.ops.networks import network
from dac.ops.planes import plane_tv, triplane
from dac.ops.reference import (
    alpha_from_sigma,
    composite,
    distortion_loss,
    histogram_loss,
    jitter,
    outer_bound,
    resample,
    spherical_harmonics,
    truncated_exp,
    weights_from_alpha,
)

__all__ = [
    "alpha_from_sigma",
    "composite",
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


def volume_weights(sigma: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.volume_weights`."""
    if runs_natively(sigma, delta):
        return native.volume_weights(sigma, delta)
    return reference.volume_weights(sigma, delta)
