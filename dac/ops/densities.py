"""Density from planes and a network, as the proposal levels have it, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dac.ops.networks import network
from dac.ops.planes import triplane
from dac.ops.reference import truncated_exp


def density(planes: Sequence[Tensor], weights: Sequence[Tensor], points: Tensor) -> Tensor:
    """sigma = exp(network(planes at the points) - 1), with `truncated_exp`'s derivative.

    Args:
        planes: per scale (3, H, W, C).
        weights: of a network from all features to one number.
        points: (N, 3) in [-1, 1]; no gradient reaches them.

    Returns:
        (N,).
    """
    return truncated_exp(network(triplane(planes, points), weights)[:, 0] - 1)
