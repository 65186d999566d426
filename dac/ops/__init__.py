"""Differentiable operations on samples, planes and histograms, in plain torch of any precision.

What each means is in `reference`, and most run as they stand there. Tri-planes, their total
variation and networks run in the faster forms of `planes` and `networks`, which are tested against
them. Import from here: `from dac import ops`. Whole rays in native code are in `rays`.
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
