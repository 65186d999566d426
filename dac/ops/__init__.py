"""Differentiable operations on samples, planes and histograms.

What an operation means is in `reference`; those whose plain form is slow have a file of their own,
tested against it. Import from here: `from dac import ops`.
"""

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
    volume_weights,
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
