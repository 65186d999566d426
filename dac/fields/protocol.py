"""What a radiance field takes and gives, whichever field it is.

Notation: R rays, S bins of the final level, P of a proposal level; t edges as metric distances
along the (unit) ray directions, s the same edges normalised to [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass
class Rays:
    """Rays with the stretch that is sampled.

    Attributes:
        origins: (R, 3) world.
        directions: (R, 3) unit.
        near, far: (R,) distances, clipped to the scene's box; equal where a ray misses it.
    """

    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: Tensor | slice) -> Rays:
        """The rays at the given indices."""
        return Rays(self.origins[index], self.directions[index], self.near[index], self.far[index])

    def packed(self) -> Tensor:
        """(R, 8): origin, direction, near, far, one ray after another in memory."""
        ends = self.near[:, None], self.far[:, None]
        return torch.cat([self.origins, self.directions, *ends], dim=1)


@dataclass
class Histogram:
    """One proposal level.

    Attributes:
        s, t: (R, P+1) edges.
        sigma, weights: (R, P).
    """

    s: Tensor
    t: Tensor
    sigma: Tensor
    weights: Tensor


@dataclass
class Rendering:
    """Rays as the field renders them.

    Attributes:
        rgb: (R, 3) without background (premultiplied by accumulation).
        accumulation: (R,) sum of the weights.
        depth: (R,) expected distance of what the ray hits: sum w t / sum w; 0 where nothing is.
        s, t: (R, S+1) edges of the final level.
        sigma, alpha, weights: (R, S).
        colours: (R, S, 3) in [0, 1].
        proposals: the proposal levels, coarse to fine.
    """

    rgb: Tensor
    accumulation: Tensor
    depth: Tensor
    s: Tensor
    t: Tensor
    sigma: Tensor
    alpha: Tensor
    weights: Tensor
    colours: Tensor
    proposals: tuple[Histogram, ...]


class Seen(Protocol):
    """What rays show without a background: rgb (R, 3), accumulation (R,)."""

    @property
    def rgb(self) -> Tensor: ...

    @property
    def accumulation(self) -> Tensor: ...


class DensityField(Protocol):
    """Density in space; what a proposal level needs."""

    def density(self, points: Tensor) -> Tensor:
        """Points (N, 3) in [-1, 1] -> sigma (N,)."""
        ...


class RadianceField(Protocol):
    """Density in space and colour by direction."""

    def geometry(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points (N, 3) in [-1, 1] -> sigma (N,), features (N, G)."""
        ...

    def direction_code(self, directions: Tensor) -> Tensor:
        """Unit directions (R, 3) -> (R, B): whatever of the colour depends on the ray alone."""
        ...

    def colour(self, features: Tensor, code: Tensor) -> Tensor:
        """Features (R*S, G) and codes (R, B) -> rgb (R*S, 3) in [0, 1]."""
        ...


def over(seen: Seen, background: Tensor) -> Tensor:
    """What rays show over a background.

    Args:
        background: (3,) or (R, 3).

    Returns:
        (R, 3) rgb.
    """
    return seen.rgb + (1 - seen.accumulation)[:, None] * background
