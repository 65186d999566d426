"""Differentiable operations on samples, planes and histograms."""

from dac.ops.reference import (
    alpha_from_sigma,
    composite,
    distortion_loss,
    histogram_loss,
    outer_bound,
    plane_tv,
    resample,
    spherical_harmonics,
    triplane,
    truncated_exp,
    volume_weights,
    weights_from_alpha,
)

__all__ = [
    "alpha_from_sigma",
    "composite",
    "distortion_loss",
    "histogram_loss",
    "outer_bound",
    "plane_tv",
    "resample",
    "spherical_harmonics",
    "triplane",
    "truncated_exp",
    "volume_weights",
    "weights_from_alpha",
]
